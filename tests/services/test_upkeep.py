"""The thread that does what nobody asks for."""

import threading

from graticule.services.maintenance.upkeep import Upkeep


def test_tasks_run_at_the_start_and_when_woken():
    runs = threading.Semaphore(0)
    upkeep = Upkeep([lambda _: runs.release()], pause_s=3600)
    upkeep.start()
    assert runs.acquire(timeout=10)
    upkeep.wake()
    assert runs.acquire(timeout=10)
    upkeep.close()


def test_a_task_that_fails_keeps_no_other_from_running_and_is_tried_again():
    tried, ran = threading.Semaphore(0), threading.Semaphore(0)

    def fail(_stopping):
        tried.release()
        raise RuntimeError("no")

    upkeep = Upkeep([fail, lambda _: ran.release()], pause_s=0)
    upkeep.start()
    for semaphore in (tried, ran, tried, ran):
        assert semaphore.acquire(timeout=10)
    upkeep.close()


def test_closing_stops_a_task_that_is_at_work():
    began, seen = threading.Event(), []

    def work(stopping):
        began.set()
        seen.append(stopping.wait(10))

    upkeep = Upkeep([work])
    upkeep.start()
    assert began.wait(10)
    upkeep.close()
    assert seen == [True]


def test_what_was_never_started_can_be_closed():
    Upkeep([]).close()
