"""Files of an index by their positions: whole numbers that rise, each once.  Pure.

What NumPy has for sets hashes or sorts what is in order already, which at a million files takes a
hundred times as long as all the rest of a search.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_FEW_IN: Final = 64
"""Of so many files one is few: then it is cheaper to sort, or look up, than to flag all."""


def firsts(rising: npt.NDArray[Any]) -> Flags:
    """Where another number begins in numbers that never fall."""
    is_first = np.ones(len(rising), np.bool_)
    np.not_equal(rising[1:], rising[:-1], out=is_first[1:])
    return is_first


def distinct(rising: npt.NDArray[Any]) -> Positions:
    """Each once of numbers that never fall."""
    return rising[firsts(rising)].astype(np.int64, copy=False)


def flags(positions: npt.NDArray[Any], count: int) -> Flags:
    """Of all `count` files, whether each is among them."""
    flagged = np.zeros(count, np.bool_)
    flagged[positions] = True
    return flagged


def united(parts: Sequence[npt.NDArray[Any]], count: int) -> Positions:
    """All that are in any of the parts, which may be in any order."""
    whole = np.concatenate(parts)
    if len(whole) * _FEW_IN < count:
        return distinct(np.sort(whole))
    return np.flatnonzero(flags(whole, count))


def common(one: Positions, other: Positions, count: int) -> Positions:
    """Those that are in both."""
    few, many = (one, other) if len(one) <= len(other) else (other, one)
    if not len(few) or len(many) == count:
        return few
    if len(few) * _FEW_IN < count:
        places = np.minimum(np.searchsorted(many, few), len(many) - 1)
        is_there: Flags = many[places] == few
        return few[is_there]
    return few[flags(many, count)[few]]


def without(one: Positions, other: Positions, count: int) -> Positions:
    """Those of the first that are not in the second."""
    return one[~flags(other, count)[one]] if len(other) else one
