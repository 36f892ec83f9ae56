"""Many things, some at a time.  Pure."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last of which may be shorter; no item is asked for early.

    As `itertools.batched`, which Python 3.11 does not have.
    """
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
