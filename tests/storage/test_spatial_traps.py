"""Where geometry data mislead, and what is made of it: every trap with the tests that spring it.

`TRAPS` is the list; what other modules do not promise yet is promised here.
"""

import ast
import json
import struct
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from graticule.discovery.inspection import BoxSource, Counts, CrsSource
from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, exact, outer
from graticule.spatial.crs import CRS84, Crs
from graticule.storage.parquet import inspect
from graticule.storage.parquet_boxes import _native_box
from graticule.storage.parquet_computed import compute_boxes
from graticule.storage.parquet_geometry import DeclaredGeometry
from support.parquet_files import (
    EMPTY_LINE,
    Ranges,
    ewkb_point,
    geo,
    line,
    native,
    parquet,
    point,
)

TESTS = Path(__file__).parent.parent
BOXES = "storage/test_parquet_boxes.py"
VALUES = "storage/test_geometry_values.py"
HERE = "storage/test_spatial_traps.py"
ENTRIES = "core/planning/test_entry_boxes.py"
COVERING = "core/spatial/test_covering.py"
PLANE = "core/spatial/test_bounding_box.py"
WINDOWS = "core/planning/test_windows.py"
FOOTERS = "services/test_footer_boxes.py"
WORKERS = "storage/test_parquet_workers.py"
RANDOM = "storage/test_pruning.py::test_no_file_and_no_row_group_with_a_hit_is_left_out"

