import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.iceberg.expressions import (
    FALSE,
    TRUE,
    And,
    Comparison,
    FieldId,
    Not,
    Or,
    SetMembership,
    StIntersects,
    Transform,
    Unary,
)
from graticule.planning.windows import WINDOWS_MAX, names_any, window_of
from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.box_columns import FILE_BOX_COLUMNS, BoxColumns

FLAT = BoxColumns("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")
POSITION = BoxColumns.of_position("lon", "lat")


def around(xmin, ymin, xmax, ymax, columns=FLAT):
    return And(
        And(Comparison("lt-eq", columns.xmin, xmax), Comparison("gt-eq", columns.xmax, xmin)),
        And(Comparison("lt", columns.ymin, ymax), Comparison("gt", columns.ymax, ymin)),
    )


def is_about(window, xmin, ymin, xmax, ymax):
    tight = BoundingBox(xmin, ymin, xmax, ymax)
    slack = 1e-6 * max(abs(side) for side in (xmin, ymin, xmax, ymax))
    loose = BoundingBox(xmin - slack, ymin - slack, xmax + slack, ymax + slack)
    return window.contains(tight) and loose.contains(window)


@pytest.mark.parametrize(
    "columns",
    [FLAT, FILE_BOX_COLUMNS, POSITION, BoxColumns("b.xmin", "b.ymin", "b.xmax", "b.ymax")],
)
def test_four_comparisons_are_a_window(columns):
    (window,) = window_of(around(2, 48, 3, 49, columns), [POSITION, columns])
    assert is_about(window, 2, 48, 3, 49)


def test_equality_and_membership_bound_both_ways():
    for predicate in (
        And(Comparison("eq", "lon", 2), Comparison("eq", "lat", 48)),
        And(SetMembership("in", "lon", (2,)), SetMembership("in", "lat", (48, 48.0))),
    ):
        (window,) = window_of(predicate, [POSITION])
        assert is_about(window, 2, 48, 2, 48)
    (window,) = window_of(Comparison("eq", "bbox_xmin", 2), [FLAT])
    assert (window.xmin, window.ymax) == (-math.inf, math.inf)
    assert 2 <= window.xmax <= 2.00001


def test_a_number_written_as_text_is_a_number():
    """PyIceberg sends what was written in a filter text as a decimal: "2.0"."""
    assert window_of(Comparison("lt", "lon", "2.0"), [POSITION]) == window_of(
        Comparison("lt", "lon", 2.0), [POSITION]
    )


@pytest.mark.parametrize(
    "expression",
    [
        TRUE,
        Comparison("gt-eq", "bbox_xmin", 2),
        Comparison("lt", "bbox_ymax", 2),
        Comparison("not-eq", "lon", 2),
        Comparison("lt", "lon", "2°"),
        Comparison("lt", "lon", value=True),
        Comparison("lt", "lon", 10**400),
        Comparison("lt", "other", 2),
        Comparison("lt", FieldId(3), 2),
        Comparison("lt", Transform("truncate[2]", "lon"), 2),
        SetMembership("not-in", "lon", (1,)),
        SetMembership("in", "lon", (1, "two")),
        Unary("not-null", "lon"),
        Not(around(2, 48, 3, 49)),
        Or(around(2, 48, 3, 49), Comparison("eq", "id", 3)),
        Or(around(2, 48, 3, 49), TRUE),
        StIntersects("other", (0, 0, 1, 1)),
    ],
)
def test_what_is_not_understood_adds_no_constraint(expression):
    assert window_of(expression, [FLAT, POSITION], geometry="geometry") is None
    window = around(2, 48, 3, 49)
    assert window_of(And(expression, window), [FLAT, POSITION]) == window_of(window, [FLAT])


def test_either_of_two_windows_is_both():
    windows = window_of(Or(around(0, 0, 1, 1), around(5, 5, 6, 6)), [FLAT])
    assert is_about(windows[0], 0, 0, 1, 1)
    assert is_about(windows[1], 5, 5, 6, 6)
    assert len(windows) == 2


def test_a_contradiction_is_no_window_at_all():
    assert window_of(FALSE, [FLAT]) == ()
    assert window_of(SetMembership("in", "lon", ()), [FLAT]) == ()
    assert window_of(And(FALSE, around(5, 5, 6, 6)), [FLAT]) == ()
    either = window_of(Or(FALSE, around(5, 5, 6, 6)), [FLAT])
    assert len(either) == 1


def test_windows_that_are_apart_leave_the_rows_that_reach_from_one_to_the_other():
    (window,) = window_of(And(around(0, 0, 1, 1), around(5, 5, 6, 6)), [FLAT])
    assert BoundingBox(1, 1, 5, 5).contains(window)
    assert window.contains(BoundingBox(1.001, 1.001, 4.999, 4.999))
    containing = And(Comparison("lt-eq", "bbox_xmin", 2), Comparison("gt-eq", "bbox_xmax", 3))
    (window,) = window_of(containing, [FLAT])
    assert (window.ymin, window.ymax) == (-math.inf, math.inf)
    assert window.intersects(BoundingBox(2, 0, 3, 0))
    assert not window.intersects(BoundingBox(3.1, 0, 9, 0))


