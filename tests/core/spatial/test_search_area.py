"""Areas in any reference system: what lies in one is never outside of what it is taken to."""

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graticule.domain.errors import InvalidRequest
from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.crs import CRS84, UNKNOWN_CRS, Crs
from graticule.spatial.reprojection import coordinates_between, unit_m, windows_between
from graticule.spatial.row_matches import RowFilter
from graticule.spatial.search_area import SearchArea, parse_crs

SYSTEMS = [
    "EPSG:3857",
    "EPSG:32631",
    "EPSG:3035",
    "EPSG:3995",
    "EPSG:2154",
    "EPSG:4269",
    "EPSG:5070",
]


def boxes(west=-180.0, south=-89.0, east=180.0, north=89.0, *, size=60.0):
    """Windows of every size, from points to much of the world."""
    shares = st.floats(0, 1)

    def box(x, y, width, height):
        x0, y0 = west + x * (east - west), south + y * (north - south)
        return BoundingBox(
            x0, y0, min(east, x0 + width**3 * size), min(north, y0 + height**3 * size)
        )

    return st.builds(box, shares, shares, shares, shares)


def inside(places, windows):
    """Which places lie in one of the windows."""
    x, y = places[:, 0], places[:, 1]
    found = np.zeros(len(x), bool)
    for window in windows:
        found |= (x >= window.xmin) & (x <= window.xmax) & (y >= window.ymin) & (y <= window.ymax)
    return found


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SYSTEMS), boxes(size=360.0), st.integers(0, 2**32 - 1))
def test_no_place_in_a_window_is_outside_of_where_the_window_is_taken(name, window, seed):
    target = Crs(name)
    moved = windows_between([window], CRS84, target)
    assume(moved is not None)
    draw = np.random.default_rng(seed)
    low, high = (window.xmin, window.ymin), (window.xmax, window.ymax)
    places = coordinates_between(draw.uniform(low, high, (500, 2)), CRS84, target)
    places = places[np.isfinite(places).all(axis=1)]
    assert inside(places, moved).all()


@settings(max_examples=150, deadline=None)
@given(boxes(-5e6, -5e6, 5e6, 5e6, size=5e6), st.integers(0, 2**32 - 1))
def test_a_window_over_the_pole_holds_the_pole(window, seed):
    polar = Crs("EPSG:3995")
    moved = windows_between([window], polar, CRS84)
    assume(moved is not None)
    draw = np.random.default_rng(seed)
    low, high = (window.xmin, window.ymin), (window.xmax, window.ymax)
    places = coordinates_between(draw.uniform(low, high, (500, 2)), polar, CRS84)
    assert inside(places, moved).all()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["EPSG:3857", "EPSG:4326", "OGC:CRS84"]), boxes(size=90), st.data())
def test_a_row_in_the_area_lies_in_a_box_that_the_area_may_touch(name, window, data):
    """Pruning and the exact filter agree: what the second keeps the first never loses."""
    rows_in, crs = CRS84, Crs(name)
    corners = [(window.xmin, window.ymin), (window.xmax, window.ymin), (window.xmin, window.ymax)]
    is_shape = data.draw(st.booleans()) and window.xmax > window.xmin and window.ymax > window.ymin
    area = SearchArea.of_bbox([*corners[0], window.xmax, window.ymax], CRS84)
    if is_shape:
        area = SearchArea.of_shape(shapely.Polygon(corners), CRS84)
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    low, high = (window.xmin - 1, window.ymin - 1), (window.xmax + 1, window.ymax + 1)
    places = np.clip(draw.uniform(low, high, (200, 2)), (-400, -89.9), (400, 89.9))
    rows = coordinates_between(places, rows_in, crs) if name == "EPSG:3857" else places
    rows = rows[np.isfinite(rows).all(axis=1)]
    found = RowFilter(area, crs).of_positions(rows[:, 0].copy(), rows[:, 1].copy())
    placed = area.placed_on(crs)
    if placed.search_windows is None:
        return
    as_boxes = np.hstack([rows, rows])
    kept = inside(rows, placed.search_windows) & placed.met_by(as_boxes)
    assert not (found & ~kept).any()


def test_a_zone_is_not_asked_for_the_other_side_of_the_world():
    for window in (BoundingBox(-180, -90, 180, 90), BoundingBox(100, -10, 250, 10)):
        assert windows_between([window], CRS84, Crs("EPSG:32631")) is None


def test_the_unit_of_a_system_is_known_where_it_has_one():
    assert unit_m(Crs("EPSG:3857")) == 1
    assert unit_m(Crs("EPSG:2263")) == pytest.approx(0.3048006)
    assert unit_m(CRS84) == pytest.approx(111_320)
    assert unit_m(UNKNOWN_CRS) is None
    assert unit_m(Crs("EPSG:99999")) is None


@pytest.mark.parametrize("text", ["", None, "OGC:CRS84", "EPSG:4326", "srid:4326"])
def test_longitude_and_latitude_have_many_names(text):
    crs = parse_crs(text)
    assert crs is not None
    assert crs.is_lonlat


def test_native_is_no_system_and_what_nobody_knows_is_refused():
    assert parse_crs("Native") is None
    for text in ("EPSG:99999", "elsewhere", "EPSG:"):
        with pytest.raises(InvalidRequest):
            parse_crs(text)
