"""Turns: one commit at a time per table or view on this machine, tried until it lands.

Waiting costs less than losing the swap.  Threads wait for each other at a lock, processes at a lock
on a byte of a file that they share, which the kernel lifts when a process dies.  Other machines are
met at the swap itself, so nothing is lost where the file cannot be had.
"""

import fcntl
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import structlog

from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import CommitConflict, Overloaded
from graticule.domain.identifiers import TableIdentifier

log = structlog.get_logger(__name__)
T = TypeVar("T")

COMMIT_ATTEMPTS_MAX: Final = 32
"""Swaps lost to other machines before the client is told to try again."""
RETRY_PAUSE_S: Final = 0.02
RETRY_PAUSE_S_MAX: Final = 0.2

TURN_TIMEOUT_S: Final = 30.0
"""How long a commit waits for others on the same tables."""

POLL_S_MIN: Final = 0.0003
POLL_S_MAX: Final = 0.002


class Turns:
    """Locks by key, kept only while somebody holds or awaits them.

    `file` is shared by the processes of the machine that serve one database; without it there is
    one process.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._locks: WeakValueDictionary[str, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()
        self._file = None if file is None else _opened(file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def until_landed(
        self,
        catalog: OpenCatalog,
        identifiers: Sequence[TableIdentifier],
        attempt: Callable[[int], T | None],
    ) -> T:
        """Take the turns of these tables or views, and `attempt` a commit until it lands.

        `attempt` is given its number and returns None when another machine was first.

        Raises:
            CommitConflict: others were first every time.
            Overloaded: as for `take`.
        """
        keys = [f"{catalog.catalog.id}/{i.namespace.path}/{i.name}" for i in identifiers]
        with self.take(keys):
            for number in range(1, COMMIT_ATTEMPTS_MAX + 1):
                landed = attempt(number)
                if landed is not None:
                    return landed
                pause_s = min(RETRY_PAUSE_S_MAX, RETRY_PAUSE_S * number)
                time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
        raise CommitConflict(
            f"Commit failed: `{identifiers[0]}` was changed by other writers "
            f"{COMMIT_ATTEMPTS_MAX} times while this commit was being applied; try again"
        )

    @contextmanager
    def take(self, keys: Iterable[str]) -> Iterator[None]:
        """Hold all keys, taken in sorted order so that two transactions cannot deadlock.

        Raises:
            Overloaded: others hold one of them for too long; nothing was started.
        """
        deadline = time.monotonic() + TURN_TIMEOUT_S
        with ExitStack() as stack:
            for key in sorted(keys):
                with self._guard:
                    turn = self._locks.setdefault(key, _Lock())
                if not turn.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                    raise _too_many()
                stack.callback(_release, turn)
                if self._file is not None:
                    stack.enter_context(_machine_turn(self._file, key, deadline))
            yield


class _Lock:
    """A lock that a weak dictionary can hold."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()


def _release(turn: _Lock) -> None:
    turn.lock.release()


@contextmanager
def _machine_turn(file: int, key: str, deadline: float) -> Iterator[None]:
    """Hold a key among processes.  Only one thread of each may ask for it at a time.

    Whoever is next waits at a gate of its own.  So a process that has just had its turn finds the
    gate taken, and cannot be quicker time and again than one that looks up now and then.
    """
    turn = int.from_bytes(blake2b(key.encode(), digest_size=7).digest()) * 2
    gate = turn + 1
    _lock_byte(file, gate, deadline)
    try:
        _lock_byte(file, turn, deadline)
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, gate)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, turn)


def _lock_byte(file: int, at: int, deadline: float) -> None:
    # Not left to the kernel: it would wait for ever, and take threads that wait for two tables for
    # processes in a deadlock.
    pause = POLL_S_MIN
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
        except (BlockingIOError, PermissionError):  # either, says POSIX
            if time.monotonic() > deadline:
                raise _too_many() from None
            time.sleep(pause)
            pause = min(POLL_S_MAX, pause * 1.25)
        else:
            return


def _opened(file: Path) -> int | None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        log.warning("processes do not take turns at commits", file=str(file), error=str(error))
        return None


def _too_many() -> Overloaded:
    return Overloaded("too many commits wait for this table; nothing was changed", retry_after_s=2)