def test_a_geometry_that_crosses_may_meet_two_windows_on_two_sides():
    east, west = (100, 0, 175, 1), (-175, 0, 120, 1)
    both = And(StIntersects("geometry", east), StIntersects("geometry", west))
    assert window_of(both, [], geometry="geometry") == (BoundingBox(*east),)
    mixed = And(around(*west), StIntersects("geometry", east))
    assert window_of(mixed, [FLAT], geometry="geometry") == (BoundingBox(*east),)


def test_an_intersection_may_cross_the_antimeridian():
    expression = StIntersects("geometry", (170, -20, -170, 0))
    assert window_of(expression, [], geometry="geometry") == (
        BoundingBox(170, -20, 180, 0),
        BoundingBox(-180, -20, -170, 0),
    )
    assert window_of(expression, []) is None


def test_names_may_differ_in_case_when_asked():
    columns = [BoxColumns("BBOX_xmin", "bbox_YMIN", "bbox_xmax", "bbox_ymax")]
    (window,) = window_of(around(1, 1, 2, 2), columns, case_sensitive=False)
    assert is_about(window, 1, 1, 2, 2)
    expression = StIntersects("GEOM", (0, 0, 9, 9))
    assert window_of(expression, [], geometry="geom", case_sensitive=False) is not None


def test_many_windows_are_joined_but_none_is_lost():
    expression = around(0, 0, 1, 1)
    for at in range(1, WINDOWS_MAX + 5):
        expression = Or(expression, around(at * 10, 0, at * 10 + 1, 1))
    windows = window_of(expression, [FLAT])
    assert len(windows) <= WINDOWS_MAX
    for at in range(WINDOWS_MAX + 5):
        assert any(window.contains_point(at * 10, 0.5) for window in windows)
    both = window_of(And(expression, expression), [FLAT])
    assert any(window.contains_point(10, 0.5) for window in both)


def test_names_are_found_wherever_they_stand():
    deep = Not(Or(Comparison("eq", "id", 3), Unary("is-null", "file_xmin")))
    assert names_any(deep, FILE_BOX_COLUMNS)
    assert not names_any(deep, FLAT)
    assert names_any(Comparison("lt", "FILE_XMIN", 1), FILE_BOX_COLUMNS, case_sensitive=False)


# The law: a row that a filter matches lies in a window of the filter.

numbers = st.sampled_from([-2, -1.1, -0.1, 0, 0.1, 1, 1.1, 2]) | st.floats(-3, 3)
columns_of_a_row = ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax", "lon", "lat", "id")
predicates = st.one_of(
    st.builds(
        Comparison,
        st.sampled_from(["lt", "lt-eq", "gt", "gt-eq", "eq", "not-eq"]),
        st.sampled_from(columns_of_a_row),
        numbers,
    ),
    st.builds(
        SetMembership,
        st.sampled_from(["in", "not-in"]),
        st.sampled_from(columns_of_a_row),
        st.lists(numbers, max_size=3).map(tuple),
    ),
    st.builds(
        lambda x0, x1, y: StIntersects("geometry", (x0, min(y), x1, max(y))),
        numbers,
        numbers,
        st.tuples(numbers, numbers),
    ),
    st.just(FALSE),
    st.just(TRUE),
)
filters = st.recursive(
    predicates,
    lambda inner: st.one_of(
        st.builds(And, inner, inner),
        st.builds(And, inner, inner),
        st.builds(Or, inner, inner),
        st.builds(Not, inner),
    ),
    max_leaves=10,
)


def matches(expression, row, geometry):
    match expression:
        case And(left, right):
            return matches(left, row, geometry) and matches(right, row, geometry)
        case Or(left, right):
            return matches(left, row, geometry) or matches(right, row, geometry)
        case Not(child):
            return not matches(child, row, geometry)
        case Comparison(op, name, value):
            own = row[name]
            return {
                "lt": own < value,
                "lt-eq": own <= value,
                "gt": own > value,
                "gt-eq": own >= value,
                "eq": own == value,
                "not-eq": own != value,
            }[op]
        case SetMembership(op, name, values):
            return (row[name] in values) == (op == "in")
        case StIntersects(_, (xmin, ymin, xmax, ymax)):
            if xmin <= xmax:
                return geometry.intersects(BoundingBox(xmin, ymin, xmax, ymax))
            return geometry.intersects(BoundingBox(xmin, ymin, 180, ymax)) or geometry.intersects(
                BoundingBox(-180, ymin, xmax, ymax)
            )
    return expression == TRUE


def outward32(value, towards):
    """As a producer may write a covering: rounded, then one step outward whether needed or not."""
    return float(np.nextafter(np.float32(value), np.float32(towards)))


@settings(max_examples=1000)
@given(filters, numbers, numbers, numbers, numbers)
def test_a_row_that_matches_lies_in_a_window(expression, x0, y0, x1, y1):
    geometry = BoundingBox(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    point = BoundingBox(x0, y0, x0, y0)
    row = {
        "bbox_xmin": outward32(geometry.xmin, -math.inf),
        "bbox_ymin": outward32(geometry.ymin, -math.inf),
        "bbox_xmax": outward32(geometry.xmax, math.inf),
        "bbox_ymax": outward32(geometry.ymax, math.inf),
        "lon": x0,
        "lat": y0,
        "id": 1,
    }
    windows = window_of(expression, [FLAT], geometry="geometry")
    if windows is not None and matches(expression, row, geometry):
        assert any(window.intersects(geometry) for window in windows)
    windows = window_of(expression, [POSITION], geometry="geometry")
    if windows is not None and matches(expression, row, point):
        assert any(window.intersects(point) for window in windows)
