"""What the last listings of buckets held, in SQL.  Functions over a connection.

A listing compares each of its pages with the rows of the same keys and writes the differences, so
one that finds nothing new writes nothing.  What it did not find is marked until its end shows that
it is gone.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from graticule.db.engine import is_sqlite, read
from graticule.db.schema import bucket_objects as objects
from graticule.domain.batches import batched

KEYS_AT_ONCE: Final = 1000
ROWS_AT_ONCE: Final = 5000
BEHIND_ALL: Final = "\U0010ffff"
"""Behind every key that begins with what it is put after; nobody names a file so."""

_c = objects.c


class KeyRange(NamedTuple):
    """Keys of one integration: behind `after`, up to and with `last`."""

    integration_id: str
    after: str
    last: str

    @classmethod
    def below(cls, integration_id: str, prefix: str) -> "KeyRange":
        """All that begins with `prefix`, but an object of that very name: a folder's marker."""
        return cls(integration_id, prefix, prefix + BEHIND_ALL)


class KnownObject(NamedTuple):
    """A row, but for the key; `missing_since_ms` is set once a listing did not have it."""

    size_bytes: int
    etag: str
    missing_since_ms: int | None


class ListedObject(NamedTuple):
    """An object as a listing shows it; `key` is relative to the bucket."""

    key: str
    size_bytes: int
    etag: str
    last_modified_ms: int


def known_in(conn: Connection, keys: KeyRange) -> dict[str, KnownObject]:
    """All rows of a range, also those that are missing."""
    query = select(_c.key, _c.size_bytes, _c.etag, _c.missing_since_ms).where(_within(keys))
    return {
        key: KnownObject(size, etag, missing) for key, size, etag, missing in conn.execute(query)
    }


def known_among(
    conn: Connection, integration_id: str, keys: Sequence[str]
) -> dict[str, KnownObject]:
    """The rows of these keys, as far as there are any."""
    found: dict[str, KnownObject] = {}
    for some in batched(keys, KEYS_AT_ONCE):
        query = select(_c.key, _c.size_bytes, _c.etag, _c.missing_since_ms).where(
            _c.integration_id == integration_id, _c.key.in_(some)
        )
        for key, size, etag, missing in conn.execute(query):
            found[key] = KnownObject(size, etag, missing)
    return found


def keep(conn: Connection, integration_id: str, listed: Collection[ListedObject]) -> None:
    """Insert or replace rows: they are there, and so."""
    if not listed:
        return
    dialect = sqlite_insert if is_sqlite(conn) else postgres_insert
    new = dialect(objects)
    kept = new.on_conflict_do_update(
        index_elements=[_c.integration_id, _c.key],
        set_={
            "size_bytes": new.excluded.size_bytes,
            "etag": new.excluded.etag,
            "last_modified_ms": new.excluded.last_modified_ms,
            "missing_since_ms": None,
        },
    )
    conn.execute(kept, [{"integration_id": integration_id, **found._asdict()} for found in listed])


def mark_missing(
    conn: Connection, integration_id: str, keys: Sequence[str], *, since_ms: int
) -> None:
    for some in batched(keys, KEYS_AT_ONCE):
        marked = update(objects).where(_c.integration_id == integration_id, _c.key.in_(some))
        conn.execute(marked.values(missing_since_ms=since_ms))


def mark_all_missing(conn: Connection, keys: KeyRange, *, since_ms: int) -> None:
    marked = update(objects).where(_within(keys), _c.missing_since_ms.is_(None))
    conn.execute(marked.values(missing_since_ms=since_ms))


def unmark(conn: Connection, keys: KeyRange) -> None:
    """Take back that objects were missing: the order of the listing was misunderstood."""
    marked = update(objects).where(_within(keys), _c.missing_since_ms.is_not(None))
    conn.execute(marked.values(missing_since_ms=None))


def remove_missing(conn: Connection, keys: KeyRange) -> int:
    """Forget what a listing that came to its end did not have; returns how many."""
    gone = delete(objects).where(_within(keys), _c.missing_since_ms.is_not(None))
    return conn.execute(gone).rowcount


def count(conn: Connection, keys: KeyRange) -> int:
    there = select(func.count()).select_from(objects)
    found: int = conn.execute(
        there.where(_within(keys), _c.missing_since_ms.is_(None))
    ).scalar_one()
    return found


def in_order(engine: Engine, keys: KeyRange) -> Iterator[tuple[str, int, str]]:
    """Key, size and ETag of all that is there, by key; read page by page as it is taken."""
    query = select(_c.key, _c.size_bytes, _c.etag).where(_c.missing_since_ms.is_(None))
    while True:
        page = query.where(_within(keys)).order_by(_c.key).limit(ROWS_AT_ONCE)
        with read(engine) as conn:
            rows = conn.execute(page).all()
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        keys = keys._replace(after=rows[-1][0])


def _within(keys: KeyRange) -> Any:
    return and_(_c.integration_id == keys.integration_id, _c.key > keys.after, _c.key <= keys.last)
