"""What blocks runs in threads: at most so many, in order, with what the caller knows."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from graticule.api.threads import Threads

WHO = ContextVar("WHO", default="nobody")


def test_it_answers_with_what_the_work_returns_or_raises():
    async def main():
        threads = Threads("test", threads_max=1)
        assert await threads.run(lambda: 7) == 7
        with pytest.raises(KeyError, match="missing"):
            await threads.run(lambda: {}["missing"])
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.run(lambda: next(iter(())))
        return await threads.run(lambda: "goes on")

    assert asyncio.run(main()) == "goes on"


def test_work_sees_the_callers_context_and_cannot_change_it():
    def work():
        seen = WHO.get()
        WHO.set("changed")
        return seen

    async def main():
        threads = Threads("test", threads_max=1)
        WHO.set("ana")
        return [await threads.run(work), await threads.run(work), WHO.get()]

    assert asyncio.run(main()) == ["ana", "ana", "ana"]


def test_no_more_threads_than_allowed_and_no_more_than_needed():
    async def main():
        threads = Threads("few", threads_max=3)
        one_after_the_other = {await threads.run(threading.get_ident) for _ in range(5)}
        met = threading.Barrier(3)
        at_once = await asyncio.gather(*[threads.run(lambda: met.wait(30)) for _ in range(9)])
        names = [each.name for each in threading.enumerate() if each.name.startswith("few ")]
        return len(one_after_the_other), len(at_once), sorted(names)

    assert asyncio.run(main()) == (1, 9, ["few 1", "few 2", "few 3"])


def test_work_whose_caller_was_cancelled_is_ended_and_its_thread_is_free_again():
    async def main():
        threads, begun, go_on, done = (
            Threads("test", threads_max=1),
            *(threading.Event() for _ in range(3)),
        )

        def work():
            begun.set()
            go_on.wait(30)
            done.set()

        task = asyncio.create_task(threads.run(work))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not done.is_set()
        go_on.set()
        return await threads.run(done.is_set)

    assert asyncio.run(main())
