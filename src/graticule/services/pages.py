"""Parts of a list: cut from what was read one item too far, to know whether there is more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `next_after` is where the next part begins, None at the end."""

    items: Sequence[Any]
    next_after: str | None


def page(found: Sequence[Any], limit: int | None, *, key: Callable[[Any], str]) -> Page:
    """Cut a list that was read one item beyond the limit, to know whether there is more."""
    if limit is None or len(found) <= limit:
        return Page(found, None)
    items = found[:limit]
    return Page(items, key(items[-1]))
