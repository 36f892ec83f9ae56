"""Remembers temporary credentials, and lets one caller fetch what many ask for at once.

Memory only: a credential is never written anywhere.  Failures are not remembered, so whoever mends
a role is believed at once; those who ask meanwhile share one flight and queue at a narrow gate.
What cannot be had, whoever asks, is no failure but an answer, and kept like one.
"""

import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from graticule.domain import waiting
from graticule.domain.errors import (
    NoNarrowSession,
    StorageRefused,
    StorageUnavailable,
)
from graticule.services import meters
from graticule.storage.gates import Gate
from graticule.storage.keys import TemporaryCredentials

ENTRIES_MAX: Final = 10_000
LIFE_LEFT_MS_MIN: Final = 15 * 60 * 1000
"""A credential handed out lasts at least this long, or two thirds of a shorter life."""

FRESH_LIFE_MS_MIN: Final = 6 * 60 * 1000
"""Java clients refresh five minutes before the end: a shorter life would refresh for ever."""

JITTER: Final = 0.1
"""The part of a life by which renewals are spread, so that not all fall due at once."""

STILL_DOWN_MS: Final = 5_000
"""How long a credential with life left is served before a dead token service is tried again."""

IMPOSSIBLE_MS: Final = 10 * 60 * 1000
"""For what only a change of the table or of the store could make possible."""

CALLERS_MAX: Final = 4
"""Requests that wait for one integration's token service at once, a quarter of the threads."""

Key = tuple[Hashable, ...]
"""What is fetched; the first part is the integration's id."""


@dataclass(frozen=True, slots=True)
class _Lease:
    credentials: TemporaryCredentials
    good_until_ms: int
    """Up to here it is handed out without a thought: half its life."""


@dataclass(frozen=True, slots=True)
class _Obstacle:
    error: NoNarrowSession
    until_ms: int


@dataclass(slots=True)
class _Entry:
    lease: _Lease | None = None
    obstacle: _Obstacle | None = None
    flight: Future[TemporaryCredentials] | None = None


class CredentialCache:
    """A bounded cache, least recently used out first, with a single flight per key.

    `spread` gives a number from 0 to 1 for each credential: how much of the jitter it gets.
    """

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        entries_max: int = ENTRIES_MAX,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._now_ms = now_ms
        self._entries_max = entries_max
        self._spread = spread
        self._guard = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._gates: OrderedDict[Hashable, Gate] = OrderedDict()

    def get(self, key: Key, fetch: Callable[[], TemporaryCredentials]) -> TemporaryCredentials:
        """The remembered credential, or a new one from `fetch`.

        Past half its life a credential is renewed.  If the token service is down just then, the
        old one is still handed out as long as it lasts `LIFE_LEFT_MS_MIN`.

        Raises:
            StorageRefused, StorageUnavailable: from `fetch`; or too many are waiting for this
                integration already.
            NoNarrowSession: from `fetch`, now or in the last `IMPOSSIBLE_MS`.
        """
        with self._guard:
            found = self._known(key)
            gate = self._gate_of(key[0])
        if found is not None:
            meters.CREDENTIALS_CACHED.inc()
            return found
        waiting.announce()
        with gate.enter():
            return self._fetched(key, fetch)

    def invalidate(self, integration_id: str) -> None:
        """Forget everything of an integration; a fetch under way answers those who wait for it."""
        with self._guard:
            for key in [key for key in self._entries if key[0] == integration_id]:
                del self._entries[key]
            self._gates.pop(integration_id, None)

    def _known(self, key: Key) -> TemporaryCredentials | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        now_ms = self._now_ms()
        if entry.lease is not None and now_ms < entry.lease.good_until_ms:
            return entry.lease.credentials
        if entry.obstacle is not None and now_ms < entry.obstacle.until_ms:
            error = entry.obstacle.error
            raise type(error)(error.message, **error.context) from error
        return None

    def _gate_of(self, integration_id: Hashable) -> Gate:
        gate = self._gates.get(integration_id)
        if gate is None:
            gate = self._gates[integration_id] = Gate(
                "the token service of this storage", callers_max=CALLERS_MAX
            )
            while len(self._gates) > self._entries_max:
                self._gates.popitem(last=False)
        return gate

    def _fetched(self, key: Key, fetch: Callable[[], TemporaryCredentials]) -> TemporaryCredentials:
        with self._guard:
            found = self._known(key)  # somebody may have been quicker at the gate
            if found is not None:
                return found
            entry = self._entries.setdefault(key, _Entry())
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)
            flight, leads = entry.flight, entry.flight is None
            if flight is None:
                flight = entry.flight = Future()
        meters.CREDENTIALS_FETCHED.inc()
        if leads:
            self._fly(entry, flight, fetch)
        return flight.result()

    def _fly(
        self,
        entry: _Entry,
        flight: Future[TemporaryCredentials],
        fetch: Callable[[], TemporaryCredentials],
    ) -> None:
        try:
            lease = self._lease(entry.lease, fetch)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting must not hang
            with self._guard:
                entry.flight = None
                if isinstance(error, NoNarrowSession):
                    entry.obstacle = _Obstacle(error, self._now_ms() + IMPOSSIBLE_MS)
            meters.TOKEN_SERVICE_FAILED.inc()
            flight.set_exception(error)
        else:
            with self._guard:
                entry.lease, entry.obstacle, entry.flight = lease, None, None
            meters.TOKEN_SERVICE_ANSWERED.inc()
            flight.set_result(lease.credentials)

    def _lease(self, old: _Lease | None, fetch: Callable[[], TemporaryCredentials]) -> _Lease:
        asked_at_ms = self._now_ms()
        try:
            credentials = fetch()
        except StorageUnavailable:
            if old is None:
                raise
            left_ms = old.credentials.expires_at_ms - self._now_ms()
            if left_ms < LIFE_LEFT_MS_MIN:
                raise
            # Not asked again for a moment: that takes as long as the time-outs of a dead service.
            again_ms = min(STILL_DOWN_MS, left_ms - LIFE_LEFT_MS_MIN)
            return _Lease(old.credentials, good_until_ms=self._now_ms() + again_ms)
        life_ms = credentials.expires_at_ms - asked_at_ms
        if life_ms < FRESH_LIFE_MS_MIN:
            raise StorageRefused(
                f"the token service issued a session of {life_ms // 1000} s; "
                f"clients need at least {FRESH_LIFE_MS_MIN // 1000} s"
            )
        early_ms = int(life_ms * JITTER * self._spread())
        keep_ms = life_to_keep_ms(life_ms)
        return _Lease(credentials, credentials.expires_at_ms - keep_ms - early_ms)


def life_to_keep_ms(life_ms: int) -> int:
    """How much of its life a credential must have left to be handed out once more."""
    return max(life_ms // 2, min(LIFE_LEFT_MS_MIN, life_ms * 2 // 3))
