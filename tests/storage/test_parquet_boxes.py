"""The traps of the spatial reference, one promise each: what is not certain is unknown."""

import numpy as np
import pyarrow as pa
import pytest

from graticule.discovery.inspection import BoxSource
from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, BoxStatus, exact, outer
from graticule.spatial.box_columns import BoxColumns
from graticule.storage.parquet import inspect
from graticule.storage.parquet_computed import compute_boxes
from support.parquet_files import (
    EMPTY_LINE,
    Ranges,
    boxes,
    covering,
    ewkb_point,
    geo,
    line,
    native,
    parquet,
    point,
)

INF, NAN = float("inf"), float("nan")
STRUCT = BoxColumns("bbox.xmin", "bbox.ymin", "bbox.xmax", "bbox.ymax")
FLAT = BoxColumns("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")


def inspected(columns, *, metadata=None, **options):
    data = parquet(columns, metadata=metadata, **options)
    return inspect(Ranges(data), len(data))


def geometry(columns, **options):
    return inspected(columns, **options).geometry["geometry"]


def computed(columns, *, budget_bytes=1 << 20, **options):
    data = parquet(columns, **options)
    found = inspect(Ranges(data), len(data))
    return compute_boxes(Ranges(data), len(data), found, budget_bytes=budget_bytes)


def where(found):
    return found.file_box, found.source


def flat(rows):
    return {
        f"bbox_{side}": pa.array([row[at] for row in rows], pa.float64())
        for at, side in enumerate(("xmin", "ymin", "xmax", "ymax"))
    }


# Native statistics.


def test_native_statistics_are_exact_and_per_row_group():
    found = geometry({"geometry": native([point(1, 2), point(3, 4)])}, rows_per_group=1)
    assert where(found) == (exact(BoundingBox(1, 2, 3, 4)), BoxSource.NATIVE)
    assert found.row_group_boxes == (
        exact(BoundingBox(1, 2, 1, 2)),
        exact(BoundingBox(3, 4, 3, 4)),
    )
    assert (found.types, str(found.crs), found.edges) == (("Point",), "OGC:CRS84", "planar")


@pytest.mark.parametrize(
    "values",
    [[None, None], [EMPTY_LINE], [point(1, NAN)], [point(INF, 0), point(1, 1)], [ewkb_point(1, 2)]],
    ids=["null", "empty", "nan", "inf", "ewkb"],
)
def test_native_statistics_without_a_box_are_unknown(values):
    assert where(geometry({"geometry": native(values)})) == (UNKNOWN, BoxSource.NONE)


def test_one_unknown_row_group_makes_the_file_unknown_but_not_the_others():
    found = geometry({"geometry": native([point(1, 2), None])}, rows_per_group=1)
    assert found.row_group_boxes == (exact(BoundingBox(1, 2, 1, 2)), UNKNOWN)
    assert found.file_box == UNKNOWN


def test_a_file_without_rows_is_empty():
    found = geometry({"geometry": native([])})
    assert found.file_box == EMPTY


def test_geography_written_without_statistics_is_bounded_when_it_is_read():
    column = native([line((-120, 50), (-60, 50))], edges="spherical")
    found = computed({"geometry": column}).geometry["geometry"]
    assert (found.edges, found.file_box.status) == ("spherical", BoxStatus.OUTER)
    (box,) = found.file_box.boxes
    sides = (box.xmin, box.ymin, box.xmax, box.ymax)
    assert sides == pytest.approx((-120, 50, -60, 53.99478518121352))


def test_points_need_no_planar_edges():
    found = geometry(
        {"geometry": pa.array([point(1, 2)]), "bbox": boxes([(1, 2, 1, 2)])},
        metadata=geo(edges="spherical", geometry_types=["Point"], covering=covering()),
    )
    assert where(found) == (outer(BoundingBox(1, 2, 1, 2)), BoxSource.COVERING)


def test_a_covering_does_not_bound_spherical_edges():
    found = geometry(
        {"geometry": pa.array([line((0, 0), (9, 9))]), "bbox": boxes([(0, 0, 9, 9)])},
        metadata=geo(edges="spherical", covering=covering()),
    )
    assert (found.file_box, found.box_columns) == (UNKNOWN, None)


def test_a_crs_of_degrees_with_coordinates_in_metres_is_unknown():
    found = geometry({"geometry": native([point(950_000, 6_000_000)], crs="EPSG:4326")})
    assert (found.crs.is_known, found.file_box.status) == (False, "exact")
    assert "no degrees" in found.notes[0]


