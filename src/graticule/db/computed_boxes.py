"""What was read in data files that have no statistics, in SQL: one row a file and geometry column.

Functions over a connection.  What a row's bytes mean `discovery.inspection_codec` knows.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from graticule.db.engine import is_sqlite
from graticule.db.schema import computed_boxes
from graticule.domain.batches import batched

PATHS_AT_ONCE: Final = 500

_c = computed_boxes.c


class ReadFile(NamedTuple):
    """What is known of one version of a file, or why nothing is.

    `next_group` is the row group to go on with, None when there is nothing more to be read.
    """

    path: str
    size_bytes: int
    inspection: bytes | None
    error: str | None = None
    next_group: int | None = None


def generation(conn: Connection, table_id: str) -> int:
    """A number that rises with everything that is read in a table's files; 0 before."""
    latest = select(func.max(_c.generation)).where(_c.table_id == table_id)
    return conn.execute(latest).scalar_one() or 0


def keep(conn: Connection, table_id: str, field_id: int, files: Collection[ReadFile]) -> None:
    """Insert or replace what was read, as the next generation.  For one writer a table at a time.

    Raises:
        IntegrityError: the table was dropped.
    """
    if not files:
        return
    dialect = sqlite_insert if is_sqlite(conn) else postgres_insert
    new = dialect(computed_boxes)
    columns = [column for column in ReadFile._fields if column != "path"]
    kept = new.on_conflict_do_update(
        index_elements=[_c.table_id, _c.field_id, _c.path],
        set_={column: new.excluded[column] for column in [*columns, "generation"]},
    )
    about = {
        "table_id": table_id,
        "field_id": field_id,
        "generation": generation(conn, table_id) + 1,
    }
    conn.execute(kept, [{**about, **file._asdict()} for file in files])


def since(conn: Connection, table_id: str, field_id: int, generation: int) -> Iterator[ReadFile]:
    """What was read after a generation."""
    query = _files().where(
        _c.table_id == table_id, _c.field_id == field_id, _c.generation > generation
    )
    for row in conn.execute(query):
        yield ReadFile(row.path, row.size_bytes, row.inspection, row.error, row.next_group)


def of_paths(
    conn: Connection, table_id: str, field_id: int, paths: Sequence[str]
) -> Iterator[ReadFile]:
    """What is known of some files."""
    for some in batched(paths, PATHS_AT_ONCE):
        query = _files().where(_c.table_id == table_id, _c.field_id == field_id, _c.path.in_(some))
        for row in conn.execute(query):
            yield ReadFile(row.path, row.size_bytes, row.inspection, row.error, row.next_group)


def paths(conn: Connection, table_id: str, field_id: int) -> list[str]:
    """The files of which something is known."""
    query = select(_c.path).where(_c.table_id == table_id, _c.field_id == field_id)
    return list(conn.execute(query).scalars())


def forget(conn: Connection, table_id: str, field_id: int, paths: Sequence[str]) -> None:
    for some in batched(paths, PATHS_AT_ONCE):
        conn.execute(
            delete(computed_boxes).where(
                _c.table_id == table_id,
                _c.field_id == field_id,
                _c.path.in_(some),
            )
        )


def _files() -> Select[tuple[str, int, bytes | None, str | None, int | None]]:
    return select(_c.path, _c.size_bytes, _c.inspection, _c.error, _c.next_group)
