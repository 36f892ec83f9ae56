"""Turns: one commit at a time per table or view in this process.

Waiting costs less than losing the swap.  Other processes are met at the swap itself.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from weakref import WeakValueDictionary

from graticule.domain.errors import Overloaded

TURN_TIMEOUT_S: Final = 30.0
"""How long a commit waits for another one on the same table in this process."""


class Turns:
    """Locks by key, kept only while somebody holds or awaits them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    @contextmanager
    def take(self, keys: Iterable[str]) -> Iterator[None]:
        """Hold all keys, taken in sorted order so that two transactions cannot deadlock.

        Raises:
            Overloaded: others hold one of them for too long; nothing was started.
        """
        with ExitStack() as stack:
            for key in sorted(keys):
                with self._guard:
                    turn = self._locks.setdefault(key, _Lock())
                if not turn.lock.acquire(timeout=TURN_TIMEOUT_S):
                    raise Overloaded(
                        "too many commits wait for this table; nothing was changed",
                        retry_after_s=2,
                    )
                stack.callback(_release, turn)
            yield


class _Lock:
    """A lock that a weak dictionary can hold."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()


def _release(turn: _Lock) -> None:
    turn.lock.release()
