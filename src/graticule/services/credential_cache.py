"""Remembers temporary credentials, and lets one caller fetch what many ask for at once.

Memory only: a credential is never written anywhere.  Failures are told to whoever waited for them
and to nobody else.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from graticule.domain import waiting
from graticule.domain.errors import StorageRefused, StorageUnavailable
from graticule.storage.keys import TemporaryCredentials

ENTRIES_MAX: Final = 10_000
LIFE_LEFT_MS_MIN: Final = 15 * 60 * 1000
"""A credential handed out lasts at least this long, or two thirds of a shorter life."""

FRESH_LIFE_MS_MIN: Final = 6 * 60 * 1000
"""Java clients refresh five minutes before the end: a shorter life would refresh for ever."""

Key = tuple[Hashable, ...]
"""What is fetched; the first part is the integration's id."""


@dataclass(frozen=True, slots=True)
class _Lease:
    credentials: TemporaryCredentials
    good_until_ms: int
    """Up to here it is handed out without a thought: half its life."""


@dataclass(slots=True)
class _Entry:
    lease: _Lease | None = None
    flight: Future[TemporaryCredentials] | None = None


class CredentialCache:
    """A bounded cache, least recently used out first, with a single flight per key."""

    def __init__(self, *, now_ms: Callable[[], int], entries_max: int = ENTRIES_MAX) -> None:
        self._now_ms = now_ms
        self._entries_max = entries_max
        self._guard = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def get(self, key: Key, fetch: Callable[[], TemporaryCredentials]) -> TemporaryCredentials:
        """The remembered credential, or a new one from `fetch`.

        Past half its life a credential is renewed.  If the token service is down just then, the
        old one is still handed out as long as it lasts `LIFE_LEFT_MS_MIN`.

        Raises:
            StorageRefused, StorageUnavailable: from `fetch`.
        """
        with self._guard:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)
            lease, flight = entry.lease, entry.flight
            if lease is not None and self._now_ms() < lease.good_until_ms:
                return lease.credentials
            waiting.announce()
            leads = flight is None
            if flight is None:
                flight = entry.flight = Future()
        if leads:
            self._fly(entry, flight, fetch)
        return flight.result()

    def invalidate(self, integration_id: str) -> None:
        """Forget everything of an integration; a fetch under way answers those who wait for it."""
        with self._guard:
            for key in [key for key in self._entries if key[0] == integration_id]:
                del self._entries[key]

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
            flight.set_exception(error)
        else:
            with self._guard:
                entry.lease, entry.flight = lease, None
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
            return old
        life_ms = credentials.expires_at_ms - asked_at_ms
        if life_ms < FRESH_LIFE_MS_MIN:
            raise StorageRefused(
                f"the token service issued a session of {life_ms // 1000} s; "
                f"clients need at least {FRESH_LIFE_MS_MIN // 1000} s"
            )
        keep_ms = max(life_ms // 2, min(LIFE_LEFT_MS_MIN, life_ms * 2 // 3))
        return _Lease(credentials, good_until_ms=credentials.expires_at_ms - keep_ms)
