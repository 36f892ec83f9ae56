"""Derive the window of a filter: the part of the plane outside of which no row can match.

Only what is understood narrows the window.  Of comparisons only the sound directions count: upper
limits on a row's lower sides and lower limits on its upper sides.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from graticule.iceberg.expressions import (
    AlwaysFalse,
    And,
    Comparison,
    Expression,
    Literal,
    Not,
    Or,
    SetMembership,
    StIntersects,
    Term,
    Unary,
)
from graticule.spatial.bounding_box import EVERYWHERE, BoundingBox, union_of, windows_of
from graticule.spatial.box_columns import BoxColumns

WINDOWS_MAX: Final = 64
"""Rectangles of one filter; beyond, they are joined or dropped, which only keeps more files."""

Windows = tuple[BoundingBox, ...] | None
"""None: no constraint.  No rectangle: no row can match."""


def window_of(
    expression: Expression,
    columns: Sequence[BoxColumns],
    *,
    geometry: str | None = None,
    case_sensitive: bool = True,
) -> Windows:
    """The windows of a filter.

    `columns` bound the same geometries as the boxes that the windows will be compared with, and so
    does `geometry`, the column that `st-intersects` may name.
    """
    if not case_sensitive:
        columns = [BoxColumns(*(name.lower() for name in names.names)) for names in columns]
        geometry = geometry.lower() if geometry is not None else None
    return _Deriver(columns, geometry, case_sensitive=case_sensitive).windows(expression)


def names_any(expression: Expression, columns: BoxColumns, *, case_sensitive: bool = True) -> bool:
    """True if a predicate of the filter, wherever it stands, is about one of the columns."""
    names = set(columns.names) if case_sensitive else {name.lower() for name in columns.names}
    todo = [expression]
    while todo:
        match todo.pop():
            case And(left, right) | Or(left, right):
                todo += [left, right]
            case Not(child):
                todo.append(child)
            case Unary(_, term) | Comparison(_, term, _) | SetMembership(_, term, _):
                if isinstance(term, str):
                    name = term if case_sensitive else term.lower()
                    if name in names:
                        return True
    return False


class _Deriver:
    def __init__(
        self, columns: Sequence[BoxColumns], geometry: str | None, *, case_sensitive: bool
    ) -> None:
        self.columns = columns
        self.geometry = geometry
        self.case_sensitive = case_sensitive

    def windows(self, expression: Expression) -> Windows:
        match expression:
            case AlwaysFalse():
                return ()
            case And(left, right):
                return _both(self.windows(left), self.windows(right))
            case Or(left, right):
                return _either(self.windows(left), self.windows(right))
            case Comparison(op, term, value):
                return self._compared(op, term, [value])
            case SetMembership("in", term, values) if values:
                return self._compared("in", term, values)
            case StIntersects(term, box):
                named = self._name(term)
                return windows_of(*box) if named is not None and named == self.geometry else None
        return None

    def _name(self, term: Term) -> str | None:
        if not isinstance(term, str):
            return None
        return term if self.case_sensitive else term.lower()

    def _compared(self, op: str, term: Term, values: Sequence[Literal]) -> Windows:
        name = self._name(term)
        limits = _limits(values)
        if name is None or limits is None:
            return None
        low, high = limits
        windows: Windows = None
        for column in self.columns:
            if op in {"lt", "lt-eq", "eq", "in"}:
                if name == column.xmin:
                    windows = _both(windows, _window(xmax=high))
                if name == column.ymin:
                    windows = _both(windows, _window(ymax=high))
            if op in {"gt", "gt-eq", "eq", "in"}:
                if name == column.xmax:
                    windows = _both(windows, _window(xmin=low))
                if name == column.ymax:
                    windows = _both(windows, _window(ymin=low))
        return windows


def _window(
    *,
    xmin: float = -math.inf,
    ymin: float = -math.inf,
    xmax: float = math.inf,
    ymax: float = math.inf,
) -> Windows:
    return (BoundingBox(xmin, ymin, xmax, ymax),)


def _limits(values: Sequence[Literal]) -> tuple[float, float] | None:
    """The lowest and the highest value, stretched by two steps of float32.

    Columns of rows are often float32 boxes: rounded to nearest and then one step outward, they may
    reach that much further than the geometries that the boxes of files were taken from.
    """
    numbers: list[float] = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            numbers.append(float(value))
        except OverflowError:
            return None
    low, high = min(numbers), max(numbers)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    with np.errstate(over="ignore"):
        down = _stepped(low, -math.inf)
        up = _stepped(high, math.inf)
    return min(low, down), max(high, up)


def _stepped(value: float, towards: float) -> float:
    number, target = np.float32(value), np.float32(towards)
    return float(np.nextafter(np.nextafter(number, target), target))


def _both(left: Windows, right: Windows) -> Windows:
    if left is None or right is None:
        return right if left is None else left
    if len(left) * len(right) > WINDOWS_MAX:
        return min(left, right, key=len)
    pairs = (one.intersection(other) for one in left for other in right)
    return tuple(dict.fromkeys(pair for pair in pairs if pair is not None))


def _either(left: Windows, right: Windows) -> Windows:
    if left is None or right is None:
        return None
    windows = tuple(dict.fromkeys(left + right))
    if len(windows) <= WINDOWS_MAX:
        return windows
    return (union_of(windows) or EVERYWHERE,)
