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
ATTEMPTS_TIMEOUT_S: Final = 20.0
"""Nor is any attempt begun later: a database or a store may be slow to say that others won."""
RETRY_PAUSE_S: Final = 0.02
RETRY_PAUSE_S_MAX: Final = 0.2

TURN_TIMEOUT_S: Final = 30.0
"""How long a commit waits for others on the same tables."""

IN_A_ROW_MAX: Final = 8
"""Commits to a table by threads of one process, while other processes wait."""

POLL_S_MIN: Final = 0.0003
POLL_S_MAX: Final = 0.002


def key_of(catalog: OpenCatalog, identifier: TableIdentifier) -> str:
    return f"{catalog.catalog.id}/{identifier.namespace.path}/{identifier.name}"


class Turns:
    """Turns by key, kept only while somebody has or awaits them.

    `file` is shared by the processes of the machine that serve one database; without it there is
    one process.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._guard = threading.Lock()
        self._own = threading.local()
        self._file = None if file is None else _opened(file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def until_landed(
        self,
        catalog: OpenCatalog,
        identifiers: Sequence[TableIdentifier],
        attempt: Callable[[], T | None],
    ) -> T:
        """Take the turns of these tables or views, and `attempt` a commit until it lands.

        `attempt` returns None when another machine was first.

        Raises:
            CommitConflict: others were first every time.
            Overloaded: as for `take`.
        """
        with self.take(key_of(catalog, identifier) for identifier in identifiers):
            ends_at = time.monotonic() + ATTEMPTS_TIMEOUT_S
            for number in range(1, COMMIT_ATTEMPTS_MAX + 1):
                landed = attempt()
                if landed is not None:
                    return landed
                if time.monotonic() > ends_at:
                    break
                pause_s = min(RETRY_PAUSE_S_MAX, RETRY_PAUSE_S * number)
                time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
        raise CommitConflict(
            f"Commit failed: `{identifiers[0]}` was changed by other writers again and again "
            "while this commit was being applied; try again"
        )

    @contextmanager
    def take(self, keys: Iterable[str]) -> Iterator[None]:
        """Hold all keys, taken in sorted order so that two transactions cannot deadlock.

        A thread that has a turn already keeps it, and commits within it.

        Raises:
            Overloaded: others hold one of them for too long; nothing was started.
        """
        deadline = time.monotonic() + TURN_TIMEOUT_S
        own = self._held_here()
        with ExitStack() as stack:
            for key in sorted(set(keys) - own):
                stack.enter_context(self._turn(key, deadline))
                stack.callback(own.discard, key)
                own.add(key)
            yield

    def is_held_here(self, key: str) -> bool:
        """True if this thread has the turn."""
        return key in self._held_here()

    def _held_here(self) -> set[str]:
        held: set[str] = self._own.__dict__.setdefault("keys", set())
        return held

    @contextmanager
    def _turn(self, key: str, deadline: float) -> Iterator[None]:
        with self._guard:
            turn = self._turns.setdefault(key, _Turn(key))
            turn.waiting += 1
        is_ours = turn.lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        with self._guard:
            turn.waiting -= 1
            # Or nobody would give up what was kept for us.
            is_ours = is_ours or turn.lock.acquire(blocking=False)
        if not is_ours:
            raise _too_many()
        try:
            if self._file is not None and not turn.is_this_process:
                _lock_among_processes(self._file, turn.byte, deadline)
                turn.is_this_process = True
            yield
        finally:
            self._pass_on(turn)

    def _pass_on(self, turn: "_Turn") -> None:
        """To a thread of this process, if there is one; to other processes every now and then.

        What the last commit left is at hand here, and another process would have to read it.
        """
        with self._guard:
            turn.in_a_row += 1
            is_enough = turn.in_a_row >= IN_A_ROW_MAX or not turn.waiting
            if self._file is not None and turn.is_this_process and is_enough:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, turn.byte)
                turn.is_this_process, turn.in_a_row = False, 0
            turn.lock.release()


class _Turn:
    """Whose turn it is at one key: a thread's by the lock, a process's by the byte of the file."""

    __slots__ = ("__weakref__", "byte", "in_a_row", "is_this_process", "lock", "waiting")

    def __init__(self, key: str) -> None:
        self.lock = threading.Lock()
        self.byte = int.from_bytes(blake2b(key.encode(), digest_size=7).digest()) * 2
        self.is_this_process = False
        self.in_a_row = 0
        self.waiting = 0


def _lock_among_processes(file: int, byte: int, deadline: float) -> None:
    """Lock a byte of the file.  Only one thread of each process may ask for it at a time.

    Whoever is next waits at a gate, the byte behind.  So a process that has just had its turn finds
    the gate taken, and cannot be quicker time and again than one that looks up now and then.
    """
    gate = byte + 1
    # Both at once, if nobody is there: every request to the kernel lets other threads go first.
    if not _could_lock(file, byte, 2):
        _lock_byte(file, gate, deadline)
        try:
            _lock_byte(file, byte, deadline)
        except BaseException:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, gate)
            raise
    fcntl.lockf(file, fcntl.LOCK_UN, 1, gate)


def _lock_byte(file: int, at: int, deadline: float) -> None:
    # Not left to the kernel: it would wait for ever, and take threads that wait for two tables for
    # processes in a deadlock.
    pause = POLL_S_MIN
    while not _could_lock(file, at, 1):
        if time.monotonic() > deadline:
            raise _too_many()
        time.sleep(pause)
        pause = min(POLL_S_MAX, pause * 1.25)


def _could_lock(file: int, at: int, count: int) -> bool:
    """Lock bytes for this process, all of them or none."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, count, at)
    except (BlockingIOError, PermissionError):  # either, says POSIX
        return False
    return True


def _opened(file: Path) -> int | None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        log.warning("processes do not take turns at commits", file=str(file), error=str(error))
        return None


def _too_many() -> Overloaded:
    return Overloaded("too many commits wait for this table; nothing was changed", retry_after_s=2)
