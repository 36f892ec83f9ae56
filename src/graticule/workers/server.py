"""A uvicorn server that is handed its connections by a supervisor instead of accepting them."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import uvicorn

from graticule.api.joined_writes import JoiningProtocol
from graticule.workers.channel import CLOSED, LEAVING, READY, Gone, receive_connection

FAREWELL_S: Final = 5.0
"""How long a supervisor may take to hear that it should hand over no more."""
LATECOMERS_S: Final = 0.1
"""Time for a connection that was handed over last to send what it came for."""


class HandedServer(uvicorn.Server):
    """Ends when the supervisor does, however that came about."""

    def __init__(self, config: uvicorn.Config, channel: socket.socket) -> None:
        super().__init__(config)
        self._channel = channel
        self._channel.setblocking(False)
        self._arriving: set[asyncio.Task[Any]] = set()
        self._has_all = asyncio.Event()
        self._unreported = b""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets or [])
        asyncio.get_running_loop().add_reader(self._channel, self._take)
        self._report(READY)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Nobody who was handed over by then goes without an answer."""
        self._report(LEAVING)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_all.wait(), FAREWELL_S)
        await asyncio.sleep(LATECOMERS_S)
        asyncio.get_running_loop().remove_reader(self._channel)
        await super().shutdown(sockets)
        self._channel.close()

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(BlockingIOError):
            try:
                while True:
                    connection = receive_connection(self._channel)
                    task = loop.create_task(
                        loop.connect_accepted_socket(self._protocol, connection)
                    )
                    self._arriving.add(task)
                    task.add_done_callback(self._arriving.discard)
            except Gone:
                loop.remove_reader(self._channel)
                self._has_all.set()
                self.should_exit = True

    def _protocol(self) -> asyncio.Protocol:
        return _Protocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            on_close=lambda: self._report(CLOSED),
        )

    def _report(self, what: bytes) -> None:
        """Not lost when the channel is full: said with the next."""
        self._unreported += what
        with suppress(OSError):
            self._unreported = self._unreported[self._channel.send(self._unreported) :]


class _Protocol(JoiningProtocol):
    """Says when its connection is closed."""

    def __init__(self, *, on_close: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_close = on_close

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_close()
