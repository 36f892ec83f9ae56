"""Derive the window of a filter: the part of the plane outside of which no row can match.

Only what is understood narrows the window.  Of comparisons only the sound directions count: upper
limits on a row's lower sides and lower limits on its upper sides.  A window is *met*, not obeyed:
the box of a matching row shares a point with it, and so does every box around that one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from graticule.iceberg.values import NUMBER
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
    return _Deriver(columns, geometry, case_sensitive=case_sensitive).region(expression).windows


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


@dataclass(frozen=True, slots=True)
class _Region:
    """Rectangles, one of which a row must meet.  `of_geometry`: not by its columns, but itself."""

    windows: Windows
    of_geometry: bool = False


_EVERYWHERE: Final = _Region(None)


class _Deriver:
    def __init__(
        self, columns: Sequence[BoxColumns], geometry: str | None, *, case_sensitive: bool
    ) -> None:
        self.columns = columns
        self.geometry = geometry
        self.case_sensitive = case_sensitive

    def region(self, expression: Expression) -> "_Region":
        match expression:
            case AlwaysFalse():
                return _Region(())
            case And(left, right):
                return _both(self.region(left), self.region(right))
            case Or(left, right):
                return _either(self.region(left), self.region(right))
            case Comparison(op, term, value):
                return self._compared(op, term, [value])
            case SetMembership("in", term, values):
                return self._compared("in", term, values) if values else _Region(())
            case StIntersects(term, box) if self.geometry is not None:
                if self._name(term) == self.geometry:
                    return _Region(windows_of(*box), of_geometry=True)
        return _EVERYWHERE

    def _name(self, term: Term) -> str | None:
        if not isinstance(term, str):
            return None
        return term if self.case_sensitive else term.lower()

    def _compared(self, op: str, term: Term, values: Sequence[Literal]) -> _Region:
        name = self._name(term)
        limits = _limits(values)
        if name is None or limits is None:
            return _EVERYWHERE
        low, high = limits
        region = _EVERYWHERE
        for column in self.columns:
            if op in {"lt", "lt-eq", "eq", "in"}:
                if name == column.xmin:
                    region = _both(region, _limited(xmax=high))
                if name == column.ymin:
                    region = _both(region, _limited(ymax=high))
            if op in {"gt", "gt-eq", "eq", "in"}:
                if name == column.xmax:
                    region = _both(region, _limited(xmin=low))
                if name == column.ymax:
                    region = _both(region, _limited(ymin=low))
        return region


def _limited(
    *,
    xmin: float = -math.inf,
    ymin: float = -math.inf,
    xmax: float = math.inf,
    ymax: float = math.inf,
) -> _Region:
    return _Region((BoundingBox(xmin, ymin, xmax, ymax),))


def _limits(values: Sequence[Literal]) -> tuple[float, float] | None:
    """The lowest and the highest value, stretched by two steps of float32.

    Columns of rows are often float32 boxes: rounded to nearest and then one step outward, they may
    reach that much further than the geometries that the boxes of files were taken from.
    """
    numbers: list[float] = []
    for value in values:
        if isinstance(value, str) and not NUMBER.fullmatch(value):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
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


def _both(left: _Region, right: _Region) -> _Region:
    """A region for rows that meet both."""
    if left.windows is None or right.windows is None:
        return right if left.windows is None else left
    if not left.windows or not right.windows:
        return _Region(())
    if left.of_geometry or right.of_geometry:
        # A geometry across the antimeridian may meet one in the east and the other in the west.
        return left if left.of_geometry else right
    if len(left.windows) * len(right.windows) > WINDOWS_MAX:
        return min(left, right, key=lambda region: len(region.windows or ()))
    pairs = (_between(one, other) for one in left.windows for other in right.windows)
    return _Region(tuple(dict.fromkeys(pairs)))


def _between(one: BoundingBox, other: BoundingBox) -> BoundingBox:
    """What every box that meets both must meet.

    Where the two overlap it is their overlap.  Where they are apart nothing contradicts: a box may
    reach from one to the other, and then covers the gap between them.
    """
    x = sorted((max(one.xmin, other.xmin), min(one.xmax, other.xmax)))
    y = sorted((max(one.ymin, other.ymin), min(one.ymax, other.ymax)))
    return BoundingBox(x[0], y[0], x[1], y[1])


def _either(left: _Region, right: _Region) -> _Region:
    if left.windows is None or right.windows is None:
        return _EVERYWHERE
    of_geometry = left.of_geometry or right.of_geometry
    windows = tuple(dict.fromkeys(left.windows + right.windows))
    if len(windows) > WINDOWS_MAX:
        windows = (union_of(windows) or EVERYWHERE,)
    return _Region(windows, of_geometry)