def test_longitudes_up_to_360_are_longitudes():
    found = geometry({"geometry": native([point(181, 5), point(359, 5)])})
    assert found.crs.is_lonlat
    assert found.file_box == exact(BoundingBox(181, 5, 359, 5))


def test_crs_declarations_that_differ_are_unknown():
    column = native([point(1, 2)], crs="EPSG:3857")
    assert not geometry({"geometry": column}, metadata=geo()).crs.is_known
    assert not geometry({"geometry": native([point(1, 2)])}, metadata=geo(crs=None)).crs.is_known
    assert str(geometry({"geometry": column}).crs) == "EPSG:3857"


# Coverings.


def test_a_covering_gives_outer_boxes_per_row_group():
    found = geometry(
        {
            "geometry": pa.array([point(1, 2), point(3, 4)]),
            "bbox": boxes([(1, 2, 1, 2), (3, 4, 3, 4)]),
        },
        metadata=geo(covering=covering()),
        rows_per_group=1,
    )
    assert where(found) == (outer(BoundingBox(1, 2, 3, 4)), BoxSource.COVERING)
    assert found.row_group_boxes[1] == outer(BoundingBox(3, 4, 3, 4))
    assert found.box_columns == STRUCT


def test_a_covering_with_nulls_where_geometries_are_is_not_used():
    found = geometry(
        {"geometry": pa.array([point(1, 2), point(99, 9)]), "bbox": boxes([(1, 2, 1, 2), None])},
        metadata=geo(covering=covering()),
    )
    assert (found.file_box, found.box_columns) == (UNKNOWN, None)


def test_a_covering_that_is_null_where_geometries_are_null_is_used():
    found = geometry(
        {"geometry": pa.array([point(1, 2), None]), "bbox": boxes([(1, 2, 1, 2), None])},
        metadata=geo(covering=covering()),
    )
    assert found.file_box == outer(BoundingBox(1, 2, 1, 2))


def test_a_covering_of_native_geometries_whose_nulls_nobody_counted_must_have_none():
    columns = {
        "geometry": native([EMPTY_LINE, EMPTY_LINE]),
        "bbox": boxes([(1, 2, 1, 2), None]),
    }
    assert geometry(columns, metadata=geo(covering=covering())).file_box == UNKNOWN


def test_a_float32_covering_is_widened_outward():
    x, y = 7.4474123456789, 46.9480123456789
    found = geometry(
        {"geometry": pa.array([point(x, y)]), "bbox": boxes([(x, y, x, y)], pa.float32())},
        metadata=geo(covering=covering()),
    )
    (box,) = found.file_box.boxes
    assert found.file_box.status == "outer"
    assert box.xmin < x < box.xmax
    assert box.ymin < y < box.ymax
    assert box.xmin == float(np.nextafter(np.float32(x), np.float32(-np.inf)))


def test_a_covering_that_contradicts_native_statistics_is_no_covering():
    found = geometry(
        {"geometry": native([point(1, 2), point(50, 50)]), "bbox": boxes([(1, 2, 1, 2)] * 2)},
        metadata=geo(covering=covering()),
    )
    assert where(found) == (exact(BoundingBox(1, 2, 50, 50)), BoxSource.NATIVE)
    assert found.box_columns is None


def test_flat_columns_named_bbox_bound_the_only_geometry():
    rows = [(1.0, 2.0, 1.0, 2.0), (3.0, 4.0, 3.0, 4.0)]
    found = geometry(
        {"geometry": pa.array([point(1, 2), point(3, 4)]), **flat(rows)}, metadata=geo()
    )
    assert where(found) == (outer(BoundingBox(1, 2, 3, 4)), BoxSource.COVERING)
    assert found.box_columns == FLAT


def test_flat_columns_are_preferred_to_a_struct():
    rows = [(1.0, 2.0, 1.0, 2.0)]
    found = geometry(
        {"geometry": native([point(1, 2)]), "bbox": boxes(rows), **flat(rows)},
        metadata=geo(covering=covering()),
    )
    assert found.box_columns == FLAT


def test_a_covering_whose_columns_are_missing_is_no_covering():
    found = geometry({"geometry": pa.array([point(1, 2)])}, metadata=geo(covering=covering()))
    assert where(found) == (UNKNOWN, BoxSource.NONE)


def test_coordinates_of_geoarrow_points_give_boxes():
    points = pa.array([{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}])
    found = geometry({"geometry": points}, metadata=geo(encoding="point"))
    assert where(found) == (outer(BoundingBox(1, 2, 3, 4)), BoxSource.COLUMNS)
    assert not found.is_geometry


