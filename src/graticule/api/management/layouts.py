"""`…/footprints` and `…/layout`: where the files of a table lie, and how well."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.file_queries import AreaBody, file_query_of, whole_number
from graticule.api.management.table_paths import TABLE, table_of
from graticule.domain.errors import InvalidRequest
from graticule.planning.footprints import Footprint
from graticule.planning.layout import Layout
from graticule.services.planning.layouts import FoundFootprints, FoundLayout
from graticule.spatial.bounding_box import BoundingBox

Json = dict[str, Any]

SHAPES_MAX: Final = 10_000
SHAPES_DEFAULT: Final = 2_000
DIGITS: Final = 7
"""After the point: a centimetre."""
OVERSIZE_LISTED_MAX: Final = 100


def show_footprints(call: Call) -> Response:
    """GeoJSON: a feature for each file of the area, or a grid with counts when they are many."""
    limit = whole_number(call.query.get("limit") or str(SHAPES_DEFAULT), "limit") or 0
    if not 1 <= limit <= SHAPES_MAX:
        raise InvalidRequest(f"`limit` must be a number from 1 to {SHAPES_MAX}")
    found = call.services.layouts.footprints(
        call.principal,
        call.services.catalogs.open(call.principal, call.name("catalog")),
        table_of(call),
        file_query_of(_area_of(call)),
        limit=limit,
    )
    return json_response(_footprints(found))


def show_layout(call: Call) -> Response:
    """Of the whole table, in numbers and in words."""
    query = file_query_of(_area_of(call))
    if query.area is not None:
        raise InvalidRequest("a layout is that of a whole table; leave out `bbox` and `geometry`")
    found = call.services.layouts.layout(
        call.principal,
        call.services.catalogs.open(call.principal, call.name("catalog")),
        table_of(call),
        query,
    )
    return json_response(_layout(found))


def _area_of(call: Call) -> AreaBody:
    return AreaBody(**{name: call.query.get(name) or None for name in AreaBody.model_fields})


def _footprints(found: FoundFootprints) -> Json:
    drawn = found.footprints
    return {
        "type": "FeatureCollection",
        "snapshot_id": found.of.snapshot_id,
        "column": found.of.column,
        "mode": "grid" if drawn.is_grid else "files",
        "reason": found.of.reason,
        "totals": asdict(found.totals),
        "unplaced": _counts(drawn.unplaced),
        "features": [
            {
                "type": "Feature",
                "geometry": _geometry(shape.boxes),
                "properties": _counts(shape)
                if shape.position is None
                else {"path": found.paths[shape.position], **_counts(shape)},
            }
            for shape in drawn.shapes
        ],
    }


def _counts(shape: Footprint) -> Json:
    return {"files": shape.files, "rows": shape.rows, "bytes": shape.bytes}


def _geometry(boxes: Sequence[BoundingBox]) -> Json:
    rings = [[_ring(box)] for box in boxes]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _ring(box: BoundingBox) -> list[list[float]]:
    west, south, east, north = (
        round(side, DIGITS) for side in (box.xmin, box.ymin, box.xmax, box.ymax)
    )
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _layout(found: FoundLayout) -> Json:
    layout: Layout = found.layout
    extent = layout.extent
    return {
        "snapshot_id": found.of.snapshot_id,
        "column": found.of.column,
        "crs": found.of.crs.identifier,
        "unit": layout.unit,
        "totals": {"files": layout.files, "rows": layout.rows, "bytes": layout.bytes},
        "row_groups": layout.row_groups,
        "unknown_files": layout.unknown,
        "empty_files": layout.empty,
        "crossing_files": layout.crossing,
        "small_files": layout.small,
        "large_files": layout.large,
        "oversize_files": len(layout.oversize),
        "oversize_paths": list(found.oversize_paths[:OVERSIZE_LISTED_MAX]),
        "extent": None if extent is None else [extent.xmin, extent.ymin, extent.xmax, extent.ymax],
        "overlap_mean": layout.overlap_mean,
        "overlap_max": layout.overlap_max,
        "windows": [asdict(window) for window in layout.windows],
        "advice": list(layout.advice),
    }


ROUTES: Final[Sequence[Line]] = (
    ("GET", f"{TABLE}/footprints", show_footprints, Action.READ_CATALOG),
    ("GET", f"{TABLE}/layout", show_layout, Action.READ_CATALOG),
)
