"""What discovery knows of tables' files, in SQL.  Functions over a connection.

It changes only together with the table, in the transaction that moves the table's pointer.  What
the table holds is in its manifests; here is what its files were when somebody last looked.

The inventory of a new table is written beforehand, some files at a time, as nobody's; the commit
makes it the table's.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from uuid6 import uuid7

from graticule.db.schema import inventories, tables
from graticule.db.schema import inventory_files as files
from graticule.db.schema import pending_snapshots as pending
from graticule.discovery.diff import FileState, KnownFile
from graticule.domain.batches import batched

ROWS_AT_ONCE: Final = 1000
_UNTRACKED: Final = 0
_f = files.c


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


class Inventory(NamedTuple):
    """Whose it is the table knows; `revision` changes with whatever is known."""

    id: str
    revision: int


def of_table(conn: Connection, table_id: str) -> Inventory | None:
    """None while nothing is known of the table's files."""
    query = select(inventories.c.id, inventories.c.revision)
    found = conn.execute(query.where(inventories.c.table_id == table_id)).one_or_none()
    return None if found is None else Inventory(*found)


def between(
    conn: Connection, inventory_id: str, after: str, until: str | None, *, limit: int
) -> list[KnownFile]:
    """Files behind a key, up to and with another, by key."""
    query = _between(select(files), inventory_id, after, until)
    return [_file(row) for row in conn.execute(query.limit(limit))]


def versions_between(
    conn: Connection, inventory_id: str, after: str, until: str | None, *, limit: int
) -> list[tuple[str, str, int]]:
    """As `between`, but only key, ETag and size of each."""
    query = _between(select(_f.key, _f.etag, _f.size_bytes), inventory_id, after, until)
    return [tuple(row) for row in conn.execute(query.limit(limit))]


def among(conn: Connection, inventory_id: str, keys: Sequence[str]) -> dict[str, KnownFile]:
    """Those of these keys that are known."""
    found: dict[str, KnownFile] = {}
    for some in batched(keys, ROWS_AT_ONCE):
        query = select(files).where(_f.inventory_id == inventory_id, _f.key.in_(some))
        found |= {row.key: _file(row) for row in conn.execute(query)}
    return found


def count(conn: Connection, inventory_id: str, state: FileState | None = None) -> int:
    """How many files are known, or known to be so."""
    query = select(func.count()).select_from(files).where(_f.inventory_id == inventory_id)
    if state is not None:
        query = query.where(_f.state == state.value)
    found: int = conn.execute(query).scalar_one()
    return found


def begin(conn: Connection, inventory_id: str) -> None:
    """An inventory that is nobody's yet."""
    conn.execute(insert(inventories).values(id=inventory_id, table_id=None, revision=_UNTRACKED))


def extend(conn: Connection, inventory_id: str, known: Iterable[KnownFile]) -> None:
    """More files of an inventory that is nobody's yet."""
    for some in batched(known, ROWS_AT_ONCE):
        conn.execute(insert(files), [_row(inventory_id, file) for file in some])


def adopt(conn: Connection, inventory_id: str, table_id: str) -> bool:
    """Make it the table's.  False if the table has one already."""
    try:
        with conn.begin_nested():
            adopted = update(inventories).where(
                inventories.c.id == inventory_id, inventories.c.table_id.is_(None)
            )
            return conn.execute(adopted.values(table_id=table_id, revision=1)).rowcount == 1
    except IntegrityError:
        return False


def change(conn: Connection, table_id: str, wanted: InventoryChange) -> bool:
    """Apply a change.  False if somebody else changed what is known meanwhile: then nothing is."""
    if wanted.revision == _UNTRACKED:
        inventory_id = str(uuid7())
        begin(conn, inventory_id)
        if not adopt(conn, inventory_id, table_id):
            conn.execute(delete(inventories).where(inventories.c.id == inventory_id))
            return False
    else:
        counted = (
            update(inventories)
            .where(
                inventories.c.table_id == table_id,
                inventories.c.revision == wanted.revision,
            )
            .values(revision=wanted.revision + 1)
            .returning(inventories.c.id)
        )
        found = conn.execute(counted).scalar_one_or_none()
        if found is None:
            return False
        inventory_id = found
        replaced = chain(wanted.forgotten, (file.key for file in wanted.known))
        for some in batched(replaced, ROWS_AT_ONCE):
            conn.execute(
                delete(files).where(files.c.inventory_id == inventory_id, files.c.key.in_(some))
            )
    extend(conn, inventory_id, wanted.known)
    moved = (
        update(files)
        .where(files.c.inventory_id == inventory_id, files.c.key == bindparam("of_key"))
        .values(manifest=bindparam("now_in"))
    )
    for pairs in batched(wanted.moved, ROWS_AT_ONCE):
        conn.execute(moved, [{"of_key": key, "now_in": manifest} for key, manifest in pairs])
    return True


def unowned(conn: Connection, *, limit: int) -> Sequence[str]:
    """Inventories whose table is gone, or never came."""
    query = (
        select(inventories.c.id)
        .where(
            inventories.c.table_id.is_(None),
            inventories.c.id.not_in(select(pending.c.token)),
        )
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def remove_some(conn: Connection, inventory_id: str) -> bool:
    """Forget some files of an inventory that is nobody's, at last itself.  True if more is left."""
    some = (
        select(files.c.key)
        .where(files.c.inventory_id == inventory_id)
        .order_by(files.c.key)
        .limit(ROWS_AT_ONCE)
    )
    gone = delete(files).where(files.c.inventory_id == inventory_id, files.c.key.in_(some))
    if conn.execute(gone).rowcount:
        return True
    conn.execute(delete(inventories).where(inventories.c.id == inventory_id))
    return False


def tables_in_place(conn: Connection, catalog_id: str) -> dict[str, tuple[str, ...]]:
    """The tables of a catalog that read files where they lie, by id, and the places they read."""
    query = (
        select(tables.c.id, tables.c.sources)
        .where(tables.c.catalog_id == catalog_id, tables.c.sources.is_not(None))
        .order_by(tables.c.id)
    )
    return {row.id: tuple(json.loads(row.sources)) for row in conn.execute(query)}


def _between(query: Select[Any], inventory_id: str, after: str, until: str | None) -> Select[Any]:
    query = query.where(_f.inventory_id == inventory_id, _f.key > after).order_by(_f.key)
    return query if until is None else query.where(_f.key <= until)


def _file(row: Row[Any]) -> KnownFile:
    return KnownFile(
        key=row.key,
        etag=row.etag,
        size_bytes=row.size_bytes,
        state=FileState(row.state),
        reason=row.reason,
        manifest=row.manifest,
    )


def _row(inventory_id: str, file: KnownFile) -> dict[str, Any]:
    return {
        "inventory_id": inventory_id,
        "key": file.key,
        "etag": file.etag,
        "size_bytes": file.size_bytes,
        "state": file.state.value,
        "reason": file.reason,
        "manifest": file.manifest,
    }
