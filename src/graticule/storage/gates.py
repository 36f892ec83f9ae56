"""Keeps a slow store from taking all of the server's threads: a few callers wait, the rest leave.

One gate stands before one integration.  As long as its store answers, callers who find the gate
full queue for a moment; once the callers inside have been stuck for longer than anybody's patience,
newcomers are told so at once.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from graticule.domain.errors import StorageCrowded

PATIENCE_S: Final = 2.0

STORE_CALLERS_MAX: Final = 10
"""Threads that wait for one integration's store at once.  Together with those that wait for its
token service they are fewer than a process has, so others go on being served."""


class Gate:
    def __init__(self, name: str, *, callers_max: int, patience_s: float = PATIENCE_S) -> None:
        """`name` says in messages what is behind the gate."""
        self._name = name
        self._callers_max = callers_max
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._entered_at_s: dict[int, float] = {}
        self._ticket = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be one of the few inside.

        Raises:
            StorageCrowded: those inside do not come out; nothing was started.
        """
        ticket = self._take()
        try:
            yield
        finally:
            with self._changed:
                del self._entered_at_s[ticket]
                self._changed.notify()

    def _take(self) -> int:
        with self._changed:
            while len(self._entered_at_s) >= self._callers_max:
                oldest_s = min(self._entered_at_s.values())
                left_s = oldest_s + self._patience_s - time.monotonic()
                if left_s <= 0:
                    raise StorageCrowded(
                        f"{self._name} is slow: {self._callers_max} requests have been waiting "
                        "for it; nothing was started, try again later"
                    )
                self._changed.wait(left_s)
            self._ticket += 1
            self._entered_at_s[self._ticket] = time.monotonic()
            return self._ticket
