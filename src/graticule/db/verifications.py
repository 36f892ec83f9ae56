"""Verifications in SQL: the bounded history of each integration, and what runs now."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from graticule.db.schema import verifications
from graticule.domain.catalog import BucketType
from graticule.domain.verification import (
    Check,
    CheckStatus,
    Trigger,
    Verification,
    VerificationState,
)

_t = verifications

KEPT_MAX: Final = 100
"""Of each integration; with one a day, three months."""

_ENDED: Final = (VerificationState.PASSED, VerificationState.FAILED)


def create(conn: Connection, verification: Verification) -> None:
    """Insert one that begins, and forget the oldest of its integration beyond `KEPT_MAX`."""
    conn.execute(
        insert(_t).values(
            id=verification.id,
            integration_id=verification.integration_id,
            trigger=verification.trigger,
            requested_by=verification.requested_by,
            state=verification.state,
            checks=_encoded(verification.checks),
            waiting=verification.waiting,
            bucket_type=verification.bucket_type,
            started_at_ms=verification.started_at_ms,
            ends_by_ms=verification.ends_by_ms,
            finished_at_ms=verification.finished_at_ms,
        )
    )
    own = _t.c.integration_id == verification.integration_id
    newest = select(_t.c.id).where(own).order_by(_t.c.id.desc())
    oldest_kept = conn.execute(newest.offset(KEPT_MAX - 1).limit(1)).scalar_one_or_none()
    if oldest_kept is not None:
        conn.execute(delete(_t).where(own, _t.c.id < oldest_kept))


def show_progress(
    conn: Connection, verification_id: str, checks: Sequence[Check], waiting: str
) -> None:
    shown = update(_t).where(_t.c.id == verification_id, _t.c.state == VerificationState.RUNNING)
    conn.execute(shown.values(checks=_encoded(checks), waiting=waiting))


def finish(
    conn: Connection,
    verification_id: str,
    *,
    state: VerificationState,
    checks: Sequence[Check],
    bucket_type: BucketType,
    now_ms: int,
) -> None:
    conn.execute(
        update(_t)
        .where(_t.c.id == verification_id)
        .values(
            state=state,
            checks=_encoded(checks),
            waiting="",
            bucket_type=bucket_type,
            finished_at_ms=now_ms,
        )
    )


def running(conn: Connection, integration_id: str, *, now_ms: int) -> Verification | None:
    """The one that runs now, in whatever process."""
    query = select(_t).where(
        _t.c.integration_id == integration_id,
        _t.c.state == VerificationState.RUNNING,
        _t.c.ends_by_ms > now_ms,
    )
    row = conn.execute(query.order_by(_t.c.id.desc()).limit(1)).one_or_none()
    return _verification(row, now_ms) if row is not None else None


def find(
    conn: Connection, integration_id: str, verification_id: str, *, now_ms: int
) -> Verification | None:
    query = select(_t).where(_t.c.integration_id == integration_id, _t.c.id == verification_id)
    row = conn.execute(query).one_or_none()
    return _verification(row, now_ms) if row is not None else None


def last_ended(conn: Connection, integration_id: str, *, now_ms: int) -> Verification | None:
    """The newest that passed or failed."""
    query = select(_t).where(_t.c.integration_id == integration_id, _t.c.state.in_(_ENDED))
    row = conn.execute(query.order_by(_t.c.id.desc()).limit(1)).one_or_none()
    return _verification(row, now_ms) if row is not None else None


def page(
    conn: Connection, integration_id: str, *, after: str | None, limit: int, now_ms: int
) -> list[Verification]:
    """Newest first; `after` is the id of the oldest that was seen."""
    query = select(_t).where(_t.c.integration_id == integration_id)
    if after is not None:
        query = query.where(_t.c.id < after)
    rows = conn.execute(query.order_by(_t.c.id.desc()).limit(limit))
    return [_verification(row, now_ms) for row in rows]


def _encoded(checks: Sequence[Check]) -> str:
    return json.dumps(
        [
            {
                "id": check.id,
                "title": check.title,
                "status": check.status.value,
                "ms": check.ms,
                "detail": check.detail,
                "remedy": check.remedy,
            }
            for check in checks
        ]
    )


def _verification(row: Row[Any], now_ms: int) -> Verification:
    found = Verification(
        id=row.id,
        integration_id=row.integration_id,
        trigger=Trigger(row.trigger),
        requested_by=row.requested_by,
        state=VerificationState(row.state),
        checks=tuple(_check(**check) for check in json.loads(row.checks)),
        waiting=row.waiting,
        bucket_type=BucketType(row.bucket_type),
        started_at_ms=row.started_at_ms,
        ends_by_ms=row.ends_by_ms,
        finished_at_ms=row.finished_at_ms,
    )
    if found.is_running and found.ends_by_ms <= now_ms:
        return replace(found, state=VerificationState.INTERRUPTED, waiting="")
    return found


def _check(*, id: str, title: str, status: str, ms: int, detail: str, remedy: str) -> Check:  # noqa: A002
    return Check(id, title, CheckStatus(status), ms, detail, remedy)