def test_coordinates_of_geoarrow_lines_give_boxes():
    lines = pa.array([[{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]])
    found = geometry({"geometry": lines}, metadata=geo(encoding="linestring"))
    assert found.file_box == outer(BoundingBox(1, 2, 3, 4))


# GeoParquet metadata that lie or are broken.


def test_the_declared_box_is_reported_and_not_used():
    columns = {"geometry": pa.array([point(50, 50)])}
    found = geometry(columns, metadata=geo(bbox=[0, 0, 1, 1]))
    assert where(found) == (UNKNOWN, BoxSource.NONE)
    assert found.declared_box == outer(BoundingBox(0, 0, 1, 1))


def test_reading_the_geometries_beats_a_declared_box_that_lies():
    columns = {"geometry": pa.array([point(50, 50)])}
    found = computed(columns, metadata=geo(bbox=[0, 0, 1, 1]))
    assert where(found.geometry["geometry"]) == (
        exact(BoundingBox(50, 50, 50, 50)),
        BoxSource.COMPUTED,
    )
    assert "does not hold all" in found.geometry["geometry"].notes[0]


def test_broken_metadata_are_noted_and_leave_the_rest_to_the_file():
    found = inspected({"geometry": native([point(1, 2)])}, metadata="{not json")
    assert found.geometry["geometry"].file_box == exact(BoundingBox(1, 2, 1, 2))
    assert "geo" in found.notes[0]


def test_metadata_about_a_column_that_is_not_there_are_ignored():
    found = inspected({"id": pa.array([1])}, metadata=geo("shape"))
    assert (found.geometry, found.primary_geometry) == ({}, None)


# Reading geometries.


def test_undeclared_wkb_is_a_candidate_until_it_was_read():
    columns = {"geom": pa.array([point(1, 2), None])}
    before, after = inspected(columns), computed(columns)
    assert (before.geometry["geom"].encoding, before.primary_geometry) == ("candidate", None)
    assert (after.geometry["geom"].encoding, after.primary_geometry) == ("WKB", "geom")
    assert after.geometry["geom"].file_box == exact(BoundingBox(1, 2, 1, 2))
    assert not after.geometry["geom"].crs.is_known


def test_bytes_that_are_no_wkb_stop_being_a_candidate():
    assert computed({"geom": pa.array([b"POINT (1 2)"])}).geometry == {}


def test_a_geoarrow_extension_declares_a_geometry():
    column = native([point(1, 2)], crs="EPSG:3857")
    field = pa.field(
        "shape_data",
        pa.binary(),
        metadata={
            "ARROW:extension:name": "geoarrow.wkb",
            "ARROW:extension:metadata": '{"crs":"EPSG:3857"}',
        },
    )
    table = pa.table([column.storage], schema=pa.schema([field]))
    data = parquet(table, store_schema=True)
    found = inspect(Ranges(data), len(data)).geometry["shape_data"]
    assert (found.encoding, str(found.crs)) == ("WKB", "EPSG:3857")


@pytest.mark.parametrize(
    ("values", "box"),
    [
        ([None, None], EMPTY),
        ([EMPTY_LINE], EMPTY),
        ([None, EMPTY_LINE, point(1, 2)], exact(BoundingBox(1, 2, 1, 2))),
        ([point(1, NAN), point(5, 6)], exact(BoundingBox(1, 6, 5, 6))),
        ([point(NAN, NAN)], EMPTY),
        ([point(INF, 0), point(5, 6)], UNKNOWN),
        ([ewkb_point(1, 2)], exact(BoundingBox(1, 2, 1, 2))),
        ([point(1, 2, order=">")], exact(BoundingBox(1, 2, 1, 2))),
        ([point(1, 2)[:-1]], UNKNOWN),
        ([point(1, 2) + b"\0"], exact(BoundingBox(1, 2, 1, 2))),  # all readers allow it
        ([b"POINT (1 2)"], UNKNOWN),
    ],
    ids=["null", "empty", "mixed", "nan", "all-nan", "inf", "ewkb", "big", "cut", "tail", "wkt"],
)
def test_boxes_are_computed_from_the_geometries(values, box):
    found = computed({"geometry": pa.array(values, pa.binary())}, metadata=geo())
    assert found.geometry["geometry"].file_box == box


def test_ewkb_is_told_apart():
    found = computed({"geometry": pa.array([None, ewkb_point(1, 2)])}, metadata=geo())
    assert found.geometry["geometry"].encoding == "EWKB"


@pytest.mark.parametrize("type_", [pa.large_binary(), pa.binary()])
def test_all_rows_of_all_row_groups_are_read(type_):
    values = [point(at, -at) for at in range(100)]
    found = computed({"geometry": pa.array(values, type_)}, metadata=geo(), rows_per_group=7)
    column = found.geometry["geometry"]
    assert column.file_box == exact(BoundingBox(0, -99, 99, 0))
    assert len(column.row_group_boxes) == 15


def test_beyond_the_budget_row_groups_stay_unknown():
    values = [point(at, at) for at in range(1000)]
    columns = {"geometry": pa.array(values)}
    found = computed(columns, metadata=geo(), rows_per_group=500, budget_bytes=15_000)
    boxes_of_groups = found.geometry["geometry"].row_group_boxes
    assert boxes_of_groups == (exact(BoundingBox(0, 0, 499, 499)), UNKNOWN)
    assert where(found.geometry["geometry"]) == (UNKNOWN, BoxSource.NONE)


def test_what_the_footer_knows_is_not_read_again():
    data = parquet({"geometry": native([point(1, 2)])})
    found = inspect(Ranges(data), len(data))
    read = Ranges(data)
    assert compute_boxes(read, len(data), found) == found
    assert read.requests == []


def test_only_the_geometry_column_is_read():
    noise = np.random.default_rng(0).integers(0, 2**60, 50_000)
    data = parquet({"noise": noise, "geometry": pa.array([point(1, 2)] * 50_000)}, metadata=geo())
    read = Ranges(data)
    found = compute_boxes(read, len(data), inspect(Ranges(data), len(data)))
    assert found.geometry["geometry"].file_box == exact(BoundingBox(1, 2, 1, 2))
    assert sum(length for _, length in read.requests) < len(data) / 2


# Several columns, nested ones, and none.


def test_the_declared_primary_column_comes_first():
    columns = {"centre": native([point(1, 2)]), "outline": native([line((0, 0), (9, 9))])}
    metadata = {
        "version": "1.1.0",
        "primary_column": "outline",
        "columns": {name: {"encoding": "WKB", "geometry_types": []} for name in columns},
    }
    found = inspected(columns, metadata=metadata)
    assert found.primary_geometry == "outline"
    assert {n: c.file_box.extent for n, c in found.geometry.items()} == {
        "centre": BoundingBox(1, 2, 1, 2),
        "outline": BoundingBox(0, 0, 9, 9),
    }
    assert inspected(columns).primary_geometry == "centre"


def test_a_nested_geometry_is_no_geometry_of_the_row():
    nested = pa.StructArray.from_arrays([native([point(1, 2)])], ["geometry"])
    assert inspected({"part": nested}).geometry == {}


def test_bbox_columns_are_nobodys_when_there_are_two_geometries():
    rows = [(1.0, 2.0, 1.0, 2.0)]
    columns = {"geometry": native([point(1, 2)]), "centre": native([point(1, 2)]), **flat(rows)}
    assert geometry(columns).box_columns is None


@pytest.mark.parametrize(
    "names", [("lon", "lat"), ("longitude", "latitude"), ("start_lng", "start_lat"), ("x", "y")]
)
def test_a_pair_of_position_columns_gives_boxes(names):
    x, y = names
    found = inspected(
        {x: pa.array([1.0, 3.0, None]), y: pa.array([2.0, NAN, 4.0])}, rows_per_group=2
    )
    assert where(found.positions) == (outer(BoundingBox(1, 2, 3, 4)), BoxSource.COLUMNS) or (
        found.positions.row_group_boxes[1] == EMPTY
    )
    assert found.positions.box_columns == BoxColumns.of_position(x, y)


@pytest.mark.parametrize(
    "columns",
    [
        {"lon": pa.array([1.0]), "lat": pa.array([91.0])},
        {"lon": pa.array([361.0]), "lat": pa.array([1.0])},
        {"lon": pa.array([1.0]), "latitude_of_origin": pa.array([1.0])},
        {"lon": pa.array(["1"]), "lat": pa.array(["2"])},
        {"lon": pa.array([INF]), "lat": pa.array([2.0])},
    ],
)
def test_columns_that_only_sound_like_positions_are_none(columns):
    assert inspected(columns).positions is None


def test_positions_without_statistics_are_none():
    found = inspected({"lon": pa.array([1.0]), "lat": pa.array([2.0])}, write_statistics=False)
    assert found.positions is None


def test_a_geometry_makes_position_columns_ordinary():
    found = inspected(
        {"geometry": native([point(1, 2)]), "lon": pa.array([1.0]), "lat": pa.array([2.0])}
    )
    assert (found.positions, found.place) == (None, found.geometry["geometry"])
