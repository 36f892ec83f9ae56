"""Every column that holds a sealed secret, in SQL.  Functions over a connection.

Values are sealed for one place, `table:row id:what`, which each room that writes them names too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Table, func, select, update

from graticule.db.schema import issuers, storage_integrations, webhooks


@dataclass(frozen=True, slots=True)
class SealedColumn:
    table: Table
    name: str
    what: str

    def place_of(self, row_id: str) -> str:
        return f"{self.table.name}:{row_id}:{self.what}"


SEALED_COLUMNS: Final = (
    SealedColumn(storage_integrations, "sealed_secret_access_key", "secret_access_key"),
    SealedColumn(webhooks, "sealed_secret", "secret"),
    SealedColumn(issuers, "sealed_client_secret", "client_secret"),
)


@dataclass(frozen=True, slots=True)
class SealedSecret:
    column: SealedColumn
    row_id: str
    sealed: str


def count_by_key(conn: Connection) -> Mapping[str, int]:
    """How many secrets each key has sealed, by the names that the values begin with."""
    counts: dict[str, int] = {}
    for column in SEALED_COLUMNS:
        sealed = column.table.c[column.name]
        # `v1.<name>.<box>`: the box is long, and no part of a key's name is ever a period.
        start = func.substr(sealed, 1, _NAMED_CHARACTERS_MAX)
        query = select(start, func.count()).where(sealed.is_not(None)).group_by(start)
        for named, count in conn.execute(query):
            name = named.split(".")[1]
            counts[name] = counts.get(name, 0) + count
    return counts


_NAMED_CHARACTERS_MAX: Final = 36
"""Enough for the version and the longest name of a key."""


def sample(conn: Connection, key_name: str) -> SealedSecret | None:
    """Any one secret that this key has sealed."""
    for column in SEALED_COLUMNS:
        sealed = column.table.c[column.name]
        mine = sealed.startswith(f"v1.{key_name}.", autoescape=True)
        row = conn.execute(select(column.table.c.id, sealed).where(mine).limit(1)).one_or_none()
        if row is not None:
            return SealedSecret(column, *row)
    return None


def not_sealed_by(
    conn: Connection, key_name: str, column: SealedColumn, *, after: str, limit: int
) -> list[SealedSecret]:
    """Secrets of one column that other keys have sealed, in the order of their rows."""
    sealed = column.table.c[column.name]
    others = ~sealed.startswith(f"v1.{key_name}.", autoescape=True)
    query = select(column.table.c.id, sealed).where(others, column.table.c.id > after)
    rows = conn.execute(query.order_by(column.table.c.id).limit(limit))
    return [SealedSecret(column, *row) for row in rows]


def replace(conn: Connection, secret: SealedSecret, sealed: str) -> bool:
    """Store the secret sealed anew, unless it has changed meanwhile.  Atomic."""
    table, name = secret.column.table, secret.column.name
    same = update(table).where(table.c.id == secret.row_id, table.c[name] == secret.sealed)
    return conn.execute(same.values({name: sealed})).rowcount == 1
