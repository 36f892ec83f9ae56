"""Inspect files in processes of their own.

pyarrow ends the whole process when a footer parses but contradicts itself, for instance in a column
that is encrypted or in a histogram of the wrong size.  Files belong to tenants, so in a server that
must be a worker's end and an `UnreadableFile`.  As a side effect inspections use all cores.
"""

import os
import queue
import resource
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from graticule.discovery.inspection import FileInspection
from graticule.discovery.inspection_codec import to_bytes
from graticule.domain.errors import (
    CatalogError,
    StorageUnavailable,
    Unavailable,
    UnreadableFile,
)
from graticule.storage.parquet import (
    TAIL_BYTES,
    ReadRange,
    fetch_footer,
    inspect,
    inspect_footer,
    read_tail,
)

if TYPE_CHECKING:
    from graticule.storage.parquet_computed import Part, Wanted

FILE_TIMEOUT_S: Final = 120.0
"""How long a worker may think between two reads before it is taken for stuck."""

START_TIMEOUT_S: Final = 60.0

FOOTERS_REMEMBERED: Final = 32
TAIL_SPARE_BYTES: Final = 1024
TAIL_BYTES_MAX: Final = 1024 * 1024
TAILS_SENT_BYTES_MAX: Final = 1024 * 1024
"""At once, but for the last of them."""

_SECRET_PREFIXES: Final = ("GRATICULE_", "AWS_")

_READY = "ready"
_READ, _DONE, _UNREADABLE, _GAVE_UP = "read", "done", "unreadable", "gave up"


class WorkerEnded(UnreadableFile):
    """The process that read the file ended: because of the file, or somebody ended it."""


