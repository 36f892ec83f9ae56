"""The audit log in SQL.  Functions over a connection."""

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, insert, or_, select

from graticule.db.change import Change
from graticule.db.schema import audit_events, webhooks
from graticule.domain.audit import (
    AuditEvent,
    AuditFilter,
    EventType,
    Outcome,
    Subject,
    SubjectKind,
)

_t = audit_events
_JSON: Final = json.JSONEncoder(ensure_ascii=False)
_COLUMNS: Final = tuple(column.name for column in _t.columns if column.name != "is_announced")
_INSERT: Final = Change(
    insert(_t).values(
        {
            **{name: bindparam(name) for name in _COLUMNS},
            # Decided where the event is written: without webhooks nobody has to come back for it.
            "is_announced": ~exists().where(
                webhooks.c.organisation_id == bindparam("organisation_id"), webhooks.c.is_enabled
            ),
        }
    )
)


def record(conn: Connection, *events: AuditEvent) -> None:
    """Write events, in the transaction of what they tell of."""
    for event in events:
        _INSERT(conn, **_values(event))


def _values(event: AuditEvent) -> dict[str, Any]:
    subject = event.subject
    return {
        "id": event.id,
        "organisation_id": event.organisation_id,
        "at_ms": event.at_ms,
        "type": event.type.value,
        "subject_kind": subject.kind.value,
        "subject_id": subject.id,
        "subject_name": subject.name,
        "catalog_id": subject.catalog_id,
        "outcome": event.outcome.value,
        "member_id": event.member_id,
        "member_name": event.member_name,
        "credential_id": event.credential_id,
        "allowed_by": event.allowed_by,
        "request_id": event.request_id,
        "address": event.address,
        "occurrences": event.occurrences,
        "details": _JSON.encode(dict(event.details)),
    }


def page(
    conn: Connection,
    organisation_id: str,
    asked: AuditFilter,
    *,
    after: str | None,
    limit: int,
    newest_first: bool = True,
) -> list[AuditEvent]:
    """Events that `asked` describes, in the order they were given their ids."""
    query = _matching(organisation_id, asked)
    if after is not None:
        query = query.where(_t.c.id < after if newest_first else _t.c.id > after)
    query = query.order_by(_t.c.id.desc() if newest_first else _t.c.id).limit(limit)
    return [event_of_row(row) for row in conn.execute(query)]


def _matching(organisation_id: str, asked: AuditFilter) -> Select[Any]:
    query = select(_t).where(_t.c.organisation_id == organisation_id)
    if asked.type is not None:
        prefix = asked.type.removesuffix("*")
        exact = prefix == asked.type
        query = query.where(
            _t.c.type == prefix if exact else _t.c.type.startswith(prefix, autoescape=True)
        )
    if asked.member is not None:
        query = query.where(or_(_t.c.member_id == asked.member, _t.c.member_name == asked.member))
    if asked.subject is not None:
        query = query.where(
            or_(_t.c.subject_id == asked.subject, _t.c.subject_name == asked.subject)
        )
    if asked.catalog_id is not None:
        query = query.where(_t.c.catalog_id == asked.catalog_id)
    if asked.outcome is not None:
        query = query.where(_t.c.outcome == asked.outcome.value)
    if asked.since_ms is not None:
        query = query.where(_t.c.at_ms >= asked.since_ms)
    if asked.until_ms is not None:
        query = query.where(_t.c.at_ms < asked.until_ms)
    return query


def remove_older(conn: Connection, *, before_ms: int, limit: int) -> int:
    """Delete at most `limit` events from before a time; how many there were."""
    old = select(_t.c.id).where(_t.c.at_ms < before_ms).order_by(_t.c.at_ms).limit(limit)
    return conn.execute(delete(_t).where(_t.c.id.in_(old))).rowcount


def event_of_row(row: Row[Any]) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        organisation_id=row.organisation_id,
        at_ms=row.at_ms,
        type=EventType(row.type),
        subject=Subject(
            SubjectKind(row.subject_kind), row.subject_id, row.subject_name, row.catalog_id
        ),
        outcome=Outcome(row.outcome),
        member_id=row.member_id,
        member_name=row.member_name,
        credential_id=row.credential_id,
        allowed_by=row.allowed_by,
        request_id=row.request_id,
        address=row.address,
        occurrences=row.occurrences,
        details=json.loads(row.details),
    )
