"""Waiting for what another thread or process does, as long as it takes and no longer."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

Found = TypeVar("Found")

TIMEOUT_S: Final = 90.0
POLL_S: Final = 0.002


def until(condition: Callable[[], Found]) -> Found:
    """Return what `condition` gives as soon as it is true.

    Raises:
        AssertionError: it does not come to hold in time.
    """
    ends_at = time.monotonic() + TIMEOUT_S
    while not (found := condition()):
        assert time.monotonic() < ends_at, "it never came to pass"
        time.sleep(POLL_S)
    return found
