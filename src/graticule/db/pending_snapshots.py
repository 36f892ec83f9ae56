"""Notes of snapshots whose files are being stored, in SQL.  Functions over a connection.

A note is taken away by the commit of its snapshot, in that very transaction, or it is withdrawn and
then no commit can be: so whoever finds one knows what became of the files.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, or_, select, update

from graticule.db.schema import pending_snapshots as pending

_c = pending.c


class Note(NamedTuple):
    """`token` is in the names of the snapshot's files, which lie in `folder`.

    With `owns_folder` nothing else does: it is a new table's.
    """

    token: str
    integration_id: str
    folder: str
    owns_folder: bool


def create(conn: Connection, note: Note, *, now_ms: int) -> None:
    conn.execute(
        insert(pending).values(
            **note._asdict(),
            is_withdrawn=False,
            begun_at_ms=now_ms,
        )
    )


def land(conn: Connection, token: str) -> bool:
    """Take the note away, as part of the commit.  False if it was withdrawn."""
    landed = delete(pending).where(_c.token == token, _c.is_withdrawn.is_(False))
    return conn.execute(landed).rowcount == 1


def withdraw(conn: Connection, token: str) -> bool:
    """See to it that it is never committed.  False if it was."""
    withdrawn = update(pending).where(_c.token == token).values(is_withdrawn=True)
    return conn.execute(withdrawn).rowcount == 1


def forget(conn: Connection, token: str) -> None:
    """Nothing is left of it."""
    conn.execute(delete(pending).where(_c.token == token))


def left(conn: Connection, *, begun_before_ms: int, limit: int) -> Sequence[Note]:
    """Notes that were withdrawn, or that nobody can be at any more."""
    query = (
        select(_c.token, _c.integration_id, _c.folder, _c.owns_folder)
        .where(or_(_c.is_withdrawn, _c.begun_at_ms < begun_before_ms))
        .order_by(_c.begun_at_ms)
        .limit(limit)
    )
    return [Note(*row) for row in conn.execute(query)]
