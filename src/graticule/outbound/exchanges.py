"""One request and its whole answer at a time, over connections that are kept open.

As urllib3 does it, without its objects around each: a commit to a table is one such request.  The
connections are those of a pool, so they lead where the pool's do, and are no more patient.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from httptools import HttpParserError, HttpResponseParser
from urllib3 import HTTPConnectionPool, Timeout
from urllib3.exceptions import InvalidHeader, ProtocolError

from graticule.domain.spliced import Content, Spliced, pieces_of
from graticule.outbound.connections import begin_answer

KEPT_MAX: Final = 32
"""Connections kept open; more are made when needed, and closed after use."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""Of an answer."""

_READ_BYTES: Final = 16 * 1024
_SUCCESS_FROM: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """Names of headers are in lower case.  Of a longer body the rest was not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchanges:
    """Safe to share between threads.  For requests that are no HEAD: their answers have bodies."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        self._pool = pool
        self._kept: list[Any] = []

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Content,
        *,
        body_bytes_max: int,
    ) -> Answer:
        """Send one request, and read its answer, whatever its status.

        A body longer than `body_bytes_max` is cut off somewhere behind that.

        Raises:
            HTTPError, OSError: of urllib3 and of sockets: there is no usable answer.
            AddressRefused: the server may not connect there.
        """
        head = _head(method, target, headers, len(body))
        connection = self._kept_one() or self._opened()
        try:
            begin_answer(connection)
            # Who refuses a request may stop listening to it, and has an answer nevertheless.
            with suppress(BrokenPipeError):
                for piece in Spliced([head, *pieces_of(body)]).pieces:
                    connection.sock.sendall(piece)
            begin_answer(connection)  # sending took its own time
            reading = _Reading(body_bytes_max)
            reading.read(connection.sock)
        except BaseException:
            connection.close()
            raise
        if reading.can_go_on and len(self._kept) < KEPT_MAX:
            self._kept.append(connection)
        else:
            connection.close()
        return Answer(reading.status, reading.headers, bytes(reading.body))

    def _kept_one(self) -> Any:
        """The connection used last, unless its peer has left; None if there is none."""
        while self._kept:
            with suppress(IndexError):  # another thread was quicker
                connection = self._kept.pop()
                if connection.is_connected:
                    return connection
                connection.close()
        return None

    def _opened(self) -> Any:
        connection: Any = self._pool._new_conn()  # noqa: SLF001 - with the pool's authorities
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        patience = self._pool.timeout
        assert isinstance(patience, Timeout)  # noqa: S101 - as urllib3 keeps it
        connection.sock.settimeout(patience.read_timeout)
        return connection


class _Reading:
    """An answer as it comes in.  Its `on_` methods are called by the parser."""

    def __init__(self, body_bytes_max: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.can_go_on = False
        self._is_whole = False
        self._received_bytes_max = body_bytes_max + HEAD_BYTES_MAX
        self._parser = HttpResponseParser(self)

    def read(self, sock: Any) -> None:
        """Read on until the answer has ended, or is too long."""
        buffer = memoryview(bytearray(_READ_BYTES))
        received = 0
        while not self._is_whole and received <= self._received_bytes_max:
            count = sock.recv_into(buffer)
            if not count:
                self._at_end()
                return
            received += count
            try:
                self._parser.feed_data(buffer[:count])
            except HttpParserError as error:
                raise ProtocolError("the answer is not HTTP") from error
        if not self.status:
            raise ProtocolError(f"the answer's head is longer than {HEAD_BYTES_MAX} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_whole:
            self.can_go_on = False  # it goes on where nobody asked anything
            return
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._is_whole:
            return
        status = self._parser.get_status_code()
        if status < _SUCCESS_FROM:  # it only says that there will be an answer
            self.headers.clear()
        else:
            self.status = status

    def on_body(self, data: bytes) -> None:
        if not self._is_whole:
            self.body += data

    def on_message_complete(self) -> None:
        if self.status and not self._is_whole:
            self._is_whole = True
            self.can_go_on = self._parser.should_keep_alive()

    def _at_end(self) -> None:
        """The peer closed the connection, which is how an answer of unknown length ends."""
        is_of_known_length = not {"content-length", "transfer-encoding"}.isdisjoint(self.headers)
        if not self.status or is_of_known_length:
            raise ProtocolError("the connection was closed in the middle of an answer")


def _head(method: str, target: str, headers: Mapping[str, str], body_bytes: int) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"content-length: {body_bytes}",
    ]
    head = "\r\n".join(lines)
    breaks = len(lines) - 1
    try:
        encoded = head.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidHeader("a header cannot be said in latin-1") from error
    if head.count("\r") != breaks or head.count("\n") != breaks:
        raise InvalidHeader("a header is longer than its line")
    return encoded + b"\r\n\r\n"
