"""Ends the conversations of one thread when their time is up.

Whoever asks several questions may have less time for all than each may take, and a TLS handshake
that trickles trips no time-out at all.  So every connection that is opened under a deadline is cut
from outside once that has passed.
"""

import socket
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Self

STOP_LATENCY_S: Final = 0.25

_current: ContextVar["Deadline | None"] = ContextVar("deadline", default=None)


class Deadline:
    """`with Deadline(seconds):` bounds what watched connections do inside, in this thread.

    It passes early once `stopping` is set.
    """

    def __init__(self, seconds: float, stopping: threading.Event | None = None) -> None:
        self._ends_at_s = time.monotonic() + seconds
        self._stopping = stopping or threading.Event()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="deadline", daemon=True)
        self._guard = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_over = False

    @property
    def has_passed(self) -> bool:
        return self._is_over

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        self._watcher.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        _current.reset(self._token)
        self._done.set()
        self._watcher.join()
        with self._guard:
            for opened in self._sockets:
                opened.close()
            self._sockets.clear()

    def add(self, opened: socket.socket) -> None:
        """Cut this connection too when the time is up; at once if it is."""
        # A descriptor of our own: TLS takes the socket's away, and the cut needs one to the end.
        own = opened.dup()
        with self._guard:
            self._sockets.append(own)
            is_over = self._is_over
        if is_over:
            _shut(own)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            left_s = self._ends_at_s - time.monotonic()
            if left_s <= 0:
                break
            if self._done.wait(min(left_s, STOP_LATENCY_S)):
                return
        with self._guard:
            self._is_over = True
            for opened in self._sockets:
                _shut(opened)


def _shut(opened: socket.socket) -> None:
    with suppress(OSError):  # the other side was quicker
        opened.shutdown(socket.SHUT_RDWR)


def watched(opened: socket.socket) -> socket.socket:
    """Put a connection under the deadline in force in this thread, if any."""
    deadline = _current.get()
    if deadline is not None:
        deadline.add(opened)
    return opened
