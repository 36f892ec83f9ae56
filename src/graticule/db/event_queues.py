"""Queues of events and whose turn it is to read them, in SQL.  Functions over a connection.

A lease is on a queue, for all catalogs of the integration that have named it.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, insert, or_, select, update

from graticule.db.schema import event_queues as queues
from graticule.domain.event_queue import EventQueue, QueueFacts

_c = queues.c


def load(conn: Connection, catalog_id: str) -> EventQueue | None:
    row = conn.execute(select(queues).where(_c.catalog_id == catalog_id)).one_or_none()
    return None if row is None else _queue(row)


def keep(
    conn: Connection,
    catalog_id: str,
    *,
    integration_id: str,
    url: str,
    kms_key_arn: str | None,
    now_ms: int,
) -> EventQueue:
    """Read this queue from now on.  One that is read already is looked at again at once.

    The key is the queue's, for all catalogs that read it; without one, what they know of it stays.
    """
    shared = (_c.url == url) & (_c.integration_id == integration_id)
    own = (_c.catalog_id == catalog_id) & shared
    if kms_key_arn is None:
        known = select(_c.kms_key_arn).where(shared, _c.kms_key_arn.is_not(None)).limit(1)
        kms_key_arn = conn.execute(known).scalar_one_or_none()
    else:
        conn.execute(update(queues).where(shared).values(kms_key_arn=kms_key_arn))
    retried = update(queues).where(own).values(next_poll_ms=now_ms)
    if conn.execute(retried).rowcount == 0:
        remove(conn, catalog_id)
        conn.execute(
            insert(queues).values(
                catalog_id=catalog_id,
                integration_id=integration_id,
                url=url,
                kms_key_arn=kms_key_arn,
                next_poll_ms=now_ms,
                failures=0,
                unreadable=0,
            )
        )
    return _queue(conn.execute(select(queues).where(own)).one())


def remove(conn: Connection, catalog_id: str) -> bool:
    return conn.execute(delete(queues).where(_c.catalog_id == catalog_id)).rowcount == 1


def due(conn: Connection, *, now_ms: int, limit: int) -> list[EventQueue]:
    """Queues that nobody reads and that it is time to read, the longest waiting first."""
    query = select(queues).where(_c.next_poll_ms <= now_ms, _is_free(now_ms))
    rows = conn.execute(query.order_by(_c.next_poll_ms, _c.catalog_id).limit(limit))
    return [_queue(row) for row in rows]


def claim(conn: Connection, queue: EventQueue, owner: str, *, now_ms: int, lease_s: float) -> bool:
    """Become the one who reads a queue, until the lease ends.  False if somebody else does."""
    other = queues.alias()
    is_read = exists().where(
        other.c.integration_id == queue.integration_id,
        other.c.url == queue.url,
        other.c.lease_until_ms > now_ms,
    )
    claimed = update(queues).where(_same(queue), _is_free(now_ms), ~is_read)
    values = {"lease_owner": owner, "lease_until_ms": now_ms + round(lease_s * 1000)}
    return conn.execute(claimed.values(values)).rowcount > 0


def readers(conn: Connection, queue: EventQueue) -> list[str]:
    """The catalogs that want the events of a queue."""
    return list(conn.execute(select(_c.catalog_id).where(_same(queue))).scalars())


def key_of(conn: Connection, queue: EventQueue) -> str | None:
    """The KMS key of a queue, as whoever named it last said."""
    known = select(_c.kms_key_arn).where(_same(queue), _c.kms_key_arn.is_not(None)).limit(1)
    return conn.execute(known).scalar_one_or_none()


def prolong(
    conn: Connection, queue: EventQueue, owner: str, *, now_ms: int, lease_s: float
) -> bool:
    """Go on reading.  False if the lease is another's by now, or nobody wants the queue."""
    held = update(queues).where(_same(queue), _c.lease_owner == owner)
    until_ms = now_ms + round(lease_s * 1000)
    return conn.execute(held.values(lease_until_ms=until_ms)).rowcount > 0


def tell_answered(
    conn: Connection,
    queue: EventQueue,
    facts: QueueFacts,
    *,
    now_ms: int,
    received: int,
    unreadable: int,
    unreadable_error: str | None,
) -> None:
    """Write down that the queue answered, for everybody who reads it."""
    values: dict[str, Any] = {
        "polled_at_ms": now_ms,
        "failures": 0,
        "error": None,
        "messages": facts.messages,
        "has_dead_letters": facts.has_dead_letters,
    }
    if received:
        values["received_at_ms"] = now_ms
    if unreadable:
        values["unreadable"] = _c.unreadable + unreadable
        values["unreadable_error"] = unreadable_error
    conn.execute(update(queues).where(_same(queue)).values(values))


def tell_failed(conn: Connection, queue: EventQueue, error: str) -> None:
    """Write down why the queue could not be read."""
    told = update(queues).where(_same(queue))
    conn.execute(told.values(failures=_c.failures + 1, error=error))


def release(conn: Connection, queue: EventQueue, owner: str, *, next_poll_ms: int) -> None:
    """Let somebody else read the queue, and not before then."""
    held = update(queues).where(_same(queue), _c.lease_owner == owner)
    conn.execute(held.values(lease_owner=None, lease_until_ms=None, next_poll_ms=next_poll_ms))


def _same(queue: EventQueue) -> ColumnElement[bool]:
    return (_c.integration_id == queue.integration_id) & (_c.url == queue.url)


def _is_free(now_ms: int) -> ColumnElement[bool]:
    return or_(_c.lease_until_ms.is_(None), _c.lease_until_ms <= now_ms)


def _queue(row: Row[Any]) -> EventQueue:
    return EventQueue(
        catalog_id=row.catalog_id,
        integration_id=row.integration_id,
        url=row.url,
        kms_key_arn=row.kms_key_arn,
        next_poll_ms=row.next_poll_ms,
        failures=row.failures,
        error=row.error,
        polled_at_ms=row.polled_at_ms,
        received_at_ms=row.received_at_ms,
        messages=row.messages,
        has_dead_letters=row.has_dead_letters,
        unreadable=row.unreadable,
        unreadable_error=row.unreadable_error,
    )
