"""Boxes of great circles hold every point of them, and hardly anything else."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, BoxStatus
from graticule.spatial.great_circles import SphericalExtent
from support.profiles import effort
from support.spheres import arc, is_within

EFFORT = effort(default=100, ci=5000)
TINY = st.sampled_from([0.0, 1e-12, -1e-12, 1e-9, 1e-7, -1e-5, 1e-3])
longitudes = st.floats(-180, 180) | st.sampled_from([-180.0, -179.999, -90.0, 0.0, 90.0, 180.0])
latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, -89.9999999, 0.0, 60.0, 89.999, 90.0])


@st.composite
def ends(draw):
    """Two places: anywhere, close together, around a pole, or all but opposite each other."""
    x, y = draw(longitudes), draw(latitudes)
    how = draw(st.sampled_from(["anywhere", "close", "pole", "opposite"]))
    if how == "anywhere":
        return (x, y), (draw(longitudes), draw(latitudes))
    dx, dy = draw(TINY), draw(TINY)
    if how == "opposite":
        dx, dy = dx + 180, dy - 2 * y
    elif how == "pole":
        dx += 180
    x1 = (x + dx + 180) % 360 - 180
    return (x, y), (x1, float(np.clip(y + dy, -90, 90)))


def box_of(*lines, rings=False):
    found = SphericalExtent()
    xy = np.concatenate([np.asarray(line, float) for line in lines])
    line = np.repeat(np.arange(len(lines)), [len(one) for one in lines])
    found.add_lines(xy[:, 0], xy[:, 1], line, are_rings=np.full(len(lines), rings))
    return found.file_box()


def ring_along(*corners, points=40):
    return np.concatenate([arc(a, b, points) for a, b in pairwise(corners)])


@EFFORT
@given(st.lists(ends(), min_size=1, max_size=4))
def test_all_points_of_all_arcs_are_in_the_box(drawn):
    found = box_of(*drawn)
    if found == UNKNOWN:
        sums = [np.linalg.norm(np.sum([unit(*end) for end in pair], axis=0)) for pair in drawn]
        assert min(sums) < 2e-6
        return
    assert found.status is BoxStatus.OUTER
    for start, end in drawn:
        assert is_within(found, arc(start, end)).all()


def unit(x, y):
    x, y = np.radians([x, y])
    return np.array([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])


@EFFORT
@given(ends())
def test_the_latitudes_of_a_box_are_reached(pair):
    """As high as the arc rises, to what a hundred thousandth of a degree is of."""
    found = box_of(pair)
    assume(found != UNKNOWN)
    assume(max(abs(pair[0][1]), abs(pair[1][1])) < 89.9)
    along = arc(*pair, points=4001)[:, 1]
    assume(np.abs(along).max() < 89.9)
    (one, *_) = found.boxes
    assert along.min() - 1e-3 <= one.ymin
    assert one.ymax <= along.max() + 1e-3


@EFFORT
@given(
    st.lists(st.tuples(st.floats(0, 359.9), st.floats(0.01, 60)), min_size=3, max_size=9),
    longitudes,
    latitudes,
    st.randoms(use_true_random=False),
)
def test_what_is_inside_a_polygon_is_in_the_box(spokes, x, y, random):
    """A star around any centre, poles included: its corners are seen from the centre."""
    spokes = sorted(dict(spokes).items())
    gaps = np.diff([*[a for a, _ in spokes], spokes[0][0] + 360])
    assume(len(spokes) >= 3 and gaps.max() < 170)
    corners = [seen_from(x, y, bearing, away) for bearing, away in spokes]
    found = box_of([*corners, corners[0]], rings=True)
    assume(found != UNKNOWN)
    inside = [arc((x, y), corner, 30) for corner in corners]
    inside += [
        arc((x, y), point, 10)
        for ring in [ring_along(*corners, corners[0], points=9)]
        for point in ring
    ]
    assert is_within(found, np.concatenate(inside)).all()


def seen_from(x, y, bearing, away):
    x, y, bearing, away = np.radians([x, y, bearing, away])
    up = np.arcsin(np.sin(y) * np.cos(away) + np.cos(y) * np.sin(away) * np.cos(bearing))
    east = x + np.arctan2(
        np.sin(bearing) * np.sin(away) * np.cos(y), np.cos(away) - np.sin(y) * np.sin(up)
    )
    return (float((np.degrees(east) + 180) % 360 - 180), float(np.degrees(up)))


def test_an_arc_rises_as_the_formula_says():
    (box,) = box_of([(-120, 50), (-60, 50)]).boxes
    assert (box.xmin, box.ymin, box.xmax) == pytest.approx((-120, 50, -60))
    assert box.ymax == pytest.approx(53.99478518121352)  # as S2 has it


def test_an_arc_across_the_antimeridian_has_two_rectangles():
    east, west = box_of([(170, 10), (-170, 10)]).boxes
    assert (east.xmin, east.xmax, west.xmin, west.xmax) == pytest.approx((170, 180, -180, -170))
    assert (east.ymin, east.ymax) == (west.ymin, west.ymax)


def test_of_the_turn_the_widest_free_part_is_left_out():
    found = box_of([(170, 0), (-170, 0)], [(-160, 0), (-150, 0)], [(100, 0), (110, 0)])
    assert [(b.xmin, b.xmax) for b in found.boxes] == [
        pytest.approx((100, 180)),
        pytest.approx((-180, -150)),
    ]


@pytest.mark.parametrize(
    ("ring", "latitudes"),
    [
        ([(0, 80), (90, 80), (180, 80), (-90, 80), (0, 80)], (80, 90)),
        ([(0, -80), (-90, -80), (180, -80), (90, -80), (0, -80)], (-90, -80)),
        ([(0, 5), (120, -5), (-120, 5), (0, 5)], (-90, 90)),
    ],
)
def test_a_ring_around_a_pole_holds_it(ring, latitudes):
    (box,) = box_of(ring, rings=True).boxes
    assert (box.xmin, box.xmax) == (pytest.approx(-180), pytest.approx(180))
    assert (box.ymin, box.ymax) == pytest.approx(latitudes)
    line = box_of(ring)
    assert line.boxes[0].ymax < 90


@pytest.mark.parametrize(
    "line",
    [
        [(0, 0), (180, 0)],
        [(10, 20), (-170, -20)],
        [(0, 91), (1, 0)],
        [(181, 0), (182, 0)],
        [(np.inf, 0), (1, 0)],
    ],
    ids=str,
)
def test_where_no_way_is_the_shorter_one_and_off_the_sphere_nothing_is_certain(line):
    assert box_of(line) == UNKNOWN


def test_a_ring_that_may_be_more_than_half_of_the_sphere_is_unknown():
    wide = [(-100, 10), (0, 10), (100, 10), (100, 20), (0, 20), (-100, 20), (-100, 10)]
    assert box_of(wide, rings=True) == UNKNOWN
    assert box_of(wide) != UNKNOWN


def test_over_a_pole_all_longitudes_meet():
    (box,) = box_of([(10, 80), (-170, 85)]).boxes
    assert box == BoundingBox(box.xmin, box.ymin, box.xmax, 90)
    assert (box.xmin, box.xmax, box.ymin) == pytest.approx((-180, 180, 80))


def test_what_is_no_number_is_nowhere():
    assert box_of([(np.nan, 0), (1, np.nan)]) == EMPTY
    (box,) = box_of([(np.nan, 0), (5, 6), (5, 7)]).boxes
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == pytest.approx((5, 6, 5, 7))
