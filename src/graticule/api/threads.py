"""Runs what blocks in threads, for a coroutine that awaits it.

As anyio and executors do it, without their objects around each call: every request changes to a
thread and back, and theirs took a tenth of what a commit takes.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")

_Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Context, Callable[[], Any]]


class Threads:
    """At most `threads_max` of them, started when needed.  For coroutines of one event loop.

    More work than there are threads waits for its turn in the order in which it came.
    """

    def __init__(self, name: str, *, threads_max: int) -> None:
        self._name: Final = name
        self._threads_max: Final = threads_max
        self._threads = 0
        self._under_way = 0
        self._waiting: SimpleQueue[_Work] = SimpleQueue()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises.  It sees the caller's context variables.

        Work that was begun is not broken off when its caller is cancelled.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._under_way += 1
        if self._threads < min(self._under_way, self._threads_max):
            self._threads += 1
            name = f"{self._name} {self._threads}"
            threading.Thread(target=self._work_on, name=name, daemon=True).start()
        self._waiting.put((loop, future, copy_context(), work))
        return await future

    def _work_on(self) -> None:
        while True:
            loop, future, context, work = self._waiting.get()
            try:
                settle = partial(future.set_result, context.run(work))
            except StopIteration as error:  # a future may not raise it
                settle = partial(future.set_exception, RuntimeError(repr(error)))
            except BaseException as error:  # noqa: BLE001  raised where it is awaited
                settle = partial(future.set_exception, error)
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(self._end, future, settle)
            # Or what was answered would stay in memory until there is other work.
            del loop, future, context, work, settle

    def _end(self, future: "asyncio.Future[Any]", settle: Callable[[], None]) -> None:
        self._under_way -= 1
        if not future.done():
            settle()
