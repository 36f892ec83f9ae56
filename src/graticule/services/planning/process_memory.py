"""Memory that was freed, given back to the system.

The allocator of the C library keeps what arrays of some megabytes leave behind, and it would stay
with the process for good: after an index of a million files 300 MB.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Final

MANY_FILES: Final = 50_000
"""Of fewer so little is left behind that looking for it is not worth the milliseconds."""


def give_back() -> None:
    """Let go of pages that hold nothing any more; costs some milliseconds."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """None where there is another C library."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
