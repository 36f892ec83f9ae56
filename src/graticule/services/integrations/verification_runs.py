"""Runs verifications: one at a time for each integration, in a pool of their own.

So a store that stalls holds up nobody else.  Any server may run what is due; a lease keeps others
away.  No database connection is held while one talks to its store.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Protocol

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.keyring import Keyring
from graticule.db import integrations as integrations_db
from graticule.db import verifications as verifications_db
from graticule.db.engine import read, serialise_on, transact, write
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import BucketType, StorageIntegration
from graticule.domain.errors import NoSuchIntegration, Overloaded
from graticule.domain.tenancy import Principal
from graticule.domain.verification import (
    Check,
    CheckStatus,
    Report,
    Trigger,
    Verification,
    VerificationState,
)
from graticule.services.events.audit_trail import record
from graticule.services.integrations.verification_slots import (
    RUNNING_MAX,
    Slot,
    VerificationSlots,
    too_many,
)
from graticule.storage.verification.engine import (
    CHECKS_S_MAX,
    CLEANUP_S_MAX,
    PATIENCE_S_MAX,
    Progress,
    Request,
)

log = structlog.get_logger(__name__)

WAIT_S_MAX: Final = 60.0
"""How long a request may wait for a result."""
PROGRESS_PAUSE_S: Final = 1.0
"""Between two notes of progress: a healthy store is done before the first."""
POLL_S: Final = 0.25
MARGIN_S: Final = 30.0
"""Beyond its own limits, before a verification counts as interrupted; waiting for a thread
included."""

PERIOD_S: Final = 24 * 3600
PERIOD_JITTER: Final = 0.1
"""Of the period, either way, so that what was made together is not verified together for ever."""
DOUBT_PAUSE_MS: Final = 10 * 60 * 1000
"""Between two verifications of an integration because the store refused something."""


class Verify(Protocol):
    """Asks the store and its token service: `storage.verification.engine.verify`, as the server."""

    def __call__(
        self, request: Request, /, *, progress: Progress, stopping: threading.Event
    ) -> Report: ...


class VerificationRuns:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        *,
        now_ms: Callable[[], int],
        verify: Verify,
        invalidate: Callable[[str], None],
        period_s: int = PERIOD_S,
    ) -> None:
        """`period_s` 0 means that nothing is verified unless somebody asks."""
        self._engine = engine
        self._keyring = keyring
        self._now_ms = now_ms
        self._verify = verify
        self._invalidate = invalidate
        self._period_s = period_s
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(RUNNING_MAX, thread_name_prefix="verification")
        self._slots = VerificationSlots()
        self._guard = threading.Lock()
        self._futures: dict[str, Future[None]] = {}
        self._doubted: dict[str, int] = {}

    def begin(
        self,
        integration: StorageIntegration,
        trigger: Trigger,
        *,
        by: Principal | None,
        retry_s: float,
    ) -> Verification:
        """Begin a verification, or join the one that runs; returns at once.

        Raises:
            NoSuchIntegration: it was deleted meanwhile.
            Overloaded: too many are running.
        """
        patience_s = min(retry_s, PATIENCE_S_MAX)
        now_ms = self._now_ms()
        lasts_s = CHECKS_S_MAX + CLEANUP_S_MAX + patience_s + MARGIN_S
        wanted = Verification(
            id=str(uuid7()),
            integration_id=integration.id,
            trigger=trigger,
            requested_by=by.name if by is not None else None,
            state=VerificationState.RUNNING,
            checks=(),
            waiting="",
            bucket_type=integration.bucket_type,
            started_at_ms=now_ms,
            ends_by_ms=now_ms + round(lasts_s * 1000),
        )
        slot = self._slots.take(
            integration.organisation_id, is_scheduled=trigger is not Trigger.MANUAL
        )
        current = None
        try:
            begun, current = transact(self._engine, self._create_unless_running, wanted)
        finally:
            if current is None:
                slot.release()
        if current is not None:
            with self._guard:
                self._futures[begun.id] = self._pool.submit(
                    self._run, current, begun, by, patience_s, slot
                )
        return begun

    def try_out(self, candidate: StorageIntegration) -> Report:
        """Verify what is not there, or not so, to the end.  Keeps nothing.

        Raises:
            AlreadyExists: another organisation has the role.
            Overloaded: too many are running, or waited for.
        """
        with read(self._engine) as conn:
            integrations_db.refuse_role_of_others(conn, candidate)
            surroundings = integrations_db.surroundings(conn, candidate)
        request = Request(candidate, surroundings)
        with self._slots.waiting() as may_wait:
            if not may_wait:
                raise too_many()
            slot = self._slots.take(candidate.organisation_id, is_scheduled=False)
            try:
                return self._verify(
                    request, progress=lambda _checks, _waiting: None, stopping=self._stopping
                )
            finally:
                slot.release()

    def wait(self, begun: Verification, wait_s: float) -> None:
        """Until it has ended, here or in another process, or the time is up."""
        ends_at_s = time.monotonic() + min(wait_s, WAIT_S_MAX)
        with self._guard:
            future = self._futures.get(begun.id)
        with self._slots.waiting() as may_wait:
            if not may_wait:
                return
            if future is not None:
                wait([future], timeout=max(0.0, ends_at_s - time.monotonic()))
                return
            while time.monotonic() < ends_at_s and not self._stopping.wait(POLL_S):
                with read(self._engine) as conn:
                    found = verifications_db.find(
                        conn, begun.integration_id, begun.id, now_ms=self._now_ms()
                    )
                if found is None or not found.is_running:
                    return

    def run_due(self, stopping: threading.Event) -> None:
        """Begin the verifications whose time has come, a few at once; waits for none of them."""
        while not stopping.is_set() and self._slots.has_room_for_scheduled():
            now_ms = self._now_ms()
            lease_s = CHECKS_S_MAX + CLEANUP_S_MAX + 2 * MARGIN_S
            with write(self._engine) as conn:
                due = integrations_db.lease_due(
                    conn, now_ms=now_ms, until_ms=now_ms + round(lease_s * 1000)
                )
                found = (
                    integrations_db.load(conn, self._keyring, due[0]) if due is not None else None
                )
            if due is None or found is None:
                return
            try:
                self.begin(found, due[1], by=None, retry_s=0)
            except Overloaded:
                return  # the lease runs out, and somebody takes it up

    def doubt(self, integration: StorageIntegration) -> None:
        """The store has refused something: look soon whether the integration still works."""
        now_ms = self._now_ms()
        with self._guard:
            last_ms = self._doubted.get(integration.id)
            if last_ms is not None and now_ms - last_ms < DOUBT_PAUSE_MS:
                return
            self._doubted = {
                known: at_ms
                for known, at_ms in self._doubted.items()
                if now_ms - at_ms < DOUBT_PAUSE_MS
            } | {integration.id: now_ms}
        with write(self._engine) as conn:
            doubted = integrations_db.doubt(conn, integration.id, now_ms=now_ms)
        if doubted:
            log.warning("integration doubted", integration_id=integration.id)

    def close(self) -> None:
        """Cut off what runs, but for taking its probes away again."""
        self._stopping.set()
        self._pool.shutdown(wait=True)

    def _create_unless_running(
        self, conn: Connection, wanted: Verification
    ) -> tuple[Verification, StorageIntegration | None]:
        """The verification that runs from now on, with what is to be verified; or that ran."""
        serialise_on(conn, f"verification {wanted.integration_id}")
        running = verifications_db.running(conn, wanted.integration_id, now_ms=wanted.started_at_ms)
        if running is not None:
            return running, None
        # Again: one that has just ended may have learnt something.
        current = integrations_db.load(conn, self._keyring, wanted.integration_id)
        if current is None:
            raise NoSuchIntegration("the storage integration was deleted")
        verifications_db.create(conn, wanted)
        return wanted, current

    def _run(
        self,
        integration: StorageIntegration,
        begun: Verification,
        by: Principal | None,
        patience_s: float,
        slot: Slot,
    ) -> None:
        try:
            # A credential from before the last edit of a policy proves nothing.
            self._invalidate(integration.id)
            with read(self._engine) as conn:
                surroundings = integrations_db.surroundings(conn, integration)
            report = self._verify(
                Request(integration, surroundings, patience_s),
                progress=_Progress(self._engine, begun.id),
                stopping=self._stopping,
            )
            if self._stopping.is_set():
                transact(self._engine, self._interrupt, begun, report)
                return
            transact(self._engine, self._finish, integration, begun, by, report)
            _tell(integration, begun, report)
        except Exception:
            log.exception("verification broke off", integration_id=integration.id)
        finally:
            with self._guard:
                self._futures.pop(begun.id, None)
            slot.release()

    def _finish(
        self,
        conn: Connection,
        integration: StorageIntegration,
        begun: Verification,
        by: Principal | None,
        report: Report,
    ) -> None:
        now_ms = self._now_ms()
        bucket_type = _bucket_type(integration, report)
        pays = bucket_type is BucketType.REQUESTER_PAYS or bool(report.requester_pays)
        kept = integrations_db.keep_findings(
            conn,
            integration,
            passed=report.passed,
            bucket_type=bucket_type,
            requester_pays=integration.requester_pays or pays,
            now_ms=now_ms,
            verify_at_ms=self._next_ms(now_ms),
        )
        state = VerificationState.PASSED if report.passed else VerificationState.FAILED
        verifications_db.finish(
            conn,
            begun.id,
            state=state if kept else VerificationState.OUTDATED,
            checks=report.checks,
            bucket_type=bucket_type,
            now_ms=now_ms,
        )
        if kept and by is not None:
            record(
                conn,
                by,
                EventType.INTEGRATION_VERIFIED,
                Subject(SubjectKind.INTEGRATION, integration.id, integration.name),
                now_ms=now_ms,
                details={"verification_id": begun.id, "passed": report.passed},
            )

    def _interrupt(self, conn: Connection, begun: Verification, report: Report) -> None:
        """The server stops: what was cut off says nothing about the store."""
        verifications_db.finish(
            conn,
            begun.id,
            state=VerificationState.INTERRUPTED,
            checks=report.checks,
            bucket_type=begun.bucket_type,
            now_ms=self._now_ms(),
        )

    def _next_ms(self, now_ms: int) -> int | None:
        if self._period_s == 0:
            return None
        jitter = random.uniform(1 - PERIOD_JITTER, 1 + PERIOD_JITTER)  # noqa: S311 - no secret
        return now_ms + round(self._period_s * 1000 * jitter)


class _Progress:
    """Writes down now and then how far a verification has come, for whoever asks anywhere."""

    def __init__(self, engine: Engine, verification_id: str) -> None:
        self._engine = engine
        self._verification_id = verification_id
        self._noted_at_s = time.monotonic()

    def __call__(self, checks: Sequence[Check], waiting: str) -> None:
        now_s = time.monotonic()
        if not waiting and now_s - self._noted_at_s < PROGRESS_PAUSE_S:
            return
        self._noted_at_s = now_s
        with write(self._engine) as conn:
            verifications_db.show_progress(conn, self._verification_id, checks, waiting)


def _tell(integration: StorageIntegration, begun: Verification, report: Report) -> None:
    failed = [check.id for check in report.checks if check.status is CheckStatus.FAIL]
    tell = log.warning if failed else log.info
    tell(
        "integration verified",
        integration_id=integration.id,
        trigger=begun.trigger.value,
        passed=report.passed,
        failed=failed,
        bucket_type=report.bucket_type.value,
    )


def _bucket_type(found: StorageIntegration, report: Report) -> BucketType:
    """What is known now.  A check that could not look does not undo what an earlier one saw:
    a bucket known to be public must not become a mere question mark because it is out of reach.
    """
    if report.bucket_type is BucketType.UNKNOWN:
        return found.bucket_type
    return report.bucket_type
