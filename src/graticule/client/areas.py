"""What users have at hand for an area, and in which reference system: as what is searched."""

from collections.abc import Mapping, Sequence
from typing import Any

import shapely

from graticule.domain.errors import InvalidRequest
from graticule.spatial.crs import Crs
from graticule.spatial.search_area import SearchArea, parse_crs

Area = Sequence[float] | str | Mapping[str, Any] | Any
"""Four numbers; WKT or GeoJSON as text; GeoJSON; a shapely geometry; a GeoDataFrame or GeoSeries,
in its own reference system; or what describes itself by `__geo_interface__`."""


def area_of(area: Area, crs: str | Any = None) -> SearchArea:
    """`crs` is the area's: a name, or what pyproj has for one.

    Raises:
        InvalidRequest: no area, or a reference system that nobody knows or that is not the area's.
    """
    named = _name_of(crs)
    own = _name_of(getattr(area, "crs", None))
    if named is not None and own is not None and parse_crs(named) != parse_crs(own):
        raise InvalidRequest(f"the area is in {own}, not in {named}; leave out `crs`")
    known = parse_crs(named or own)
    if isinstance(area, str | Mapping):
        return SearchArea.of_geometry(area, known)
    if isinstance(area, shapely.Geometry):
        return SearchArea.of_shape(area, known)
    if hasattr(area, "geometry") and hasattr(area, "total_bounds"):
        shapes = [shape for shape in area.geometry if shape is not None]
        return SearchArea.of_shape(shapely.GeometryCollection(shapes), known)
    described = getattr(area, "__geo_interface__", None)
    if described is not None:
        return SearchArea.of_geometry(described, known)
    return _of_box(area, known)


def _of_box(area: Any, crs: Crs | None) -> SearchArea:
    try:
        sides = [float(side) for side in area]
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"an area is four numbers, WKT, GeoJSON or a geometry, not {type(area).__name__}: "
            f"{error}"
        ) from error
    return SearchArea.of_bbox(sides, crs)


def _name_of(crs: Any) -> str | None:
    if crs is None or isinstance(crs, str):
        return crs or None
    find = getattr(crs, "to_authority", None)
    if find is None:
        raise InvalidRequest(f"a reference system is named, not {type(crs).__name__}")
    authority = find()
    if authority is None:
        raise InvalidRequest(
            "the area's reference system has no name, such as EPSG:3857; take the area to one"
        )
    return ":".join(authority)
