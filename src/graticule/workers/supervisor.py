"""The parent of the workers: accepts connections and hands each to the worker that has fewest.

Left to the kernel, processes that share a socket share connections unevenly, and the busiest one
decides how long clients wait.  Nothing of the application runs here: it starts at once, and hardly
fails.
"""

import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import structlog

from graticule.workers.channel import (
    CLOSED,
    LEAVING,
    READY,
    Gone,
    receive_reports,
    send_connection,
)

log = structlog.get_logger(__name__)

BACKLOG: Final = 2048
ACCEPTED_AT_ONCE_MAX: Final = 64
START_PAUSE_S: Final = 1.0
"""Between two starts of a worker, when it ends soon after each."""
STUCK_S: Final = 10.0
"""A worker whose channel is full for so long takes no connections any more, and is replaced."""
STOP_TIMEOUT_S: Final = 25.0
"""Longer than a worker waits for its requests (`server.SHUTDOWN_GRACE_S`)."""
_REST_S: Final = 0.1


class _Worker:
    """A process, the channel to it, and how many connections it has."""

    def __init__(self, command: Sequence[str]) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "--channel", str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        self.channel.settimeout(STUCK_S)
        self.started_at = time.monotonic()
        self.is_ready = False
        self.connections = 0
        self.handed = 0

    def say_no_more(self) -> None:
        with suppress(OSError):  # when it is gone
            self.channel.shutdown(socket.SHUT_WR)

    def has_ended(self) -> bool:
        if self.process.poll() is None:
            return False
        self.channel.close()
        return True

    @property
    def load(self) -> tuple[int, int]:
        """Open connections; where these are equal, whoever has had fewer is next."""
        return self.connections, self.handed


class Supervisor:
    """Listens from the start, so a port that is taken is known before anything is started."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        workers: int,
        on_end: Callable[[int], None] = lambda _pid: None,
    ) -> None:
        """`on_end` is told the process id of each worker that is gone.

        Raises OSError when the address cannot be listened on.
        """
        self._on_end = on_end
        self._listener = _listen(host, port)
        self.port: Final = int(self._listener.getsockname()[1])
        self._count = workers
        self._workers: list[_Worker] = []
        self._retired: list[_Worker] = []
        self._starts_at = [0.0] * workers
        """When each missing worker may be started."""
        self._selector = selectors.DefaultSelector()
        self._is_accepting = False
        self._was_ready = False
        self._exit_code: int | None = None

    def run(self, command: Sequence[str]) -> int:
        """Serve until terminated, with workers made by `command` and `--channel N`.

        Returns the exit code: 0, or that of a worker when none of them ever gets ready.
        """
        with ExitStack() as stack:
            stack.callback(self._selector.close)
            stack.enter_context(self._listener)
            stack.enter_context(self._signals())
            stack.callback(self._stop)
            log.info("listening", port=self.port, workers=self._count)
            while self._exit_code is None:
                self._start_missing(command)
                for key, _ in self._selector.select(self._pause_s()):
                    act: Callable[[], None] = key.data
                    act()
                self._forget_ended()
        return self._exit_code

    def _start_missing(self, command: Sequence[str]) -> None:
        now = time.monotonic()
        for at in [at for at in self._starts_at if at <= now]:
            self._starts_at.remove(at)
            worker = _Worker(command)
            self._workers.append(worker)
            self._selector.register(
                worker.channel, selectors.EVENT_READ, lambda worker=worker: self._hear(worker)
            )

    def _forget_ended(self) -> None:
        for worker in [gone for gone in self._retired if gone.has_ended()]:
            self._retired.remove(worker)
            self._on_end(worker.process.pid)

    def _pause_s(self) -> float | None:
        """How long nothing has to be done by itself."""
        if self._starts_at:
            return max(0.0, min(self._starts_at) - time.monotonic())
        return None

    # Connections

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left, for instance
                log.exception("connection not accepted")
                time.sleep(_REST_S)
                return
            with connection:
                self._hand(connection)

    def _hand(self, connection: socket.socket) -> None:
        while ready := [worker for worker in self._workers if worker.is_ready]:
            worker = min(ready, key=lambda worker: worker.load)
            try:
                send_connection(worker.channel, connection)
            except TimeoutError:
                log.error("worker is stuck", pid=worker.process.pid)  # noqa: TRY400
                worker.process.kill()
                self._lose(worker)
            except Gone:
                self._lose(worker)
            else:
                worker.connections += 1
                worker.handed += 1
                return

    # Workers

    def _hear(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return  # lost a moment ago, to a connection that could not be handed over
        try:
            reports = receive_reports(worker.channel)
        except Gone:
            self._lose(worker)
            return
        worker.connections -= reports.count(CLOSED)
        if READY in reports:
            worker.is_ready = self._was_ready = True
            self._accept_or_wait()
        if LEAVING in reports:
            self._lose(worker)

    def _lose(self, worker: _Worker) -> None:
        """Replace a worker that died, or that was told from elsewhere to stop."""
        self._workers.remove(worker)
        self._retired.append(worker)
        self._selector.unregister(worker.channel)
        worker.say_no_more()
        self._accept_or_wait()
        if not self._was_ready:
            self._exit_code = worker.process.wait() or 1
            return
        log.warning("worker ended", pid=worker.process.pid)
        self._starts_at.append(worker.started_at + START_PAUSE_S)

    def _accept_or_wait(self) -> None:
        """Without a worker that is ready, connections wait in the kernel."""
        wanted = any(worker.is_ready for worker in self._workers)
        if wanted and not self._is_accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        if self._is_accepting and not wanted:
            self._selector.unregister(self._listener)
        self._is_accepting = wanted

    # The end

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """A termination wakes the loop up and ends it."""
        heard, told = socket.socketpair()
        with heard, told:
            told.setblocking(False)
            self._selector.register(heard, selectors.EVENT_READ, lambda: None)
            woken = signal.set_wakeup_fd(told.fileno())
            kept = {
                number: signal.signal(number, self._end)
                for number in (signal.SIGTERM, signal.SIGINT)
            }
            try:
                yield
            finally:
                signal.set_wakeup_fd(woken)
                for number, handler in kept.items():
                    signal.signal(number, handler)

    def _end(self, *_: object) -> None:
        self._exit_code = 0

    def _stop(self) -> None:
        """Let the workers finish what they have begun."""
        self._listener.close()
        workers = [*self._retired, *self._workers]
        for worker in workers:
            worker.say_no_more()
            worker.process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            if not worker.has_ended():
                log.warning("worker did not stop in time", pid=worker.process.pid)
                worker.process.kill()
                worker.process.wait()
                worker.has_ended()


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    listener.setblocking(False)
    # Connections inherit it; see `server.BackgroundServer`.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
