"""Which rows lie in an area, exactly: what is done after files have been left out by their boxes.

Planar, as boxes are: edges are straight between the coordinates as they stand.  A geometry that is
null, empty, unreadable or has no finite place is in no area.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from graticule.domain.errors import InvalidRequest
from graticule.spatial import reprojection
from graticule.spatial.bounding_box import FULL_TURN_DEG, BoundingBox
from graticule.spatial.crs import Crs
from graticule.spatial.search_area import SearchArea, is_same

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class RowFilter:
    """Tells rows in an area from the others; made once, asked for every batch."""

    def __init__(self, area: SearchArea, crs: Crs) -> None:
        """`crs` is that of the rows.

        Raises:
            InvalidRequest: it is unknown, or not one that the area's can be compared with.
        """
        self._transform: Callable[[Floats], Floats] | None = None
        lonlat = crs.is_lonlat
        if area.crs is not None and not is_same(area.crs, crs):
            source, target = reprojection.checked(crs), reprojection.checked(area.crs)
            self._transform = lambda xy: reprojection.coordinates_between(xy, source, target)
            lonlat = target.is_lonlat
        turns = (0.0, FULL_TURN_DEG, -FULL_TURN_DEG) if lonlat else (0.0,)
        self._windows = [window.shifted(turn) for window in area.windows for turn in turns]
        self._shapes = []
        if area.geometry is not None:
            self._shapes = [_shifted(area.geometry, turn) for turn in turns]
            for shape in self._shapes:
                shapely.prepare(shape)

    def of_wkb(self, geometries: Sequence[bytes | None]) -> Mask:
        """Which of these geometries share a point with the area."""
        values = np.array(geometries, dtype=object)
        shapes = shapely.from_wkb(values, on_invalid="ignore")
        if self._transform is not None:
            shapes = shapely.transform(shapes, self._transform)
        bounds = shapely.bounds(shapes)
        found = np.zeros(len(shapes), np.bool_)
        finite = np.isfinite(bounds).all(axis=1)
        for window in self._windows:
            near = finite & _meet(bounds, window)
            if self._shapes:
                found |= near
            else:
                inside = near & _within(bounds, window)
                rest = np.flatnonzero(near & ~inside & ~found)
                found |= inside
                found[rest] = shapely.intersects(shapes[rest], _shape_of(window))
        if not self._shapes:
            return found
        near_rows = np.flatnonzero(found)
        found[:] = False
        for shape in self._shapes:
            found[near_rows] |= shapely.intersects(shape, shapes[near_rows])
        return found

    def of_positions(self, x: Floats, y: Floats) -> Mask:
        """Which of these points lie in the area; NaN lies nowhere."""
        if self._transform is not None:
            moved = self._transform(np.column_stack([x, y]))
            x, y = moved[:, 0], moved[:, 1]
        found = np.zeros(len(x), np.bool_)
        for window in self._windows:
            found |= (
                (x >= window.xmin) & (x <= window.xmax) & (y >= window.ymin) & (y <= window.ymax)
            )
        if not self._shapes:
            return found
        near = np.flatnonzero(found)
        found[:] = False
        for shape in self._shapes:
            found[near] |= shapely.intersects_xy(shape, x[near], y[near])
        return found


def require_comparable(area: SearchArea, crs: Crs) -> None:
    """Rows cannot be told apart by an area in another, unknown reference system.

    Raises:
        InvalidRequest: the two cannot be compared.
    """
    reason = area.placed_on(crs).reason if not crs.is_known else None
    if reason is not None:
        raise InvalidRequest(reason)


def _shifted(shape: Any, turn: float) -> Any:
    return shape if turn == 0 else shapely.transform(shape, lambda xy: xy + np.array([turn, 0.0]))


def _shape_of(window: BoundingBox) -> Any:
    """The rectangle; a polygon without an area is none to GEOS."""
    corners = [(window.xmin, window.ymin), (window.xmax, window.ymax)]
    if corners[0] == corners[1]:
        return shapely.Point(corners[0])
    if window.xmin == window.xmax or window.ymin == window.ymax:
        return shapely.LineString(corners)
    return shapely.box(window.xmin, window.ymin, window.xmax, window.ymax)


def _meet(bounds: Floats, window: BoundingBox) -> Mask:
    met: Mask = (
        (bounds[:, 0] <= window.xmax)
        & (bounds[:, 2] >= window.xmin)
        & (bounds[:, 1] <= window.ymax)
        & (bounds[:, 3] >= window.ymin)
    )
    return met


def _within(bounds: Floats, window: BoundingBox) -> Mask:
    within: Mask = (
        (bounds[:, 0] >= window.xmin)
        & (bounds[:, 2] <= window.xmax)
        & (bounds[:, 1] >= window.ymin)
        & (bounds[:, 3] <= window.ymax)
    )
    return within
