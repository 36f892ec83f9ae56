"""Endpoints that misbehave: servers on loopback that say exactly what a test writes, and resolvers.

A resolver stands for the name service, which tests cannot own; everything behind it is real.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat

Answer = Callable[[socket.socket, bytes], None]
"""Answers one request, of which it gets the head, on a connection that is closed afterwards."""


@dataclass(slots=True)
class Endpoint:
    """A listening server, and the heads of all requests that it got."""

    port: int
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def answering(answer: Answer) -> Iterator[Endpoint]:
    """Run a server whose every answer is `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = Endpoint(listening.getsockname()[1])
        threads: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                head = _head(connection)
                if head:
                    endpoint.heads.append(head)
                    answer(connection, head)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                thread.start()
                threads.append(thread)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield endpoint
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join(timeout=5)


def says(status: int, *headers: str, body: bytes = b"") -> Answer:
    """One whole answer."""
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return lambda connection, _: connection.sendall("\r\n".join([*head, "", ""]).encode() + body)


def trickles(head: bytes, *, pause_s: float = 0.05) -> Answer:
    """`head` at once, then a byte now and then, for as long as anybody listens."""

    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b" ")
            time.sleep(pause_s)

    return answer


def floods(head: bytes) -> Answer:
    """`head`, then as many bytes as the peer takes."""

    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"A" * 65536)

    return answer


def resolving(*answers: Sequence[str]) -> Callable[[str, int], Sequence[str]]:
    """A name service that gives one answer after the other, and then the last one for ever."""
    following = chain(answers, repeat(answers[-1]))
    return lambda _host, _port: next(following)


def _head(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        some = connection.recv(65536)
        if not some:
            return b""
        received += some
    return received
