"""What must not wait does not, and nobody else is kept from it."""

import threading

import pytest

from graticule.domain import waiting
from graticule.domain.waiting import WouldWait


def test_where_waiting_is_forbidden_what_would_wait_ends_and_afterwards_it_may_again():
    waiting.announce()
    with pytest.raises(WouldWait), waiting.forbidden():
        waiting.announce()
    waiting.announce()


def test_other_threads_may_wait_meanwhile():
    done = threading.Event()

    def wait() -> None:
        waiting.announce()
        done.set()

    with waiting.forbidden():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert done.is_set()


def test_it_is_no_failure_that_a_handler_of_failures_could_swallow():
    assert not issubclass(WouldWait, Exception)