TRAPS = {
    "no box: null, empty and never computed look alike": [
        f"{BOXES}::test_native_statistics_without_a_box_are_unknown",
        f"{VALUES}::test_nothing_nulls_and_empty_geometries_are_empty",
    ],
    "an unknown file must not be NULL in a partition": [
        f"{PLANE}::test_partition_values_say_at_least_as_much_as_the_box",
    ],
    "the antimeridian: two boxes, in files and in questions": [
        f"{ENTRIES}::test_bounds_of_a_geography_that_cross_the_antimeridian_are_two_boxes",
        f"{HERE}::test_a_file_that_crosses_the_antimeridian_has_two_boxes",
        RANDOM,
    ],
    "longitudes of 0..360": [f"{BOXES}::test_longitudes_up_to_360_are_longitudes", RANDOM],
    "NaN in one ordinate": [f"{VALUES}::test_nan_is_skipped_in_each_dimension_on_its_own"],
    "infinite coordinates": [
        f"{VALUES}::test_what_is_no_finite_planar_geometry_makes_the_box_unknown"
    ],
    "heights and measures": [f"{HERE}::test_heights_are_recorded_and_not_searched"],
    "EWKB and SRIDs": [
        f"{BOXES}::test_ewkb_is_told_apart",
        f"{HERE}::test_the_srid_of_all_geometries_is_the_reference_system",
        f"{HERE}::test_geometries_of_several_srids_have_no_reference_system",
        f"{HERE}::test_an_srid_that_contradicts_the_file_leaves_no_reference_system",
    ],
    "geometries as text": [
        f"{VALUES}::test_text_is_told_by_what_most_of_a_sample_is",
        f"{VALUES}::test_one_text_that_is_no_geometry_makes_the_box_unknown",
        f"{HERE}::test_geometries_in_a_text_column_are_found_by_reading",
        f"{HERE}::test_a_text_column_that_only_sounds_like_geometries_is_none",
    ],
    "positions in two columns": [
        f"{BOXES}::test_a_pair_of_position_columns_gives_boxes",
        f"{BOXES}::test_columns_that_only_sound_like_positions_are_none",
        f"{HERE}::test_a_text_column_named_like_a_geometry_does_not_hide_positions",
    ],
    "a question in another reference system": [RANDOM],
    "metres under a reference system of degrees": [
        f"{BOXES}::test_a_crs_of_degrees_with_coordinates_in_metres_is_unknown",
        f"{FOOTERS}::test_numbers_of_another_reference_system_are_not_compared",
        RANDOM,
    ],
    "the type and the GeoParquet metadata name different reference systems": [
        f"{BOXES}::test_crs_declarations_that_differ_are_unknown",
    ],
    "axis order": [f"{HERE}::test_x_is_the_longitude_whatever_the_authority_says"],
    "edges on a sphere": [
        "core/spatial/test_great_circles.py::test_all_points_of_all_arcs_are_in_the_box",
        "core/spatial/test_great_circles.py::test_what_is_inside_a_polygon_is_in_the_box",
        f"{VALUES}::test_great_circles_are_bounded_whatever_they_are_part_of",
        f"{VALUES}::test_short_edges_on_an_ellipsoid_stay_within_the_padded_box",
        f"{VALUES}::test_other_edges_on_an_ellipsoid_are_unknown",
        f"{BOXES}::test_a_covering_does_not_bound_spherical_edges",
    ],
    "GeoArrow encodings": [
        f"{BOXES}::test_coordinates_of_geoarrow_points_give_boxes",
        f"{BOXES}::test_coordinates_of_geoarrow_lines_give_boxes",
    ],
    "float32 boxes, rounded to nearest": [
        f"{BOXES}::test_a_float32_covering_is_widened_outward",
        f"{ENTRIES}::test_a_double_bound_that_may_come_from_a_float32_file_is_widened",
    ],
    "boxes that are null where geometries are not": [
        f"{BOXES}::test_a_covering_with_nulls_where_geometries_are_is_not_used",
    ],
    "a bbox in the metadata that lies": [
        f"{BOXES}::test_the_declared_box_is_reported_and_not_used",
        f"{BOXES}::test_reading_the_geometries_beats_a_declared_box_that_lies",
    ],
    "several geometry columns": [f"{BOXES}::test_the_declared_primary_column_comes_first"],
    "columns that swapped names": [
        f"{FOOTERS}::test_columns_that_swapped_their_names_keep_their_boxes"
    ],
    "nested geometries": [f"{BOXES}::test_a_nested_geometry_is_no_geometry_of_the_row"],
    "no metadata at all": [
        f"{BOXES}::test_undeclared_wkb_is_a_candidate_until_it_was_read",
        f"{BOXES}::test_bytes_that_are_no_wkb_stop_being_a_candidate",
    ],
    "corrupt and hostile footers": [
        f"{WORKERS}::test_no_footer_can_end_this_process",
        f"{FOOTERS}::test_what_cannot_be_read_is_left_out",
    ],
    "spatial predicates below OR and NOT": [
        f"{WINDOWS}::test_a_row_that_matches_lies_in_a_window",
    ],
    "bounds of WKB bytes in manifests": [
        f"{ENTRIES}::test_the_first_bytes_of_wkb_are_no_bounds_of_a_place",
    ],
    "bounds of a geometry that are inverted": [
        f"{ENTRIES}::test_inverted_bounds_of_anything_else_are_unknown",
    ],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_is_sprung_by_a_test_that_is_there(trap):
    for promise in TRAPS[trap]:
        file, _, name = promise.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def read(columns, **options):
    data = parquet(columns, **options)
    return compute_boxes(Ranges(data), len(data), inspect(Ranges(data), len(data)))


def geometry(values, *, type_=None, name="geometry", **options):
    return read({name: pa.array(values, type_ or pa.binary())}, **options).geometry[name]


@pytest.mark.parametrize("edges", ["planar", "spherical"])
def test_a_file_that_crosses_the_antimeridian_has_two_boxes(edges):
    """Parquet's statistics may have xmin above xmax, though pyarrow never writes it."""
    column = DeclaredGeometry("g", "WKB", CRS84, CrsSource.PARQUET, edges, (), None, None)
    east, west = _native_box(170.0, 0.0, -170.0, 1.0, column=column).boxes
    assert (east.xmax, west.xmin) == (180, -180)
    assert (east.xmin, west.xmax) == (pytest.approx(170), pytest.approx(-170))
    metres = replace(column, crs=Crs("EPSG:3857"))
    assert _native_box(170.0, 0.0, -170.0, 1.0, column=metres) == UNKNOWN
    declared = geometry([point(1, 2)], metadata=geo(bbox=[170, 0, -170, 1])).declared_box
    assert declared == outer(BoundingBox(170, 0, 180, 1), BoundingBox(-180, 0, -170, 1))


def test_heights_are_recorded_and_not_searched():
    high = struct.pack("<BIddd", 1, 1001, 1.0, 2.0, 8848.0)
    low = struct.pack("<BIddd", 1, 1001, 3.0, 4.0, -400.0)
    data = parquet({"geometry": native([high, low])}, rows_per_group=1)
    found = inspect(Ranges(data), len(data)).geometry["geometry"]
    assert (found.z, found.m, found.types) == ((-400.0, 8848.0), None, ("Point Z",))
    assert found.file_box == exact(BoundingBox(1, 2, 3, 4))


def test_the_srid_of_all_geometries_is_the_reference_system():
    found = geometry([ewkb_point(1, 2, 3857), None, ewkb_point(3, 4, 3857)])
    assert (str(found.crs), found.crs_source, found.encoding) == (
        "EPSG:3857",
        CrsSource.EWKB,
        "EWKB",
    )
    assert (found.counts, found.types) == (Counts(1, 0), ("Point",))


@pytest.mark.parametrize("other", [ewkb_point(3, 4, 3857), point(3, 4)])
def test_geometries_of_several_srids_have_no_reference_system(other):
    found = geometry([ewkb_point(1, 2, 4326), other], rows_per_group=1)
    assert (found.crs.is_known, found.crs_source) == (False, CrsSource.DISPUTED)
    assert "different reference systems" in found.notes[-1]
    assert found.file_box == exact(BoundingBox(1, 2, 3, 4))


def test_an_srid_that_contradicts_the_file_leaves_no_reference_system():
    found = geometry([ewkb_point(1, 2, 3857)], metadata=geo())
    assert (found.crs.is_known, found.crs_source) == (False, CrsSource.DISPUTED)
    assert geometry([ewkb_point(1, 2, 4326)], metadata=geo()).crs_source is CrsSource.GEOPARQUET


@pytest.mark.parametrize(
    ("values", "encoding", "crs", "source"),
    [
        (["POINT (1 2)", None, "LINESTRING (1 2, 3 4)"], "WKT", None, CrsSource.NONE),
        (["SRID=3857;POINT (1 2)", "SRID=3857;POINT(3 4)"], "WKT", "EPSG:3857", CrsSource.EWKB),
        ([point(1, 2).hex(), line((1, 2), (3, 4)).hex()], "hex WKB", None, CrsSource.NONE),
        (
            [json.dumps({"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]})],
            "GeoJSON",
            "OGC:CRS84",
            CrsSource.FORMAT,
        ),
    ],
)
def test_geometries_in_a_text_column_are_found_by_reading(values, encoding, crs, source):
    whole = read({"geometry": pa.array(values)})
    found = whole.geometry["geometry"]
    assert (found.encoding, found.crs.identifier, found.crs_source) == (encoding, crs, source)
    assert (found.file_box, found.source) == (exact(BoundingBox(1, 2, 3, 4)), BoxSource.COMPUTED)
    assert (whole.primary_geometry, found.is_geometry) == ("geometry", False)


def test_a_row_group_with_an_unreadable_text_is_unknown_and_the_others_are_not():
    values = ["POINT (1 2)"] * 300 + ["POINT (1"]
    found = geometry(values, type_=pa.string(), rows_per_group=150)
    here = exact(BoundingBox(1, 2, 1, 2))
    assert found.row_group_boxes == (here, here, UNKNOWN)
    assert "1 or more values" in found.notes[-1]


def test_a_text_column_that_only_sounds_like_geometries_is_none():
    assert read({"shape": pa.array(["circle", "square"])}).geometry == {}
    assert read({"shape": pa.array([None, None], pa.string())}).geometry == {}


def test_a_text_column_named_like_a_geometry_does_not_hide_positions():
    columns = {"shape": pa.array(["disk"]), "lon": pa.array([1.0]), "lat": pa.array([2.0])}
    found = read(columns)
    assert found.place.file_box == outer(BoundingBox(1, 2, 1, 2))


def test_x_is_the_longitude_whatever_the_authority_says():
    """EPSG:4326 puts the latitude first, and WKB never does."""
    found = geometry(
        [point(170, 10)], metadata=geo(crs={"id": {"authority": "EPSG", "code": 4326}})
    )
    assert (found.file_box, found.crs.is_lonlat) == (exact(BoundingBox(170, 10, 170, 10)), True)


def test_a_column_of_empty_geometries_was_read_and_is_empty():
    found = geometry([EMPTY_LINE, None], metadata=geo())
    assert (found.file_box, found.counts) == (EMPTY, Counts(1, 1))
