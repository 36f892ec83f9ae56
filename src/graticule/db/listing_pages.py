"""Pages of listings that are known in SQL: what need not be compared object by object.

Functions over a connection.  Whoever changes objects forgets the pages that they are on, in the
same transaction.
"""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from graticule.db.engine import is_sqlite
from graticule.db.schema import listing_pages as pages

_c = pages.c


class KnownPage(NamedTuple):
    """All objects behind `after_key`, up to and with `until_key`, are those of the page.

    The last of them is `last_key`; `digest` is that of the page.
    """

    after_key: str
    until_key: str
    last_key: str
    digest: str
    object_count: int
    size_bytes: int


def find(conn: Connection, integration_id: str, after_key: str, digest: str) -> KnownPage | None:
    """The page that begins here, if it is the one with this digest."""
    columns = [_c[name] for name in KnownPage._fields]
    row = conn.execute(
        select(*columns).where(
            _c.integration_id == integration_id,
            _c.after_key == after_key,
            _c.digest == digest,
        )
    ).one_or_none()
    return None if row is None else KnownPage(*row)


def keep(conn: Connection, integration_id: str, known: Collection[KnownPage]) -> None:
    """Insert or replace pages, by where they begin."""
    if not known:
        return
    dialect = sqlite_insert if is_sqlite(conn) else postgres_insert
    new = dialect(pages)
    columns = [column for column in KnownPage._fields if column != "after_key"]
    kept = new.on_conflict_do_update(
        index_elements=[_c.integration_id, _c.after_key],
        set_={column: new.excluded[column] for column in columns},
    )
    conn.execute(kept, [{"integration_id": integration_id, **page._asdict()} for page in known])


def forget(conn: Connection, integration_id: str, first_key: str, last_key: str) -> None:
    """Forget all pages that hold, or could hold, an object from `first_key` to `last_key`."""
    conn.execute(
        delete(pages).where(
            _c.integration_id == integration_id,
            _c.after_key < last_key,
            _c.until_key >= first_key,
        )
    )
