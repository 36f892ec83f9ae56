import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, outer
from graticule.spatial.covering import ColumnRange, box_of_covering, box_of_positions


def column(values, *, rows=None, is_float32=False):
    """Statistics as Parquet writers make them: NaN and null are left out."""
    rows = len(values) if rows is None else rows
    known = [v for v in values if v is not None and not math.isnan(v)]
    nulls = sum(v is None for v in values)
    return ColumnRange(min(known, default=None), max(known, default=None), nulls, is_float32)


def covering_of(rows, *, round_to=float, is_lonlat=True, **kwargs):
    sides = [[None if r is None else float(round_to(r[at])) for r in rows] for at in range(4)]
    ranges = [column(side, is_float32=round_to is np.float32) for side in sides]
    return box_of_covering(
        *ranges, rows=len(rows), is_lonlat=is_lonlat, **{"geometry_null_count": None, **kwargs}
    )


longitudes, latitudes = st.floats(-180, 180), st.floats(-90, 90)


@st.composite
def row_boxes(draw, *, crossing):
    west, east = draw(longitudes), draw(longitudes)
    if not crossing or abs(west - east) < 180:
        west, east = sorted((west, east))
    else:
        west, east = max(west, east), min(west, east)
    south, north = sorted((draw(latitudes), draw(latitudes)))
    return (west, south, east, north)


def places(row):
    west, south, east, north = row
    xs = (west, east, (west + east) / 2) if west <= east else (west, 180.0, -180.0, east)
    return [(x, y) for x in xs for y in (south, north)]


@given(
    st.lists(row_boxes(crossing=True), min_size=1, max_size=8), st.sampled_from([float, np.float32])
)
def test_a_covering_holds_every_place_of_every_row_even_across_the_antimeridian(rows, round_to):
    box = covering_of(rows, round_to=round_to)
    for x, y in [place for row in rows for place in places(row)]:
        assert box == UNKNOWN or box.may_intersect(BoundingBox(x, y, x, y))


def test_a_row_of_just_half_a_turn_across_the_antimeridian_does_not_hide_among_others():
    box = covering_of([(180, 0, 0, 0), (1, 0, 180, 0)])
    assert box.may_intersect(BoundingBox(-90, 0, -90, 0))


@given(st.lists(row_boxes(crossing=False), min_size=1, max_size=8))
def test_a_projected_covering_is_the_outer_box_of_its_rows(rows):
    west, south, east, north = zip(*rows, strict=True)
    expected = outer(BoundingBox(min(west), min(south), max(east), max(north)))
    assert covering_of(rows, is_lonlat=False) == expected


def test_a_contradiction_outside_of_longitudes_is_unknown():
    assert covering_of([(5, 0, 3, 1)], is_lonlat=False) == UNKNOWN
    assert covering_of([(1, 0, 2, 1), (8, 0, 0.5, 1)], is_lonlat=False) == UNKNOWN


def test_a_row_without_a_box_makes_it_unknown_unless_its_geometry_is_null_as_well():
    rows = [(1, 2, 3, 4), None]
    assert covering_of(rows) == UNKNOWN
    assert covering_of(rows, geometry_null_count=0) == UNKNOWN
    assert covering_of(rows, geometry_null_count=1) == outer(BoundingBox(1, 2, 3, 4))
    assert covering_of([None, None], geometry_null_count=2) == EMPTY
    assert covering_of([None, None]) == UNKNOWN


def test_sides_without_statistics_are_unknown():
    known, unknown = ColumnRange(0, 1, 0), ColumnRange(None, None, 0)
    uncounted = ColumnRange(0, 1, None)
    for sides in (
        [unknown] + [known] * 3,
        [known] * 3 + [uncounted],
        [ColumnRange(0, math.inf, 0)] * 4,
    ):
        assert box_of_covering(*sides, rows=5, geometry_null_count=None, is_lonlat=True) == UNKNOWN


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_float32_positions_hold_the_doubles_that_they_were_rounded_from(x, y):
    box = box_of_positions(
        column([float(np.float32(x))], is_float32=True),
        column([float(np.float32(y))], is_float32=True),
        rows=1,
        is_lonlat=False,
    )
    assert box.boxes[0].contains_point(x, y)


def test_positions_are_the_box_of_their_statistics():
    x, y = column([2.0, None, 7.0]), column([1.0, None, 5.0])
    assert box_of_positions(x, y, rows=3, is_lonlat=True) == outer(BoundingBox(2, 1, 7, 5))


def test_positions_that_are_no_degrees_are_unknown():
    metres, degrees = column([500_000.0]), column([45.0])
    assert box_of_positions(metres, degrees, rows=1, is_lonlat=True) == UNKNOWN
    assert box_of_positions(degrees, metres, rows=1, is_lonlat=True) == UNKNOWN
    assert box_of_positions(metres, degrees, rows=1, is_lonlat=False) == outer(
        BoundingBox(500_000, 45, 500_000, 45)
    )


def test_a_column_of_nulls_has_no_position():
    nulls = ColumnRange(None, None, 4)
    assert box_of_positions(nulls, column([1.0] * 4), rows=4, is_lonlat=True) == EMPTY
    unknown = ColumnRange(None, None, None)
    assert box_of_positions(unknown, column([1.0] * 4), rows=4, is_lonlat=True) == UNKNOWN
