"""The extent of coordinates as they are read, bit by bit."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, FileBox, exact

Floats = npt.NDArray[np.float64]

LONG_ROW_NUMBERS: Final = 512


@dataclass(slots=True)
class Extent:
    """Grows only.  NaN is skipped ordinate by ordinate; infinity stays, and bounds nothing."""

    xmin: float = math.inf
    ymin: float = math.inf
    xmax: float = -math.inf
    ymax: float = -math.inf

    def add(self, x: Floats, y: Floats) -> bool:
        """Answers whether a NaN was among them."""
        if not len(x):
            return False
        self.xmin, self.xmax, x_nan = _stretched(self.xmin, self.xmax, x)
        self.ymin, self.ymax, y_nan = _stretched(self.ymin, self.ymax, y)
        return x_nan or y_nan

    def add_vertices(self, numbers: Floats, ordinates: int) -> bool:
        """Rows, at least one, of x, y and perhaps more of one vertex after the other; answers as
        `add`.
        """
        # One copy, in which as many numbers follow each other as are best compared at once.  What
        # the last of these long rows leaves over is in the end, which may be looked at twice.
        count, across = numbers.shape
        flat = numbers.copy().ravel()
        long = across * max(min(LONG_ROW_NUMBERS // across, count), 1)
        rows = flat[: len(flat) // long * long].reshape(-1, long)
        low = np.minimum(rows.min(axis=0), flat[-long:]).reshape(-1, ordinates).min(axis=0)
        high = np.maximum(rows.max(axis=0), flat[-long:]).reshape(-1, ordinates).max(axis=0)
        xmin, ymin, *_ = low.tolist()
        xmax, ymax, *_ = high.tolist()
        if math.isnan(xmin + ymin):  # or infinities of both signs, which is dealt with as well
            return self.add(flat[0::ordinates], flat[1::ordinates])
        self.add_bounds(xmin, ymin, xmax, ymax)
        return False

    def add_bounds(self, xmin: float, ymin: float, xmax: float, ymax: float) -> None:
        """Bounds that were found elsewhere; of nothing they are inverted, and add nothing."""
        self.xmin, self.xmax = min(self.xmin, xmin), max(self.xmax, xmax)
        self.ymin, self.ymax = min(self.ymin, ymin), max(self.ymax, ymax)

    def file_box(self) -> FileBox:
        # A dimension without any number has no geometry that intersects anything.
        if self.xmin > self.xmax or self.ymin > self.ymax:
            return EMPTY
        if not all(map(math.isfinite, (self.xmin, self.ymin, self.xmax, self.ymax))):
            return UNKNOWN
        return exact(BoundingBox(self.xmin, self.ymin, self.xmax, self.ymax))


def _stretched(lowest: float, highest: float, values: Floats) -> tuple[float, float, bool]:
    numbers = np.ascontiguousarray(values, np.float64)  # comparing pays for the copy
    low, high = float(numbers.min()), float(numbers.max())
    has_nan = math.isnan(low)
    if has_nan:  # min and max are much faster than fmin and fmax, and NaN is rare
        low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
        if math.isnan(low):
            return lowest, highest, True
    return min(lowest, low), max(highest, high), has_nan
