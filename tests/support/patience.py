"""Waiting for what another thread or process does, as long as it takes and no longer."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

Found = TypeVar("Found")

TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.005


def until(
    condition: Callable[[], Found], *, told: Callable[[], object] = lambda: "it never came to pass"
) -> Found:
    """Return what `condition` gives as soon as it is true.

    Raises:
        AssertionError: it does not come to hold in time; it shows what `told` gives.
    """
    ends_at = time.monotonic() + TIMEOUT_S
    while not (found := condition()):
        assert time.monotonic() < ends_at, told()
        time.sleep(POLL_S)
    return found
