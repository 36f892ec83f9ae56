"""A small cache whose entries end by themselves.  Thread-safe; knows nothing of what it holds.

Other replicas do not see what this one forgets, so lifetimes are short and every use says why it
can bear an answer that old.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    def __init__(self, *, lifetime_ms: int, entries_max: int, now_ms: Callable[[], int]) -> None:
        self._lifetime_ms: Final = lifetime_ms
        self._entries_max: Final = entries_max
        self._now_ms = now_ms
        self._entries: OrderedDict[K, tuple[int, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        now_ms = self._now_ms()
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            ends_at_ms, value = entry
            # A clock that was set back must not prolong an entry's life.
            if not ends_at_ms - self._lifetime_ms <= now_ms < ends_at_ms:
                del self._entries[key]
                return None
            return value

    def put(self, key: K, value: V, *, ends_at_ms: int | None = None) -> None:
        """Keep a value for the lifetime, or until `ends_at_ms` if that is sooner."""
        latest_ms = self._now_ms() + self._lifetime_ms
        with self._lock:
            self._entries[key] = (min(latest_ms, ends_at_ms or latest_ms), value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
