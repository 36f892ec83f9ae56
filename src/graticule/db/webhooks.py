"""Webhooks and their deliveries in SQL.  Functions over a connection.

Deliveries are leased as purges are: a `not_before_ms` in the future means somebody is at it.
"""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from graticule.access.keyring import Keyring
from graticule.db.audit import event_of_row
from graticule.db.engine import violates
from graticule.db.schema import audit_events, webhook_deliveries, webhooks
from graticule.domain.audit import AuditEvent
from graticule.domain.errors import AlreadyExists
from graticule.domain.webhook import Delivery, DeliveryState, Webhook

_w, _d = webhooks, webhook_deliveries


def create(conn: Connection, keyring: Keyring, webhook: Webhook) -> None:
    """Insert a webhook.

    Raises:
        AlreadyExists: the organisation has one of that name.
    """
    try:
        conn.execute(
            insert(_w).values(
                id=webhook.id,
                organisation_id=webhook.organisation_id,
                name=webhook.name,
                url=webhook.url,
                types=json.dumps(webhook.types),
                catalog_id=webhook.catalog_id,
                object_id=webhook.object_id,
                sealed_secret=keyring.seal(webhook.secret, bound_to=_place(webhook.id)),
                is_enabled=webhook.is_enabled,
                created_at_ms=webhook.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, _w, "organisation_id", "name"):
            raise AlreadyExists(f"webhook `{webhook.name}` exists") from error
        raise


def find(
    conn: Connection, keyring: Keyring, organisation_id: str, id_or_name: str
) -> Webhook | None:
    """A webhook of this organisation; an id wins over a name."""
    query = select(_w).where(
        _w.c.organisation_id == organisation_id,
        or_(_w.c.id == id_or_name, _w.c.name == id_or_name),
    )
    row = conn.execute(query.order_by(_w.c.id != id_or_name).limit(1)).one_or_none()
    return None if row is None else _webhook(keyring, row)


def page(
    conn: Connection, keyring: Keyring, organisation_id: str, *, after: str | None, limit: int
) -> list[Webhook]:
    query = select(_w).where(_w.c.organisation_id == organisation_id)
    if after is not None:
        query = query.where(_w.c.id > after)
    rows = conn.execute(query.order_by(_w.c.id).limit(limit))
    return [_webhook(keyring, row) for row in rows]


def set_enabled(conn: Connection, webhook_id: str, *, is_enabled: bool) -> bool:
    changed = update(_w).where(_w.c.id == webhook_id).values(is_enabled=is_enabled)
    return conn.execute(changed).rowcount == 1


def remove(conn: Connection, webhook_id: str) -> bool:
    """Delete a webhook with its deliveries.  False if it is gone."""
    return conn.execute(delete(_w).where(_w.c.id == webhook_id)).rowcount == 1


def _webhook(keyring: Keyring, row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        organisation_id=row.organisation_id,
        name=row.name,
        url=row.url,
        types=tuple(json.loads(row.types)),
        catalog_id=row.catalog_id,
        object_id=row.object_id,
        secret=keyring.open(row.sealed_secret, bound_to=_place(row.id)),
        is_enabled=row.is_enabled,
        created_at_ms=row.created_at_ms,
    )


def _place(webhook_id: str) -> str:
    return f"webhooks:{webhook_id}:secret"


# Events that are still to be announced


def has_unannounced(conn: Connection) -> bool:
    waiting = exists(select(audit_events.c.id).where(not_(audit_events.c.is_announced)))
    return bool(conn.execute(select(waiting)).scalar())


def take_unannounced(conn: Connection, *, limit: int) -> list[AuditEvent]:
    """Events nobody has announced yet, for this transaction alone, and marked as announced.

    The order of their ids is not the order in which transactions end: hence a mark for each event
    rather than a place up to which all are done.
    """
    query = (
        select(audit_events)
        .where(not_(audit_events.c.is_announced))
        .order_by(audit_events.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    events = [event_of_row(row) for row in conn.execute(query)]
    if events:
        ids = [event.id for event in events]
        conn.execute(
            update(audit_events).where(audit_events.c.id.in_(ids)).values(is_announced=True)
        )
    return events


def enabled_of(
    conn: Connection, keyring: Keyring, organisation_ids: Iterable[str]
) -> list[Webhook]:
    query = select(_w).where(_w.c.organisation_id.in_(set(organisation_ids)), _w.c.is_enabled)
    return [_webhook(keyring, row) for row in conn.execute(query.order_by(_w.c.id))]


# Deliveries


def add_deliveries(conn: Connection, deliveries: Iterable[Delivery]) -> None:
    rows = [
        {
            "id": delivery.id,
            "webhook_id": delivery.webhook_id,
            "event_id": delivery.event_id,
            "event_type": delivery.event_type,
            "payload": delivery.payload,
            "state": delivery.state.value,
            "attempts": delivery.attempts,
            "created_at_ms": delivery.created_at_ms,
            "not_before_ms": delivery.not_before_ms,
        }
        for delivery in deliveries
    ]
    if rows:
        conn.execute(insert(_d), rows)


def has_due(conn: Connection, *, now_ms: int) -> bool:
    due = exists(select(_d.c.id).where(_d.c.state == "pending", _d.c.not_before_ms <= now_ms))
    return bool(conn.execute(select(due)).scalar())


def lease(
    conn: Connection, keyring: Keyring, *, now_ms: int, until_ms: int, limit: int
) -> list[tuple[Delivery, Webhook]]:
    """Take the deliveries that have waited longest, for nobody else to take before `until_ms`."""
    query = (
        select(_d)
        .join(_w, _w.c.id == _d.c.webhook_id)
        .where(_d.c.state == "pending", _d.c.not_before_ms <= now_ms, _w.c.is_enabled)
        .order_by(_d.c.not_before_ms, _d.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=_d)
    )
    rows = conn.execute(query).all()
    if not rows:
        return []
    conn.execute(
        update(_d)
        .where(_d.c.id.in_([row.id for row in rows]))
        .values(not_before_ms=until_ms, attempts=_d.c.attempts + 1)
    )
    hooks = select(_w).where(_w.c.id.in_({row.webhook_id for row in rows}))
    by_id = {row.id: _webhook(keyring, row) for row in conn.execute(hooks)}
    return [(_delivery(row, attempts=row.attempts + 1), by_id[row.webhook_id]) for row in rows]


def conclude(
    conn: Connection,
    delivery: Delivery,
    state: DeliveryState,
    *,
    status: int | None,
    error: str | None,
    not_before_ms: int,
    now_ms: int,
) -> bool:
    """Say how an attempt ended.  False if the lease ran out and somebody else is at it by now."""
    ended = update(_d).where(_d.c.id == delivery.id, _d.c.attempts == delivery.attempts)
    values = {
        "state": state.value,
        "status": status,
        "error": error,
        "not_before_ms": not_before_ms,
        "finished_at_ms": None if state is DeliveryState.PENDING else now_ms,
    }
    return conn.execute(ended.values(values)).rowcount == 1


def page_of_deliveries(
    conn: Connection, webhook_id: str, *, after: str | None, limit: int
) -> list[Delivery]:
    """Newest first."""
    query = select(_d).where(_d.c.webhook_id == webhook_id)
    if after is not None:
        query = query.where(_d.c.id < after)
    rows = conn.execute(query.order_by(_d.c.id.desc()).limit(limit))
    return [_delivery(row, attempts=row.attempts) for row in rows]


def load_delivery(conn: Connection, webhook_id: str, delivery_id: str) -> Delivery | None:
    query = select(_d).where(_d.c.webhook_id == webhook_id, _d.c.id == delivery_id)
    row = conn.execute(query).one_or_none()
    return None if row is None else _delivery(row, attempts=row.attempts)


def remove_finished(conn: Connection, *, before_ms: int, limit: int) -> int:
    """Delete at most `limit` deliveries that ended before a time; how many there were."""
    old = select(_d.c.id).where(_d.c.finished_at_ms < before_ms).limit(limit)
    return conn.execute(delete(_d).where(_d.c.id.in_(old))).rowcount


def _delivery(row: Row[Any], *, attempts: int) -> Delivery:
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        event_type=row.event_type,
        payload=row.payload,
        state=DeliveryState(row.state),
        attempts=attempts,
        created_at_ms=row.created_at_ms,
        not_before_ms=row.not_before_ms,
        status=row.status,
        error=row.error,
        finished_at_ms=row.finished_at_ms,
    )
