"""Whether the work at hand may wait.

What is done on the event loop holds up every other request of the process, so there nothing may
wait for a network, a lock or the disk, nor compute for long.  The places that do say so first, with
`announce`.  Where waiting is forbidden that ends the work, and it is begun again in a thread.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WouldWait(BaseException):
    """Not a failure: nothing was changed, and the same work may be done where it may wait.

    No `Exception`, so that nobody who handles failures takes it for one.
    """


class _Here(threading.local):
    is_forbidden = False


_here = _Here()


@contextmanager
def forbidden() -> Iterator[None]:
    """Within the block, in this thread, whatever would wait raises `WouldWait` instead."""
    _here.is_forbidden = True
    try:
        yield
    finally:
        _here.is_forbidden = False


def announce() -> None:
    """Say that what follows may wait.

    Raises:
        WouldWait: it must not, here.
    """
    if _here.is_forbidden:
        raise WouldWait
