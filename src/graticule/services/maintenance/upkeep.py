"""What the server does by itself now and then, in one thread of its own."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

log = structlog.get_logger(__name__)

PAUSE_S: Final = 30.0

Task = Callable[[threading.Event], None]
"""Called again and again; returns early once the event is set."""


class Upkeep:
    """Runs tasks one after the other, then waits.  A task that fails is logged and tried again."""

    def __init__(self, tasks: Sequence[Task], *, pause_s: float = PAUSE_S) -> None:
        self._tasks = tasks
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Do not wait for the end of the pause: there is something to do."""
        self._due.set()

    def close(self) -> None:
        self._stopping.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._due.clear()
            for task in self._tasks:
                try:
                    task(self._stopping)
                except Exception:
                    log.exception("upkeep failed")
            self._due.wait(self._pause_s)
