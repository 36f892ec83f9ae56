"""What discovery knows of tables' files, in SQL.  Functions over a connection.

It changes only together with the table, in the transaction that moves the table's pointer.  What
the table holds is in its manifests; here is what its files were when somebody last looked.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.schema import discovered_files as files
from graticule.db.schema import discovered_tables, tables
from graticule.discovery.diff import FileState, KnownFile

ROWS_AT_ONCE: Final = 1000
_UNTRACKED: Final = 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is known of one table; `revision` is 0 while nothing is."""

    revision: int
    files: dict[str, KnownFile]


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """What is known anew, what is to be forgotten by key, and entries that only moved.

    Valid for the revision that it was worked out from.  `known` can be gone through repeatedly.
    """

    revision: int
    known: Iterable[KnownFile] = ()
    forgotten: Sequence[str] = ()
    moved: Sequence[tuple[str, str]] = field(default=())
    """Keys whose entries are in another manifest now, and which."""


def load(conn: Connection, table_id: str) -> Inventory:
    revision = conn.execute(
        select(discovered_tables.c.revision).where(discovered_tables.c.table_id == table_id)
    ).scalar_one_or_none()
    if revision is None:
        return Inventory(_UNTRACKED, {})
    rows = conn.execute(select(files).where(files.c.table_id == table_id))
    return Inventory(
        revision,
        {
            row.key: KnownFile(
                key=row.key,
                etag=row.etag,
                size_bytes=row.size_bytes,
                state=FileState(row.state),
                reason=row.reason,
                manifest=row.manifest,
            )
            for row in rows
        },
    )


def change(conn: Connection, table_id: str, wanted: InventoryChange) -> bool:
    """Apply a change.  False if somebody else changed what is known meanwhile: then nothing is."""
    if wanted.revision == _UNTRACKED:
        try:
            with conn.begin_nested():
                conn.execute(insert(discovered_tables).values(table_id=table_id, revision=1))
        except IntegrityError:
            return False
    else:
        counted = (
            update(discovered_tables)
            .where(
                discovered_tables.c.table_id == table_id,
                discovered_tables.c.revision == wanted.revision,
            )
            .values(revision=wanted.revision + 1)
        )
        if conn.execute(counted).rowcount != 1:
            return False
        replaced = chain(wanted.forgotten, (file.key for file in wanted.known))
        for some in _batches(replaced):
            conn.execute(delete(files).where(files.c.table_id == table_id, files.c.key.in_(some)))
    for known in _batches(wanted.known):
        conn.execute(insert(files), [_row(table_id, file) for file in known])
    moved = (
        update(files)
        .where(files.c.table_id == table_id, files.c.key == bindparam("of_key"))
        .values(manifest=bindparam("now_in"))
    )
    for pairs in _batches(wanted.moved):
        conn.execute(moved, [{"of_key": key, "now_in": manifest} for key, manifest in pairs])
    return True


def tables_in_place(conn: Connection, catalog_id: str) -> dict[str, tuple[str, ...]]:
    """The tables of a catalog that read files where they lie, by id, and the places they read."""
    query = (
        select(tables.c.id, tables.c.sources)
        .where(tables.c.catalog_id == catalog_id, tables.c.sources.is_not(None))
        .order_by(tables.c.id)
    )
    return {row.id: tuple(json.loads(row.sources)) for row in conn.execute(query)}


def _row(table_id: str, file: KnownFile) -> dict[str, Any]:
    return {
        "table_id": table_id,
        "key": file.key,
        "etag": file.etag,
        "size_bytes": file.size_bytes,
        "state": file.state.value,
        "reason": file.reason,
        "manifest": file.manifest,
    }


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, ROWS_AT_ONCE)):
        yield some