class InspectionWorkers:
    """A fixed number of processes, started when first needed.  Safe to share between threads."""

    def __init__(self, count: int, *, timeout_s: float = FILE_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._tails = _Tails()
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._workers = [_Worker() for _ in range(count)]
        for worker in self._workers:
            self._idle.put(worker)

    def inspect(self, read: ReadRange, size_bytes: int, *, budget_bytes: int = 0) -> FileInspection:
        """`parquet.inspect`, and `parquet_computed.compute_boxes` if there is a budget for it.

        `read` is called in this process and thread; what it raises is passed on.  The footer is
        read before a worker is taken, so as many files travel as there are callers.

        Raises:
            UnreadableFile: the file is corrupt, or reading it ended or stalled the worker.
            Unavailable: the worker cannot be started.
        """
        found: FileInspection = self._do(read, _Task(size_bytes, budget_bytes), self._timeout_s)
        return found

    def inspect_to_bytes(
        self, files: Iterable[tuple[ReadRange, int]]
    ) -> list[bytes | CatalogError]:
        """As `inspect` of each file and its size, the outcome encoded by `inspection_codec`.

        What is wrong with one file is its outcome, and the others have theirs.  Encoding costs less
        than sending the values themselves from process to process, and sending many files at once
        less than one by one.

        Raises:
            StorageUnavailable: the store does not answer, which says nothing about any file.
            Unavailable: the worker cannot be started.
        """
        outcomes: list[bytes | CatalogError] = []
        some: list[tuple[int, _Task]] = []
        held_bytes = 0
        for number, (read, size_bytes) in enumerate(files):
            outcomes.append(b"")
            try:
                tail = self._tails.fetch_footer(read, size_bytes)
            except (StorageUnavailable, Unavailable):
                raise
            except CatalogError as error:
                outcomes[number] = error
                continue
            some.append((number, _Task(size_bytes, tail=tail)))
            held_bytes += len(tail)
            if held_bytes > TAILS_SENT_BYTES_MAX:
                self._encode(some, outcomes)
                some, held_bytes = [], 0
        self._encode(some, outcomes)
        return outcomes

    def _encode(
        self, some: Sequence[tuple[int, "_Task"]], outcomes: list[bytes | CatalogError]
    ) -> None:
        """Inspect what was fetched, and put what is found where it belongs."""
        if not some:
            return
        footers = _Footers([(task.size_bytes, task.tail) for _, task in some])
        try:
            found = self._send(_nothing_more, footers, self._timeout_s)
        except UnreadableFile as error:
            if len(some) == 1:
                outcomes[some[0][0]] = error
                return
            for one in some:  # one of them ends or stalls whoever reads it
                self._encode([one], outcomes)
            return
        for (number, _), (kind, value) in zip(some, found, strict=True):
            outcomes[number] = value if kind == _DONE else UnreadableFile(value)

    def compute(
        self,
        read: ReadRange,
        size_bytes: int,
        inspection: FileInspection,
        wanted: "Wanted",
        *,
        budget_bytes: int,
    ) -> "Part":
        """`parquet_computed.compute_part`, which reads a column; otherwise as `inspect`.

        Raises:
            UnreadableFile: the file is corrupt, or reading it ended or stalled the worker.
            Unavailable: the worker cannot be started.
        """
        task = _Task(size_bytes, budget_bytes, known=(inspection, wanted))
        found: Part = self._do(read, task, self._timeout_s)
        return found

    def _do(self, read: ReadRange, task: "_Task", timeout_s: float) -> Any:
        fetch = read_tail if task.budget_bytes else self._tails.fetch_footer
        return self._send(read, task._replace(tail=fetch(read, task.size_bytes)), timeout_s)

    def _send(self, read: ReadRange, task: "_Task | _Footers", timeout_s: float) -> Any:
        worker = self._idle.get()
        try:
            return worker.inspect(read, task, timeout_s)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Task(NamedTuple):
    """What a worker is sent; `tail` are the last bytes of the file: its footer, where
    that is all it takes.
    """

    size_bytes: int
    budget_bytes: int = 0
    tail: bytes = b""
    known: "tuple[FileInspection, Wanted] | None" = None
    """Where to go on, if only the rest of one column is to be read."""


class _Footers(NamedTuple):
    """What a worker is sent of many files: the size of each and its footer."""

    files: list[tuple[int, bytes]]


def _nothing_more(_offset: int, _length: int) -> bytes:
    raise AssertionError("a footer is all that is read")


class _Tails:
    """How much of the end of a file to read, so that the footer is in it and little else.

    Footers of one bucket are much alike: it is what the largest of the last ones took, and a bit.
    """

    def __init__(self) -> None:
        self._last: deque[int] = deque([TAIL_BYTES], FOOTERS_REMEMBERED)

    def fetch_footer(self, read: ReadRange, size_bytes: int) -> bytes:
        wanted = max(self._last) + TAIL_SPARE_BYTES
        footer = fetch_footer(read, size_bytes, tail_bytes=min(wanted, TAIL_BYTES_MAX))
        self._last.append(len(footer))
        return footer


class _Worker:
    """One process and the pipe to it; used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._answered = select.poll()

    def inspect(self, read: ReadRange, task: _Task | _Footers, timeout_s: float) -> Any:
        pipe = self._started()
        try:
            pipe.send((type(task).__name__, *task))
            return self._serve_reads(pipe, read, timeout_s)
        except (EOFError, ConnectionError) as error:
            self.stop()
            raise WorkerEnded("reading it ended the process that tried") from error
        except CatalogError:
            raise
        except BaseException:
            # Whatever interrupted the exchange, the next file must not get this file's answer.
            self.stop()
            raise

    def _serve_reads(self, pipe: Connection, read: ReadRange, timeout_s: float) -> Any:
        failure: Exception | None = None
        while True:
            if not self._answered.poll(timeout_s * 1000):
                self.stop()
                raise UnreadableFile(f"reading it took more than {timeout_s:.0f} s")
            kind, value = pipe.recv()
            if kind == _READ:
                try:
                    data = read(*value)
                except Exception as error:  # noqa: BLE001 - raised again when the worker gave up
                    failure = error
                    pipe.send(None)
                else:
                    pipe.send(data)
                continue
            if failure is not None:
                raise failure
            if kind == _DONE:
                return value
            raise UnreadableFile(value)

    def _started(self) -> Connection:
        if self._pipe is not None and self._process is not None and self._process.poll() is None:
            return self._pipe
        self.stop()
        ours, theirs = Pipe()
        # A fresh interpreter: forking a process with threads is not safe, and what inspects files
        # of strangers has no business with our secrets.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(_SECRET_PREFIXES)},
                # Where this process found the modules, be it an archive that a cluster was sent.
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._pipe = ours
        # `Connection.poll` makes a poll object for each answer, which costs half of the exchange.
        self._answered = select.poll()
        self._answered.register(ours.fileno(), select.POLLIN)
        try:
            is_ready = ours.poll(START_TIMEOUT_S) and ours.recv() == _READY
        except (EOFError, ConnectionError):
            is_ready = False
        if not is_ready:
            self.stop()
            raise Unavailable("the process that inspects files does not start")
        return ours

    def stop(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# In the worker.


class _ReadFailedError(CatalogError):
    """The other side could not read; it knows why."""


def _work(pipe: Connection) -> None:
    """Answer until the other side goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(EOFError, ConnectionError):
        pipe.send(_READY)
        while True:
            kind, *values = pipe.recv()
            if kind == _Footers.__name__:
                found = [_encoded(tail, size_bytes) for size_bytes, tail in _Footers(*values).files]
                pipe.send((_DONE, found))
                continue
            task = _Task(*values)
            read = _remote_read(pipe, task.size_bytes - len(task.tail), task.tail)
            pipe.send(_answer(read, task))


def _remote_read(pipe: Connection, tail_at: int, tail: bytes) -> ReadRange:
    def read(offset: int, length: int) -> bytes:
        if offset >= tail_at:
            return tail[offset - tail_at : offset - tail_at + length]
        pipe.send((_READ, (offset, length)))
        data: bytes | None = pipe.recv()
        if data is None:
            raise _ReadFailedError("the file could not be read")
        return data

    return read


def _answer(read: ReadRange, task: _Task) -> tuple[str, Any]:
    try:
        if task.known is None and not task.budget_bytes:
            found = inspect_footer(task.tail, task.size_bytes)
        else:
            # Not where only footers are read: it needs libraries that a cluster may not have.
            from graticule.storage.parquet_computed import (  # noqa: PLC0415
                compute_boxes,
                compute_part,
            )

            budget_bytes = task.budget_bytes
            if task.known is not None:
                part = compute_part(read, task.size_bytes, *task.known, budget_bytes=budget_bytes)
                return _DONE, part
            found = inspect(read, task.size_bytes)
            found = compute_boxes(read, task.size_bytes, found, budget_bytes=budget_bytes)
    except UnreadableFile as error:
        return _UNREADABLE, error.message
    except CatalogError as error:
        return _GAVE_UP, error.message
    return _DONE, found


def _encoded(footer: bytes, size_bytes: int) -> tuple[str, Any]:
    try:
        return _DONE, to_bytes(inspect_footer(footer, size_bytes))
    except UnreadableFile as error:
        return _UNREADABLE, error.message


if __name__ == "__main__":
    _work(Connection(int(sys.argv[1])))
