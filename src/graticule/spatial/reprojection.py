"""Take windows and coordinates from one coordinate reference system to another.

PROJ does the arithmetic and never asks the network.  What cannot be taken over with certainty is
None: nobody may leave out a file because of it.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyproj
from pyproj.exceptions import ProjError

from graticule.domain.errors import InvalidRequest
from graticule.spatial.bounding_box import (
    FULL_TURN_DEG,
    LATITUDE_MAX_DEG,
    LONGITUDE_MAX_DEG,
    BoundingBox,
)
from graticule.spatial.crs import Crs

SAMPLES_PER_SIDE: Final = 33
"""A window is sampled all over, not on its edges alone: it may hold a pole, or a cut of the map."""

ROUND_TRIP_SHARE_MAX: Final = 1e-4
"""How far off a sample may come back, as a share of its window, before it is not trusted."""

_CYLINDRICAL: Final = re.compile("mercator|cylindrical", re.IGNORECASE)
_TURNED: Final = re.compile("transverse|oblique|swiss", re.IGNORECASE)

PRECISION_M: Final = 1.0
"""Going from one datum to another and back is not exact; this is more than it is off."""

METRES_PER_DEGREE: Final = 111_320.0

Floats = npt.NDArray[np.float64]


def checked(crs: Crs) -> Crs:
    """The reference system, if PROJ knows it.

    Raises:
        InvalidRequest: it does not.
    """
    _known(_named(crs))
    return crs


def unit_m(crs: Crs) -> float | None:
    """How long one step of the coordinates is, about; None if nobody knows."""
    if not crs.is_known:
        return None
    try:
        known = _known(_named(crs))
    except InvalidRequest:
        return None
    if known.is_geographic:
        return METRES_PER_DEGREE
    factors = {axis.unit_conversion_factor for axis in known.axis_info[:2]}
    return factors.pop() if known.is_projected and len(factors) == 1 else None


def windows_between(
    windows: Sequence[BoundingBox], source: Crs, target: Crs
) -> tuple[BoundingBox, ...] | None:
    """Windows of the target that contain those of the source; None if that is not certain.

    Each is grown by the largest step between two neighbouring samples, which covers what bends
    between them; where the map is cut that step is as wide as the map.

    Raises:
        InvalidRequest: a reference system that PROJ does not know.
    """
    moved = [_window_between(window, source, target) for window in windows]
    certain = [window for window in moved if window is not None]
    if len(certain) != len(moved):
        return None
    turn = _turn(_named(target))
    # What crosses the antimeridian may go on beyond the edge of the world.
    return tuple(
        window.shifted(by) for window in certain for by in ((0.0, turn, -turn) if turn else (0.0,))
    )


def coordinates_between(xy: Floats, source: Crs, target: Crs) -> Floats:
    """Rows of x, y in the target; infinite where there is no such place.

    Raises:
        InvalidRequest: a reference system that PROJ does not know.
    """
    x, y = _transformer(_named(source), _named(target)).transform(xy[:, 0], xy[:, 1])
    return np.column_stack([x, y])


def _window_between(window: BoundingBox, source: Crs, target: Crs) -> BoundingBox | None:
    if not window.is_finite:
        return None
    there = _transformer(_named(source), _named(target))
    back = _transformer(_named(target), _named(source))
    xs, ys = np.meshgrid(
        np.linspace(window.xmin, window.xmax, SAMPLES_PER_SIDE),
        np.linspace(window.ymin, window.ymax, SAMPLES_PER_SIDE),
    )
    try:
        x, y = there.transform(xs, ys)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        x_again, y_again = back.transform(x, y)
    except ProjError:
        return None
    # Of a point PROJ must say the same going and coming, or it was outside of what it can do.
    size = max(window.xmax - window.xmin, window.ymax - window.ymin)
    tolerance = size * ROUND_TRIP_SHARE_MAX + _step(window) * 1e6
    off = np.maximum(_turned(np.abs(x_again - xs), source), np.abs(y_again - ys))
    if not bool((off <= tolerance).all()):  # NaN fails as well
        return None
    least = PRECISION_M / (unit_m(target) or 1.0)
    dx, dy = _largest_step(x, least), _largest_step(y, least)
    moved = BoundingBox(
        float(x.min()) - dx, float(y.min()) - dy, float(x.max()) + dx, float(y.max()) + dy
    )
    if _known(_named(target)).is_geographic and max(-moved.ymin, moved.ymax) >= LATITUDE_MAX_DEG:
        # At a pole all longitudes are one place.
        moved = moved.union(
            BoundingBox(-LONGITUDE_MAX_DEG, moved.ymin, LONGITUDE_MAX_DEG, moved.ymax)
        )
    return moved if moved.is_finite else None


def _largest_step(values: Floats, least: float) -> float:
    steps = [np.abs(np.diff(values, axis=axis)).max() for axis in (0, 1)]
    # A window that is a point has no steps; its place is still only as good as the arithmetic.
    return max(*map(float, steps), float(np.abs(values).max()) * 1e-9, least)


def _step(window: BoundingBox) -> float:
    largest = max(abs(window.xmin), abs(window.ymin), abs(window.xmax), abs(window.ymax))
    return math.ulp(max(largest, 1.0))


def _turned(off: Floats, crs: Crs) -> Floats:
    """-180 and 180 are one place."""
    if _known(_named(crs)).is_geographic:
        return np.minimum(off, np.abs(off - 360.0))
    return off


def _named(crs: Crs) -> str:
    if crs.identifier is None:
        raise InvalidRequest("an unknown reference system cannot be transformed")
    return crs.identifier


@lru_cache(maxsize=64)
def _known(name: str) -> Any:
    try:
        return pyproj.CRS.from_user_input(name)
    except ProjError as error:
        raise InvalidRequest(
            f"the coordinate reference system `{name}` is not known; "
            "write an authority and its code, as in EPSG:3857"
        ) from error


@lru_cache(maxsize=64)
def _turn(name: str) -> float | None:
    """How far it is once around the world, where that goes straight on along x."""
    known = _known(name)
    method = known.coordinate_operation.method_name if known.is_projected else ""
    if not _CYLINDRICAL.search(method) or _TURNED.search(method):
        return None
    x, _ = _transformer(known.geodetic_crs.to_string(), name).transform(
        np.array([0.0, 1.0]), np.zeros(2)
    )
    turn = FULL_TURN_DEG * abs(float(x[1] - x[0]))
    return turn if math.isfinite(turn) else None


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Any:
    # x first, whatever order an authority has: that is how geometries are stored.
    return pyproj.Transformer.from_crs(_known(source), _known(target), always_xy=True)
