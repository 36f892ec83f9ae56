"""The audit log: what changed nothing is noted, admins read, and time takes it away again.

Changes write their events themselves, see `audit_trail`.  What changes nothing, such as
handing out a credential or refusing a request, is noted in memory and written a moment later: it
must not make reads wait for the database.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog
from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import audit as audit_db
from graticule.db.engine import read, write
from graticule.domain.audit import (
    AuditEvent,
    AuditFilter,
    EventType,
    Outcome,
    Subject,
    SubjectKind,
    event_of,
)
from graticule.domain.errors import CatalogError
from graticule.domain.grants import Privilege
from graticule.domain.tenancy import Principal
from graticule.services import meters
from graticule.services.pages import Page, page

log = structlog.get_logger(__name__)

NOTED_MAX: Final = 10_000
"""Events that wait in memory.  What comes when that is full is counted in the log, and lost."""
TARGET_CHARACTERS_MAX: Final = 500
EXPORT_PAGE_EVENTS: Final = 1_000
EXPIRED_BATCH_EVENTS: Final = 1_000
DAY_MS: Final = 86_400_000

_Same = tuple[str, str, str, str, Outcome, str, tuple[tuple[str, Any], ...]]


class Audit:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int], retention_days: int) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._retention_ms = retention_days * DAY_MS
        self._guard = threading.Lock()
        self._noted: dict[_Same, AuditEvent] = {}
        self._lost = 0

    def note(
        self,
        principal: Principal,
        type_: EventType,
        subject: Subject,
        *,
        outcome: Outcome = Outcome.SUCCEEDED,
        by: Privilege | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep an event for the next `flush`.  Equal ones until then become one with a count."""
        if not principal.organisation_id:
            return
        same = (
            principal.member_id,
            principal.key_id,
            type_,
            subject.id,
            outcome,
            principal.origin.address,
            tuple((details or {}).items()),
        )
        with self._guard:
            known = self._noted.get(same)
            if known is not None:
                self._noted[same] = replace(known, occurrences=known.occurrences + 1)
                return
            if len(self._noted) >= NOTED_MAX:
                self._lost += 1
                meters.AUDIT_EVENTS_LOST.inc()
                return
            self._noted[same] = event_of(
                principal,
                type_,
                subject,
                event_id=str(uuid7()),
                now_ms=self._now_ms(),
                outcome=outcome,
                by=by,
                details=details,
            )

    def note_denied(self, principal: Principal, *, operation: str, target: str, why: str) -> None:
        """Keep that a request was refused: to the route `operation`, as `target`."""
        subject = Subject(SubjectKind.REQUEST, operation, target[:TARGET_CHARACTERS_MAX])
        self.note(
            principal,
            EventType.REQUEST_DENIED,
            subject,
            outcome=Outcome.DENIED,
            details={"reason": why},
        )

    def flush(self, _stopping: threading.Event | None = None) -> None:
        """Write what was noted.  When the database does not answer, it stays noted."""
        with self._guard:
            noted, self._noted = self._noted, {}
            lost, self._lost = self._lost, 0
        if lost:
            log.error("audit events lost: too many at once", lost=lost, noted_max=NOTED_MAX)
        if not noted:
            return
        try:
            with write(self._engine) as conn:
                audit_db.record(conn, *noted.values())
        except CatalogError:
            with self._guard:
                self._noted = {**noted, **self._noted}
            raise

    def list(
        self, principal: Principal, asked: AuditFilter, *, after: str | None = None, limit: int
    ) -> Page:
        """Events of the caller's organisation, newest first."""
        require(principal, Action.READ_AUDIT)
        with read(self._engine) as conn:
            found = audit_db.page(
                conn, principal.organisation_id, asked, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda event: event.id)

    def export(self, principal: Principal, asked: AuditFilter) -> Iterator[AuditEvent]:
        """All events that are asked for, oldest first, read page by page as they are taken."""
        require(principal, Action.READ_AUDIT)
        return self._export(principal.organisation_id, asked)

    def _export(self, organisation_id: str, asked: AuditFilter) -> Iterator[AuditEvent]:
        after = None
        while True:
            with read(self._engine) as conn:
                found = audit_db.page(
                    conn,
                    organisation_id,
                    asked,
                    after=after,
                    limit=EXPORT_PAGE_EVENTS,
                    newest_first=False,
                )
            yield from found
            if len(found) < EXPORT_PAGE_EVENTS:
                return
            after = found[-1].id

    def remove_expired(self, stopping: threading.Event) -> None:
        """Delete events that are older than the retention, batch by batch."""
        before_ms = self._now_ms() - self._retention_ms
        removed = EXPIRED_BATCH_EVENTS
        while removed == EXPIRED_BATCH_EVENTS and not stopping.is_set():
            with write(self._engine) as conn:
                removed = audit_db.remove_older(
                    conn, before_ms=before_ms, limit=EXPIRED_BATCH_EVENTS
                )
