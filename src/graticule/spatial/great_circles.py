"""Where lines and polygons lie whose edges are great circles, which leave the box of their ends.

An edge takes the shorter way, and a polygon is the smaller of the two parts that its ring cuts the
sphere into, as in S2 and PostGIS.  Degrees throughout.

Source: the plane of an arc from p to q has the normal n = p × q, so the circle's highest latitude
is atan2(hypot(nx, ny), |nz|) (Clairaut's relation).  It is on the arc if latitude rises at p and
falls at q, and it changes there as the z of n × p and of n × q.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from graticule.spatial.bounding_box import (
    EMPTY,
    LATITUDE_MAX_DEG,
    LONGITUDE_MAX_DEG,
    SPHERICAL_PADDING_DEG,
    UNKNOWN,
    BoundingBox,
    FileBox,
    outer,
)
from graticule.spatial.covering import HALF_TURN_DEG

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.int64]

_BINS: Final = 360
_POLE_DEG: Final = LATITUDE_MAX_DEG - 1e-9
_OPPOSITE_DEG: Final = HALF_TURN_DEG - 1e-6
"""Meridians so far apart are one circle through the poles, for all that doubles can tell."""
_ANTIPODAL: Final = 1e-6
"""The length of p + q, of two points on the unit sphere, below which no way is the shorter one."""
_SHORT: Final = 1e-9
"""Arcs of less, in radians, are not worth a formula: they rise by less than their length."""
_SLACK, _SLACK_OF_LENGTH = 1e-12, 1e-15
"""How far from rising a latitude may seem to be that does; the shorter the arc, the less is known
of its direction.  Too much of it only makes a box larger.
"""


@dataclass(slots=True)
class SphericalExtent:
    """Grows only.  Longitudes are kept degree by degree, so that it can be told which part of the
    turn is free when somebody crosses the antimeridian.
    """

    ymin: float = np.inf
    ymax: float = -np.inf
    is_lost: bool = False
    """True when something was added that no box is certain of."""
    crosses: bool = False
    low: Floats = field(default_factory=lambda: np.full(_BINS, np.inf))
    high: Floats = field(default_factory=lambda: np.full(_BINS, -np.inf))

    def add_points(self, x: Floats, y: Floats) -> None:
        """NaN is skipped; infinities and positions that are none lose the extent."""
        known = ~(np.isnan(x) | np.isnan(y))
        x, y = x[known], y[known]
        if not len(x):
            return
        if np.abs(x).max() > LONGITUDE_MAX_DEG or np.abs(y).max() > LATITUDE_MAX_DEG:
            self.is_lost = True
            return
        self._cover(x, x)
        self._rise(y, y)
        if np.abs(y).max() >= _POLE_DEG:
            self._turn()

    def add_lines(self, x: Floats, y: Floats, line: Indexes, *, are_rings: Bools) -> None:
        """The vertices of lines, one line after the other: vertex i is of line `line[i]`, which
        bounds a polygon if `are_rings[line[i]]`.
        """
        self.add_points(x, y)
        if self.is_lost:
            return
        joined = line[1:] == line[:-1]
        joined &= ~(np.isnan(x[1:] + x[:-1]) | np.isnan(y[1:] + y[:-1]))
        at = np.flatnonzero(joined)
        if not len(at):
            return
        steps = _steps(x[at], x[at + 1])
        low, high, lost = _latitudes(x[at], y[at], x[at + 1], y[at + 1])
        if lost:
            self.is_lost = True
            return
        self._rise(low, high)
        over_pole = (np.abs(steps) > _OPPOSITE_DEG) & (x[at] != x[at + 1])
        if over_pole.any():
            self._turn()
        starts = np.where(steps < 0, x[at] + steps, x[at])
        self._cover(starts[~over_pole], (starts + np.abs(steps))[~over_pole])
        self._add_insides(steps, low, high, line[at], are_rings)

    def _add_insides(
        self, steps: Floats, low: Floats, high: Floats, line: Indexes, are_rings: Bools
    ) -> None:
        """A ring that goes all the way around has a pole in it, that of its hemisphere."""
        first = np.flatnonzero(np.concatenate([[True], line[1:] != line[:-1]]))
        ring = are_rings[line[first]]
        if not ring.any():
            return
        turns = np.abs(np.add.reduceat(steps, first))[ring]
        bottom = np.minimum.reduceat(low, first)[ring]
        top = np.maximum.reduceat(high, first)[ring]
        way = _running(steps, first)
        spans = (np.maximum.reduceat(way, first) - np.minimum.reduceat(way, first))[ring]
        around = turns > HALF_TURN_DEG
        if (around & (top > 0)).any():
            self.ymax = LATITUDE_MAX_DEG
        if (around & (bottom < 0)).any():
            self.ymin = -LATITUDE_MAX_DEG
        if around.any():
            self._turn()
        # It may be more than half of the sphere, and then the rest is meant.
        if (~around & (spans >= HALF_TURN_DEG)).any():
            self.is_lost = True

    def file_box(self) -> FileBox:
        if self.is_lost:
            return UNKNOWN
        covered = np.flatnonzero(self.low <= self.high)
        if not len(covered) or self.ymin > self.ymax:
            return EMPTY
        pad = SPHERICAL_PADDING_DEG
        bottom = max(self.ymin - pad, -LATITUDE_MAX_DEG)
        top = min(self.ymax + pad, LATITUDE_MAX_DEG)

        def box(left: float, right: float) -> BoundingBox:
            return BoundingBox(left, bottom, right, top)

        low, high = self.low[covered], self.high[covered]
        if not self.crosses:
            return outer(box(float(low[0]) - pad, float(high[-1]) + pad))
        gaps = low[1:] - high[:-1]
        if not len(gaps) or gaps.max() <= 2 * pad:
            return outer(box(-LONGITUDE_MAX_DEG, LONGITUDE_MAX_DEG))
        widest = int(gaps.argmax())
        west, east = float(high[widest]) + pad, float(low[widest + 1]) - pad
        return outer(box(east, LONGITUDE_MAX_DEG), box(-LONGITUDE_MAX_DEG, west))

    def _rise(self, low: Floats, high: Floats) -> None:
        self.ymin = min(self.ymin, float(low.min()))
        self.ymax = max(self.ymax, float(high.max()))

    def _turn(self) -> None:
        """All longitudes."""
        edges = np.arange(-LONGITUDE_MAX_DEG, LONGITUDE_MAX_DEG + 1)
        self.low, self.high = edges[:-1].copy(), edges[1:].copy()

    def _cover(self, left: Floats, right: Floats) -> None:
        """From -180..180 eastward, less than a turn each."""
        if not len(left):
            return
        self.crosses |= bool((right > LONGITUDE_MAX_DEG).any() or (left < -LONGITUDE_MAX_DEG).any())
        for turn in (-360.0, 0.0, 360.0):
            some = (right + turn >= -LONGITUDE_MAX_DEG) & (left + turn <= LONGITUDE_MAX_DEG)
            if some.any():
                a = np.maximum(left[some] + turn, -LONGITUDE_MAX_DEG)
                b = np.minimum(right[some] + turn, LONGITUDE_MAX_DEG)
                self._cover_bins(a, b)

    def _cover_bins(self, left: Floats, right: Floats) -> None:
        first, last = _bin(left), _bin(right)
        starts = first - LONGITUDE_MAX_DEG
        np.minimum.at(self.low, first, left)
        np.maximum.at(self.high, first, np.minimum(right, starts + 1))
        np.minimum.at(self.low, last, np.maximum(left, last - LONGITUDE_MAX_DEG))
        np.maximum.at(self.high, last, right)
        inside = np.zeros(_BINS + 1, np.int64)
        wide = last - first > 1
        np.add.at(inside, first[wide] + 1, 1)
        np.add.at(inside, last[wide], -1)
        whole = np.flatnonzero(np.cumsum(inside[:-1]) > 0)
        self.low[whole] = whole - LONGITUDE_MAX_DEG
        self.high[whole] = whole - LONGITUDE_MAX_DEG + 1


def _bin(longitudes: Floats) -> Indexes:
    found: Indexes = np.floor(longitudes + LONGITUDE_MAX_DEG).astype(np.int64)
    return np.minimum(found, _BINS - 1)


def _steps(start: Floats, end: Floats) -> Floats:
    """How far it is eastward, or westward if negative, on the shorter way."""
    step = end - start
    turned: Floats = np.where(np.abs(step) > HALF_TURN_DEG, step - np.sign(step) * 360.0, step)
    return turned


def _running(steps: Floats, first: Indexes) -> Floats:
    """Where each edge of each line ends, if its line begins at 0; the beginning is in any span."""
    total = np.cumsum(steps)
    before = np.concatenate([[0.0], total])[first]
    lengths = np.diff(np.concatenate([first, [len(steps)]]))
    running: Floats = total - np.repeat(before, lengths)
    return running


def _latitudes(x0: Floats, y0: Floats, x1: Floats, y1: Floats) -> tuple[Floats, Floats, bool]:
    """The lowest and the highest latitude of each arc, and whether one has no shorter way."""
    p, q = _on_sphere(x0, y0), _on_sphere(x1, y1)
    if bool((np.linalg.norm(p + q, axis=0) < _ANTIPODAL).any()):
        return y0, y1, True
    length = np.linalg.norm(p - q, axis=0)
    # As p × q, but of differences, which are exact where the points are close together.
    normal = np.cross(p - q, p + q, axis=0) / 2
    size = np.linalg.norm(normal, axis=0)
    short = length < _SHORT
    n = normal / np.where(short | (size == 0), 1.0, size)
    peak = np.degrees(np.arctan2(np.hypot(n[0], n[1]), np.abs(n[2])))
    slack = _SLACK + _SLACK_OF_LENGTH / np.maximum(length, _SHORT)
    at_p = n[0] * p[1] - n[1] * p[0]
    at_q = n[0] * q[1] - n[1] * q[0]
    rises = (at_p >= -slack) & (at_q <= slack) & ~short
    falls = (at_p <= slack) & (at_q >= -slack) & ~short
    # No point is further from both ends than the arc is long, which also keeps the circle's other
    # side away from an arc whose direction is not clear.
    bottom, top = np.minimum(y0, y1), np.maximum(y0, y1)
    reach = np.degrees(length * (np.pi / 2))
    low = np.where(
        falls | short, np.maximum(bottom - reach, np.where(short, -np.inf, -peak)), bottom
    )
    high = np.where(rises | short, np.minimum(top + reach, np.where(short, np.inf, peak)), top)
    low, high = np.minimum(low, bottom), np.maximum(high, top)
    return low, high, False


def _on_sphere(x: Floats, y: Floats) -> Floats:
    longitude, latitude = np.radians(x), np.radians(y)
    across = np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)])
