"""Failed attempts to sign in, in SQL, so that all replicas count together."""

from sqlalchemy import Connection, delete, func, insert, select, update

from graticule.access.throttling import Attempts
from graticule.db.schema import sign_in_attempts

_subject = sign_in_attempts.c.subject
_until = sign_in_attempts.c.blocked_until_ms


def load(conn: Connection, subject: str) -> Attempts | None:
    row = conn.execute(select(sign_in_attempts).where(_subject == subject)).one_or_none()
    return None if row is None else Attempts(row.failures, row.blocked_until_ms)


def store(conn: Connection, subject: str, attempts: Attempts) -> None:
    """Write what is remembered of a subject.  The caller has the subject to itself."""
    values = {"failures": attempts.failures, "blocked_until_ms": attempts.blocked_until_ms}
    changed = conn.execute(update(sign_in_attempts).where(_subject == subject).values(values))
    if changed.rowcount == 0:
        conn.execute(insert(sign_in_attempts).values(subject=subject, **values))


def forget(conn: Connection, subject: str) -> None:
    conn.execute(delete(sign_in_attempts).where(_subject == subject))


def prune(conn: Connection, *, blocked_before_ms: int, rows_max: int) -> None:
    """Forget what is old, and beyond `rows_max` also what is least recent."""
    conn.execute(delete(sign_in_attempts).where(_until <= blocked_before_ms))
    count = conn.execute(select(func.count()).select_from(sign_in_attempts)).scalar_one()
    if count > rows_max:
        oldest = select(_subject).order_by(_until, _subject).limit(count - rows_max)
        conn.execute(delete(sign_in_attempts).where(_subject.in_(oldest)))
