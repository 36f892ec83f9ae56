"""Processes behind one port: shared evenly, replaced when they die, ended when all is answered."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from graticule.workers import supervisor
from graticule.workers.supervisor import Supervisor
from support import supervised
from support.patience import until

WORKERS = 3
PATIENCE_S = 30


class Supervised:
    def __init__(self, workers: int, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, supervised.__file__, str(workers), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.connect()
        return connection

    def pid(self) -> int:
        """Of the worker that gets the next connection, which is closed at once."""
        connection = self.connect()
        try:
            return ask(connection)
        finally:
            connection.close()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(workers: int, *options: str) -> Iterator[Supervised]:
    server = Supervised(workers, *options)
    try:
        yield server
    finally:
        server.end()
        server.process.stdout.close()


@pytest.fixture(scope="module")
def three() -> Iterator[Supervised]:
    with running(WORKERS) as server:
        until(lambda: len(workers_of(server)) == WORKERS)
        yield server


def ask(connection: http.client.HTTPConnection, path: str = "/") -> int:
    connection.request("GET", path)
    return int(connection.getresponse().read())


def share(server: Supervised, connections: int) -> Counter[int]:
    """How many of so many connections, open at once, each worker has."""
    opened = [server.connect() for _ in range(connections)]
    try:
        return Counter(ask(connection) for connection in opened)
    finally:
        for connection in opened:
            connection.close()


def connect_to_each(server: Supervised) -> dict[int, http.client.HTTPConnection]:
    """One connection to every worker.  That others closed may be news to the supervisor."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        opened = [server.connect() for _ in range(WORKERS)]
        found = {ask(connection): connection for connection in opened}
        if len(found) == WORKERS:
            return found
        assert time.monotonic() < deadline
        for connection in opened:
            connection.close()


def workers_of(server: Supervised) -> set[int]:
    return set(share(server, 3 * WORKERS))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_connections_that_are_open_at_once_are_shared_evenly(three):
    for each in (1, 4, 11):
        until(lambda each=each: set(share(three, WORKERS * each).values()) == {each})


def test_a_worker_whose_connections_closed_gets_the_next(three):
    kept = [connect_to_each(three), connect_to_each(three)]
    free, *_ = kept[0]
    for connections in kept:
        connections.pop(free).close()
    until(lambda: three.pid() == free)
    next_one = three.connect()
    assert ask(next_one) == free
    for connection in [next_one, *(c for connections in kept for c in connections.values())]:
        connection.close()


def test_a_killed_worker_is_replaced_and_the_others_go_on(three):
    connections = connect_to_each(three)
    victim, *others = connections
    os.kill(victim, signal.SIGKILL)
    until(lambda: not is_alive(victim))  # the supervisor knows, since it took its exit code
    assert [ask(connections[pid]) for pid in others] == others
    for connection in connections.values():
        connection.close()
    until(lambda: len(workers_of(three)) == WORKERS)
    assert len(workers_of(three) - set(others)) == 1


def test_a_worker_that_is_told_to_stop_answers_what_it_began_and_is_replaced(three, tmp_path):
    begun, ends = tmp_path / "begun", tmp_path / "ends"
    connection = three.connect()
    pid = ask(connection)
    answers: list[int] = []
    slow = threading.Thread(
        target=lambda: answers.append(ask(connection, f"/slow?begun={begun}&ends={ends}"))
    )
    slow.start()
    until(begun.exists)
    os.kill(pid, signal.SIGTERM)
    until(lambda: pid not in workers_of(three) and len(workers_of(three)) == WORKERS)
    ends.touch()
    slow.join()
    assert answers == [pid]


def test_a_termination_lets_requests_end_and_takes_no_more(tmp_path):
    begun, ends = tmp_path / "begun", tmp_path / "ends"
    answers: list[int] = []
    with running(2) as server:
        connection = server.connect()
        pid = ask(connection)
        slow = threading.Thread(
            target=lambda: answers.append(ask(connection, f"/slow?begun={begun}&ends={ends}"))
        )
        slow.start()
        until(begun.exists)
        server.process.send_signal(signal.SIGTERM)

        def is_refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", server.port)) != 0

        until(is_refused)
        assert answers == []
        ends.touch()
        slow.join()
        assert server.process.wait(PATIENCE_S) == 0
    assert answers == [pid]


def test_workers_end_when_their_supervisor_is_killed():
    with running(2) as server:
        pids = set(share(server, 4))
        server.process.kill()
        server.process.wait()
        until(lambda: not any(map(is_alive, pids)))


def test_workers_that_cannot_start_end_the_supervisor_with_their_exit_code():
    with running(2, "broken") as server:
        assert server.process.wait(PATIENCE_S) == 7


def test_a_port_that_is_taken_is_known_before_anything_starts():
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(OSError, match="in use"),
    ):
        Supervisor("127.0.0.1", other.getsockname()[1], workers=2)


def test_a_worker_that_takes_nothing_any_more_is_given_up(monkeypatch):
    monkeypatch.setattr(supervisor, "STUCK_S", 0.05)
    silent = [sys.executable, "-c", "import time; time.sleep(600)"]
    given_up = Supervisor("127.0.0.1", 0, workers=1)
    try:
        given_up._start_missing(silent)
        [worker] = given_up._workers
        worker.is_ready = given_up._was_ready = True
        with socket.create_server(("127.0.0.1", 0)) as listener:
            connection = socket.create_connection(listener.getsockname())
            with connection:
                while given_up._workers:
                    given_up._hand(connection)
                    assert worker.handed < 100_000
        assert worker.process.wait(PATIENCE_S) == -signal.SIGKILL
        assert given_up._starts_at != []  # of its successor
    finally:
        given_up._stop()
        given_up._selector.close()


def test_requests_go_on_while_workers_die(three):
    """New connections are never refused, and only those of the dead worker break."""
    for pid in sorted(workers_of(three))[:2]:
        os.kill(pid, signal.SIGKILL)
        answered = 0
        for _ in range(50):
            try:
                three.pid()
                answered += 1
            except (ConnectionError, http.client.BadStatusLine):
                continue  # it was given to the dead one in the moment of its death
        assert answered >= 48
        until(lambda: len(workers_of(three)) == WORKERS)
