"""A server that is no store: it answers every request as it pleases, or not at all."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[["Visit"], None]


@dataclass(slots=True)
class Visit:
    """One request as the server sees it."""

    method: str
    path: str
    connection: socket.socket
    closing: threading.Event

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        content = b"" if self.method == "HEAD" else body
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + content)


@dataclass(slots=True)
class HostileServer:
    endpoint: str
    visits: list[str] = field(default_factory=list)


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda visit: visit.answer(status, body, **headers)


def says_nothing(visit: Visit) -> None:
    visit.closing.wait()


def drips(visit: Visit) -> None:
    """Never long enough silent for a read time-out, and never done."""
    visit.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not visit.closing.wait(0.05):
        visit.send(b"x")


def never_ends(visit: Visit) -> None:
    """An answer of unlimited size, as fast as it is taken."""
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"x" * 1024 * 1024
    while not visit.closing.is_set():
        visit.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")


def resets(visit: Visit) -> None:
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def talks_something_else(visit: Visit) -> None:
    visit.send(b"SSH-2.0-OpenSSH_9.2\r\n")


@contextmanager
def hostile(behaviour: Behaviour) -> Iterator[HostileServer]:
    """Run a server on a free port that behaves like this, one thread per connection."""
    closing = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    server = HostileServer(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            head = b""
            while b"\r\n\r\n" not in head:
                received = connection.recv(65536)
                if not received:
                    return
                head += received
                if head.startswith(b"\x16"):  # somebody tries TLS
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    return
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            server.visits.append(f"{method} {path}")
            behaviour(Visit(method, path, connection, closing))

    def listen() -> None:
        while not closing.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        closing.set()
        thread.join()
        listener.close()
