"""Connections that go where they were checked to go, and end.

urllib3 would look the host up by itself, after whoever checked it; here one look-up is checked and
connected to.  TLS and the `Host` header still name the host.  A peer that trickles, or never stops,
is cut off: time-outs of a socket alone only bound the pause between two bytes.
"""

import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from graticule.outbound.deadlines import watched
from graticule.outbound.gate import AddressRefused, Outbound

ADDRESSES_TRIED_MAX: Final = 3
"""Of a host with many: each may take the whole time-out for connecting."""

RESPONSE_PATIENCE_S: Final = 60.0
"""How long an answer may take from its first byte to its last, besides what its bytes earn it."""

BYTES_PER_SECOND_MIN: Final = 64 * 1024
"""An answer that comes slower than this uses up the patience."""


class _Allowance:
    """What the peer may still use of the current answer: time, and bytes."""

    def __init__(self, *, patience_s: float, bytes_max: int | None) -> None:
        self._patience_s = patience_s
        self._bytes_max = bytes_max
        self.restart()

    def restart(self) -> None:
        self._ends_at = time.monotonic() + self._patience_s
        self._received_bytes = 0

    def left_s(self) -> float:
        """Seconds until the answer counts as too slow.

        Raises:
            TimeoutError: there are none.
        """
        left = self._ends_at + self._received_bytes / BYTES_PER_SECOND_MIN - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer trickles in too slowly")
        return left

    def spend(self, received_bytes: int) -> None:
        """Count bytes.

        Raises:
            OSError: more than an answer may have.
        """
        self._received_bytes += received_bytes
        if self._bytes_max is not None and self._received_bytes > self._bytes_max:
            raise OSError(f"the answer is longer than {self._bytes_max} bytes")


class _BoundedSocket:
    """A connected socket whose reading stays inside an allowance."""

    def __init__(self, sock: socket.socket | ssl.SSLSocket, allowance: _Allowance) -> None:
        self._sock = sock
        self._allowance = allowance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, buffer: Any, *args: Any) -> int:
        patience_s = self._sock.gettimeout()
        left_s = self._allowance.left_s()
        if patience_s is not None and patience_s <= left_s:
            received = self._sock.recv_into(buffer, *args)
        else:
            self._sock.settimeout(left_s)
            try:
                received = self._sock.recv_into(buffer, *args)
            finally:
                self._sock.settimeout(patience_s)
        self._allowance.spend(received)
        return received

    def makefile(self, mode: str = "rb", buffering: int = -1, **_: Any) -> io.IOBase:
        """As `socket.makefile`, for reading: what `http.client` reads answers through."""
        assert mode == "rb"  # noqa: S101 - http.client and botocore ask for nothing else
        raw = socket.SocketIO(self, "r")  # type: ignore[arg-type]
        self._sock._io_refs += 1  # type: ignore[union-attr]  # noqa: SLF001 - as makefile does
        return raw if buffering == 0 else io.BufferedReader(raw)


def pinned(
    connection: type[HTTPConnection],
    outbound: Outbound,
    *,
    response_bytes_max: int | None = None,
    response_patience_s: float = RESPONSE_PATIENCE_S,
) -> type[HTTPConnection]:
    """`connection`, going only where `outbound` permits.

    A refused address raises `AddressRefused`, which no layer of urllib3 swallows or tries again.
    """
    scheme = "https" if issubclass(connection, HTTPSConnection) else "http"

    class Pinned(connection):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._allowance = _Allowance(
                patience_s=response_patience_s, bytes_max=response_bytes_max
            )

        def _new_conn(self) -> socket.socket:
            if self.proxy is not None:
                raise AddressRefused("the server reaches such hosts itself, not through a proxy")
            return _connect(self, outbound, scheme)

        def connect(self) -> None:
            super().connect()
            connected: Any = self.sock
            self.sock: Any = _BoundedSocket(connected, self._allowance)

        def begin_answer(self) -> None:
            self._allowance.restart()

        def request(self, *args: Any, **kwargs: Any) -> None:
            self.begin_answer()
            super().request(*args, **kwargs)

        def getresponse(self, *args: Any, **kwargs: Any) -> Any:
            self.begin_answer()  # sending took its own time
            return super().getresponse(*args, **kwargs)

    return Pinned


def begin_answer(connection: Any) -> None:
    """Give the peer anew what an answer may take, if it has been `pinned`."""
    begin: Callable[[], None] | None = getattr(connection, "begin_answer", None)
    if begin is not None:
        begin()


def pinned_pools(
    outbound: Outbound,
    *,
    http: type[HTTPConnectionPool] = HTTPConnectionPool,
    https: type[HTTPSConnectionPool] = HTTPSConnectionPool,
    response_bytes_max: int | None = None,
    response_patience_s: float = RESPONSE_PATIENCE_S,
) -> Mapping[str, type[HTTPConnectionPool]]:
    """The pools of a `PoolManager` (its `pool_classes_by_scheme`) with `pinned` connections."""

    def pool(base: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        connection: Any = base.ConnectionCls
        limited = pinned(
            connection,
            outbound,
            response_bytes_max=response_bytes_max,
            response_patience_s=response_patience_s,
        )
        return type(f"Pinned{base.__name__}", (base,), {"ConnectionCls": limited})

    return {"http": pool(http), "https": pool(https)}


def _connect(connection: Any, outbound: Outbound, scheme: str) -> socket.socket:
    try:
        addresses = outbound.addresses(scheme, connection._dns_host, connection.port)  # noqa: SLF001
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except OSError as error:
        raise NewConnectionError(connection, f"no address: {error}") from error
    failure: OSError | None = None
    for address in addresses[:ADDRESSES_TRIED_MAX]:
        try:
            opened = create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
            return watched(opened)
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(
            connection, f"no connection to {connection.host} in {connection.timeout} s"
        ) from failure
    raise NewConnectionError(connection, f"no connection: {failure}") from failure
