"""Verify access: can the server use this integration, and is it closed to everybody else?

Named checks in order, each with what the store answered and what to do about it.  The interesting
ones are negative: a role that anybody may assume, or a session that reaches beyond its policy, is
worse than one that does not work.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from graticule.domain.catalog import StorageIntegration
from graticule.domain.errors import CatalogError, StorageUnavailable
from graticule.domain.verification import Check, CheckStatus, Report, Surroundings
from graticule.outbound.deadlines import Deadline
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.identity import ServerIdentity
from graticule.storage.verification import (
    bucket_rules,
    openness,
    place,
    reading,
    trust,
    vending,
    writing,
)
from graticule.storage.verification.probe import AccessProbe
from graticule.storage.verification.remedies import (
    NOT_S3_REMEDY,
    UNREACHABLE_REMEDY,
    may_spread_yet,
    remedy_for,
)
from graticule.storage.verification.step import Failed, Skipped, Step

STEPS: Final = (
    *place.STEPS,
    *trust.STEPS,
    *reading.STEPS,
    *writing.STEPS,
    *vending.STEPS,
    *openness.STEPS,
    *bucket_rules.STEPS,
    writing.CLEANUP,
)
"""Every check there is, in the order in which they run."""

CHECKS_S_MAX: Final = 60.0
"""For all checks together, waiting for IAM not counted.  A healthy store takes a second."""
CLEANUP_S_MAX: Final = 15.0
PATIENCE_S_MAX: Final = 180.0
"""The longest to wait for a change of IAM to spread."""
PAUSES_S: Final = (5.0, 10.0, 20.0)
"""Before each new attempt; the last one repeats."""

Progress = Callable[[Sequence[Check], str], None]
"""Told of the checks that are done, and what is waited for."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be verified, and how patiently."""

    integration: StorageIntegration
    surroundings: Surroundings = field(default_factory=Surroundings)
    patience_s: float = 0.0
    """How long refusals are tried again that may only mean that IAM has not caught up."""


def verify(
    request: Request,
    *,
    identity: ServerIdentity,
    outbound: Outbound = PUBLIC_ONLY,
    progress: Progress = lambda _checks, _waiting: None,
    stopping: threading.Event | None = None,
    checks_s_max: float = CHECKS_S_MAX,
    pauses_s: Sequence[float] = PAUSES_S,
) -> Report:
    """Run every check against the store, in bounded time.

    Never raises for what the store does; writes only below `<path>/.graticule-access-check/`, and
    removes it again.  Once `stopping` is set, what is under way is cut off and the rest is skipped.
    """
    probe = AccessProbe(request.integration, identity, request.surroundings, outbound)
    stopping = stopping or threading.Event()
    patience = _Patience(min(request.patience_s, PATIENCE_S_MAX), pauses_s, stopping)
    clock = _Allowance(checks_s_max)
    checks: list[Check] = []
    unmet: set[str] = set()
    lost_at: str | None = None
    for step in STEPS:
        missing = next((need for need in step.needs if need in unmet), None)
        if step is writing.CLEANUP:
            check = _attempt(step, probe, CLEANUP_S_MAX).check
        elif missing is not None:
            check = _skipped(step, f"needs `{missing}`")
        elif lost_at is not None:
            check = _skipped(step, f"the store gave no answer to `{lost_at}`")
        elif stopping.is_set():
            check = _skipped(step, "the server stops")
        elif clock.remaining_s <= 0:
            check = _skipped(step, f"the {checks_s_max:.0f} s that checks may take are over")
        else:
            ended = _patiently(step, probe, clock, patience, lambda text: progress(checks, text))
            check, lost_at = ended.check, step.id if ended.is_lost else None
        if missing is not None or check.status is CheckStatus.FAIL:
            unmet.add(step.id)
        checks.append(check)
        progress(checks, "")
    return Report(tuple(checks), probe.bucket_type, probe.requester_pays)


class _Allowance:
    """The time that the checks may take together."""

    def __init__(self, seconds: float) -> None:
        self.remaining_s = seconds

    def spend(self, seconds: float) -> None:
        self.remaining_s -= seconds


class _Patience:
    """The time that is left for waiting until IAM has caught up."""

    def __init__(
        self, seconds: float, pauses_s: Sequence[float], stopping: threading.Event
    ) -> None:
        self._remaining_s = seconds
        self._pauses_s = pauses_s
        self.stopping = stopping

    def pause_s(self, attempt: int) -> float | None:
        """How long to wait after this attempt; None when patience has run out."""
        wanted = self._pauses_s[min(attempt, len(self._pauses_s)) - 1]
        if self._remaining_s < wanted or self.stopping.is_set():
            return None
        return wanted

    def wait(self, seconds: float) -> None:
        self._remaining_s -= seconds
        self.stopping.wait(seconds)


@dataclass(frozen=True, slots=True)
class _Ended:
    check: Check
    may_spread: bool = False
    """The same attempt may end otherwise once IAM has caught up."""
    is_lost: bool = False
    """The store does not answer at all: further questions would only take time."""


def _patiently(
    step: Step,
    probe: AccessProbe,
    clock: _Allowance,
    patience: _Patience,
    tell: Callable[[str], None],
) -> _Ended:
    attempt, ms = 0, 0
    while True:
        attempt += 1
        started = time.monotonic()
        ended = _attempt(step, probe, clock.remaining_s, patience.stopping)
        clock.spend(time.monotonic() - started)
        ms += ended.check.ms
        pause_s = patience.pause_s(attempt) if ended.may_spread else None
        if pause_s is None or clock.remaining_s <= 0:
            tried = f" (tried {attempt} times)" if attempt > 1 else ""
            check = replace(ended.check, ms=ms, detail=ended.check.detail + tried)
            return replace(ended, check=check)
        tell(f"`{step.id}` was refused; IAM may need a moment, trying again in {pause_s:.0f} s")
        patience.wait(pause_s)


def _attempt(
    step: Step, probe: AccessProbe, seconds: float, stopping: threading.Event | None = None
) -> _Ended:
    started = time.perf_counter()

    def found(status: CheckStatus, detail: str, remedy: str = "") -> Check:
        ms = round((time.perf_counter() - started) * 1000)
        return Check(step.id, step.title, status, ms, detail, remedy)

    with Deadline(seconds, stopping) as deadline:
        try:
            passed = step.run(probe)
            ended = _Ended(found(CheckStatus.PASS, passed.detail, passed.advice))
        except Skipped as skipped:
            ended = _Ended(found(CheckStatus.SKIP, str(skipped)))
        except Failed as failed:
            ended = _Ended(found(CheckStatus.FAIL, failed.detail, failed.remedy))
        except CatalogError as error:
            ended = _Ended(
                found(CheckStatus.FAIL, error.message, remedy_for(error, step.remedy)),
                may_spread=step.may_propagate and may_spread_yet(error),
                is_lost=isinstance(error, StorageUnavailable),
            )
        except Exception as error:  # noqa: BLE001  a foreign store may answer anything at all
            detail = f"the answer is not what S3 says ({type(error).__name__})"
            ended = _Ended(found(CheckStatus.FAIL, detail, NOT_S3_REMEDY))
        if deadline.has_passed:
            detail = f"no complete answer after {time.perf_counter() - started:.0f} s; given up"
            ended = _Ended(found(CheckStatus.FAIL, detail, UNREACHABLE_REMEDY), is_lost=True)
    return ended


def _skipped(step: Step, why: str) -> Check:
    return Check(step.id, step.title, CheckStatus.SKIP, 0, why)
