"""What the footers of files said, in SQL, each for one version of a file.

Functions over a connection.  What a file's bytes mean `discovery.inspection_codec` knows.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from graticule.db.engine import is_sqlite
from graticule.db.schema import file_inspections as inspections
from graticule.domain.batches import batched

KEYS_AT_ONCE: Final = 1000

_c = inspections.c


class KeptInspection(NamedTuple):
    """What was found in one version of a file, or why nothing was.

    An error that is not final was the store's: the next look may come to another end.
    """

    key: str
    size_bytes: int
    etag: str
    inspection: bytes | None
    error: str | None
    is_final: bool = True


def versions(
    conn: Connection, integration_id: str, keys: Sequence[str], *, codec_version: int
) -> dict[str, tuple[int, str]]:
    """Size and ETag of the versions of these files that need not be inspected again."""
    found: dict[str, tuple[int, str]] = {}
    for some in batched(keys, KEYS_AT_ONCE):
        query = select(
            _c.key, _c.size_bytes, _c.etag, func.substr(_c.inspection, 1, 1).label("codec")
        ).where(
            _c.integration_id == integration_id,
            _c.key.in_(some),
            _c.is_final,
        )
        for key, size_bytes, etag, codec in conn.execute(query):
            if codec is None or bytes(codec) == bytes([codec_version]):
                found[key] = (size_bytes, etag)
    return found


def keep(conn: Connection, integration_id: str, found: Collection[KeptInspection]) -> None:
    """Insert or replace what was found."""
    if not found:
        return
    dialect = sqlite_insert if is_sqlite(conn) else postgres_insert
    new = dialect(inspections)
    columns = [column for column in KeptInspection._fields if column != "key"]
    kept = new.on_conflict_do_update(
        index_elements=[_c.integration_id, _c.key],
        set_={column: new.excluded[column] for column in columns},
    )
    conn.execute(kept, [{"integration_id": integration_id, **one._asdict()} for one in found])


def from_key(
    conn: Connection, integration_id: str, key: str, *, last: str, limit: int
) -> list[KeptInspection]:
    """What was found in this file and those behind it, by key, up to and with `last`."""
    query = (
        select(_c.key, _c.size_bytes, _c.etag, _c.inspection, _c.error, _c.is_final)
        .where(_c.integration_id == integration_id, _c.key >= key, _c.key <= last)
        .order_by(_c.key)
        .limit(limit)
    )
    return [KeptInspection(*row) for row in conn.execute(query)]


def count(conn: Connection, integration_id: str, *, after: str, last: str) -> int:
    found: int = conn.execute(
        select(func.count())
        .select_from(inspections)
        .where(_c.integration_id == integration_id, _c.key > after, _c.key <= last)
    ).scalar_one()
    return found
