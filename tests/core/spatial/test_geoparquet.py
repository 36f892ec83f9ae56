import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.spatial.bounding_box import BoundingBox, outer
from graticule.spatial.crs import CRS84, UNKNOWN_CRS
from graticule.spatial.geoparquet import (
    GEO_JSON_BYTES_MAX,
    Broken,
    Covering,
    GeoColumn,
    GeoMetadata,
    parse_geo,
)

OVERTURE = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Point"],
            "bbox": [-10.5, -20.0, 30.0, 40.0],
            "covering": {
                "bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
            },
        }
    },
}


def with_column(**changes):
    return json.dumps({**OVERTURE, "columns": {"geometry": {"encoding": "WKB", **changes}}})


def test_a_complete_entry_is_read_whole():
    assert parse_geo(json.dumps(OVERTURE).encode()) == GeoMetadata(
        version="1.1.0",
        primary_column="geometry",
        columns=(
            GeoColumn(
                name="geometry",
                encoding="WKB",
                geometry_types=("Point",),
                crs=CRS84,
                edges="planar",
                bbox=outer(BoundingBox(-10.5, -20.0, 30.0, 40.0)),
                covering=Covering(
                    ("bbox", "xmin"), ("bbox", "ymin"), ("bbox", "xmax"), ("bbox", "ymax")
                ),
            ),
        ),
    )


def test_no_entry_is_none():
    assert parse_geo(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        '{"columns": {"geometry": {}}, "primary_column": "geometry"}',
        '{"columns": {"geometry": {"encoding": "WKB"}}, "primary_column": "geom"}',
        '{"columns": {"geometry": 3}, "primary_column": "geometry"}',
        '{"columns": [], "primary_column": "geometry"}',
        with_column(geometry_types=[1]),
        with_column(edges=7),
        "[" * 100_000,
        " " * (GEO_JSON_BYTES_MAX + 1),
    ],
)
def test_a_broken_entry_says_so(text):
    assert isinstance(parse_geo(text), Broken)


def test_a_crossing_bbox_is_two_boxes_only_in_longitudes():
    crossing = [170, -20, -170, 0]
    assert parse_geo(with_column(bbox=crossing)).columns[0].bbox == outer(
        BoundingBox(170, -20, 180, 0), BoundingBox(-180, -20, -170, 0)
    )
    assert parse_geo(with_column(bbox=crossing, crs=None)).columns[0].bbox is None


@pytest.mark.parametrize(
    "bbox", [[1, 2, 3], [1, "2", 3, 4], [0, 5, 1, 4], None, "1,2,3,4", [True] * 4]
)
def test_a_bbox_that_is_none_is_left_out(bbox):
    assert parse_geo(with_column(bbox=bbox)).columns[0].bbox is None


def test_a_bbox_with_heights_is_read_in_the_plane():
    column = parse_geo(with_column(bbox=[1, 2, -5, 3, 4, 900])).columns[0]
    assert column.bbox == outer(BoundingBox(1, 2, 3, 4))


def test_other_encodings_edges_and_systems_are_kept():
    column = parse_geo(
        with_column(encoding="multipolygon", edges="spherical", crs=None, geometry_type="Polygon")
    ).columns[0]
    assert (column.is_wkb, column.is_planar, column.crs) == (False, False, UNKNOWN_CRS)
    assert column.geometry_types == ("Polygon",)


names = st.sampled_from(
    ["columns", "primary_column", "geometry", "encoding", "bbox", "crs", "covering"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["columns", "primary_column", "g", "encoding", "bbox", "crs", "covering"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_entry_raises(document):
    assert isinstance(parse_geo(json.dumps(document)), Broken | GeoMetadata)
