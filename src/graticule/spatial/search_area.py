"""Where somebody looks: a box or a geometry, in a coordinate reference system.

Pure.  An area says which part of the plane a geometry must meet to be of interest; what is compared
with it, files or rows, is the caller's business.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import shapely
from shapely.errors import GEOSException

from graticule.domain.errors import InvalidRequest
from graticule.spatial import reprojection
from graticule.spatial.bounding_box import (
    BoundingBox,
    parse_bbox,
    windows_of,
    with_other_turns,
)
from graticule.spatial.crs import CRS84, Crs, parse_name

NATIVE: Final = "native"
"""The name of no reference system: coordinates are compared as they stand in the table."""

GEOMETRY_CHARACTERS_MAX: Final = 4_000_000
NESTING_MAX: Final = 16
TURN_DEG: Final = 360.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SearchArea:
    """`windows` contain the area; `geometry` is it, None when it is the windows themselves.

    `crs` None: that of whatever it is compared with.
    """

    windows: tuple[BoundingBox, ...]
    geometry: Any = None
    crs: Crs | None = CRS84

    @classmethod
    def of_bbox(cls, bbox: str | Sequence[float], crs: Crs | None = CRS84) -> Self:
        """`xmin,ymin,xmax,ymax`; xmin > xmax crosses the antimeridian.

        Raises:
            InvalidRequest: not four finite numbers, or not a box.
        """
        if isinstance(bbox, str):
            return cls(parse_bbox(bbox), None, crs)
        if len(bbox) != 4:
            raise InvalidRequest("a bounding box has four numbers: xmin, ymin, xmax, ymax")
        return cls(windows_of(*(float(side) for side in bbox)), None, crs)

    @classmethod
    def of_geometry(cls, geometry: str | Mapping[str, Any], crs: Crs | None = CRS84) -> Self:
        """From WKT, or GeoJSON as a text or a document.

        Raises:
            InvalidRequest: neither, or a geometry without coordinates.
        """
        text = geometry if isinstance(geometry, str) else json.dumps(geometry)
        return cls.of_shape(_parsed(text.strip()), crs)

    @classmethod
    def of_shape(cls, shape: Any, crs: Crs | None = CRS84) -> Self:
        """From a shapely geometry.

        Raises:
            InvalidRequest: it has no coordinates, or some that are not finite.
        """
        bounds = [float(side) for side in shapely.bounds(shape)]
        if not all(map(math.isfinite, bounds)) or not np.isfinite(_coordinates(shape)).all():
            raise InvalidRequest("the geometry has no coordinates, or some that are not finite")
        return cls((BoundingBox(*bounds),), shape, crs)

    def placed_on(self, crs: Crs) -> "PlacedArea":
        """The area among coordinates of a reference system.

        Raises:
            InvalidRequest: a reference system of the area that nobody knows.
        """
        if self.crs is None or is_same(self.crs, crs):
            return PlacedArea(self.windows, self.geometry, turns=crs.is_lonlat)
        reprojection.checked(self.crs)
        if not crs.is_known:
            return PlacedArea(
                None,
                reason=f"the reference system of the column is unknown, so it cannot be compared "
                f"with an area in {self.crs}; crs={NATIVE} compares the numbers as they stand",
            )
        try:
            windows = reprojection.windows_between(self.windows, self.crs, crs)
        except InvalidRequest:
            return PlacedArea(
                None,
                reason=f"the column's reference system, {crs}, is not one that the server can "
                f"transform to; crs={NATIVE} compares the numbers as they stand",
            )
        if windows is None:
            return PlacedArea(
                None, reason=f"the area cannot be taken from {self.crs} to {crs} with certainty"
            )
        return PlacedArea(windows, turns=crs.is_lonlat)


@dataclass(frozen=True, slots=True)
class PlacedArea:
    """An area in the coordinates of a column.  `windows` None: anything may be in it, and why.

    `turns`: longitudes may be written -180..180 or 0..360, and either finds the other.
    """

    windows: tuple[BoundingBox, ...] | None
    geometry: Any = None
    turns: bool = False
    reason: str | None = None

    @property
    def search_windows(self) -> tuple[BoundingBox, ...] | None:
        """The rectangles that what is in the area must meet."""
        if self.windows is None or not self.turns:
            return self.windows
        return with_other_turns(self.windows)

    @property
    def is_refining(self) -> bool:
        """True if `met_by` can tell more than the windows.  GEOS errs on invalid geometries."""
        return self.geometry is not None and bool(shapely.is_valid(self.geometry))

    def met_by(self, sides: Floats) -> npt.NDArray[np.bool_]:
        """Which boxes, rows of xmin, ymin, xmax, ymax, may share a point with the geometry."""
        met = np.zeros(len(sides), np.bool_)
        finite = np.isfinite(sides).all(axis=1)
        met[~finite] = True
        if not self.is_refining:
            return np.ones(len(sides), np.bool_)
        shapely.prepare(self.geometry)
        for turn in (0.0, TURN_DEG, -TURN_DEG) if self.turns else (0.0,):
            shifted = sides[finite] + [turn, 0.0, turn, 0.0]
            met[finite] |= shapely.intersects(self.geometry, shapely.box(*shifted.T))
        return met


def is_same(one: Crs, other: Crs) -> bool:
    """True if coordinates of the two mean the same places."""
    if not (one.is_known and other.is_known):
        return False
    return one == other or (one.is_lonlat and other.is_lonlat)


def parse_crs(text: str | None) -> Crs | None:
    """A query's reference system: longitude and latitude unless said; None for `native`.

    Raises:
        InvalidRequest: a name that is none.
    """
    if not text:
        return CRS84
    if text.lower() == NATIVE:
        return None
    crs = parse_name(text)
    if not crs.is_known:
        raise InvalidRequest(
            f"`{text[:100]}` is no coordinate reference system; write an authority and its code, "
            f"as in EPSG:3857, or {NATIVE} for that of the table"
        )
    return crs if crs.is_lonlat else reprojection.checked(crs)


def _parsed(text: str) -> Any:
    if len(text) > GEOMETRY_CHARACTERS_MAX:
        raise InvalidRequest(
            f"the geometry has {len(text)} characters; at most {GEOMETRY_CHARACTERS_MAX} are read"
        )
    # GEOS descends into nested collections without a limit of its own.
    if text.upper().count("COLLECTION") > NESTING_MAX:
        raise InvalidRequest(f"the geometry has more than {NESTING_MAX} collections")
    is_json = text.startswith("{")
    try:
        if is_json:
            document = json.loads(text)
            if document.get("type") == "Feature":
                text = json.dumps(document.get("geometry"))
            shape = shapely.from_geojson(text)
        else:
            with np.errstate(all="ignore"):  # 1e999 is infinite, which is refused further on
                shape = shapely.from_wkt(text)
    except (GEOSException, ValueError, RecursionError, AttributeError) as error:
        form = "GeoJSON" if is_json else "WKT"
        raise InvalidRequest(f"the geometry is not {form}: {str(error)[:200]}") from error
    if shape is None:
        raise InvalidRequest("the geometry is null")
    return shape


def _coordinates(shape: Any) -> Floats:
    coordinates: Floats = shapely.get_coordinates(shape)
    return coordinates
