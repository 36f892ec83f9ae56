"""Runs the application under uvicorn: for `serve`, and in a thread for the demo and tests.

`httptools` serves some twice as many requests as `h11` does.  It lower-cases header names, which
`api.response_headers` knows how to prevent where a client looks for another case.
"""

import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from graticule.api.joined_writes import JoiningProtocol

KEEP_ALIVE_S: Final = 75
"""Longer than clients keep idle connections: a POST on a half-closed one is not retried by Java."""
SHUTDOWN_GRACE_S: Final = 20
START_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.01


def server_config(app: ASGIApp, *, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=JoiningProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )


class BackgroundServer:
    """A server in a thread, listening when the `with` block begins and stopped when it ends."""

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        # asyncio switches Nagle's algorithm off only on sockets that say they are TCP; with it on,
        # every answer on a connection that is kept alive waits 40 ms for an acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.port: Final = int(self._socket.getsockname()[1])
        self.url: Final = f"http://{host}:{self.port}"
        self._server = uvicorn.Server(server_config(app, host=host, port=self.port))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the server did not start; the log has the reason")
            time.sleep(_POLL_S)
        return self

    def wait(self) -> None:
        """Block until the server is stopped from elsewhere or the process is interrupted."""
        self._thread.join()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(SHUTDOWN_GRACE_S)
        self._socket.close()
