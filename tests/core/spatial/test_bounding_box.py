import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graticule.domain.errors import InvalidRequest
from graticule.spatial.bounding_box import (
    EMPTY,
    EVERYWHERE,
    NO_PLACE,
    UNKNOWN,
    WHOLE_PLANE,
    BoundingBox,
    BoxStatus,
    FileBox,
    combine,
    exact,
    from_partition_values,
    outer,
    parse_bbox,
    to_partition_values,
    with_other_turns,
)

coordinates = st.floats(-200, 200, width=32)


@st.composite
def boxes(draw):
    x, y = (sorted((draw(coordinates), draw(coordinates))) for _ in range(2))
    return BoundingBox(x[0], y[0], x[1], y[1])


@st.composite
def file_boxes(draw):
    kind = draw(st.sampled_from(["exact", "outer", "wrapped", "empty", "unknown"]))
    box = draw(boxes())
    match kind:
        case "exact":
            return exact(box)
        case "outer":
            return outer(box)
        case "wrapped":
            west, east = draw(st.floats(-180, -1)), draw(st.floats(1, 180))
            return outer(
                BoundingBox(east, box.ymin, 180, box.ymax),
                BoundingBox(-180, box.ymin, west, box.ymax),
            )
        case "empty":
            return EMPTY
    return UNKNOWN


@given(boxes(), boxes(), coordinates, coordinates)
def test_two_boxes_that_share_a_point_intersect(a, b, x, y):
    assume(a.contains_point(x, y) and b.contains_point(x, y))
    assert a.intersects(b)
    assert b.intersects(a)
    assert a.intersection(b).contains_point(x, y)


@given(boxes(), boxes())
def test_boxes_intersect_exactly_when_they_have_an_intersection(a, b):
    assert a.intersects(b) == (a.intersection(b) is not None)
    assert a.union(b).contains(a)
    assert a.union(b).contains(b)
    assert EVERYWHERE.intersection(a) == a


@pytest.mark.parametrize(
    "sides", [(1, 0, 0, 1), (0, 1, 1, 0), (math.nan, 0, 1, 1), (0, 0, math.nan, 1)]
)
def test_what_is_inverted_or_nan_is_not_a_box(sides):
    with pytest.raises(ValueError, match="not a box"):
        BoundingBox(*sides)


def test_a_status_goes_with_its_boxes():
    with pytest.raises(ValueError, match="empty"):
        FileBox(BoxStatus.EMPTY, (EVERYWHERE,))
    with pytest.raises(ValueError, match="exact"):
        FileBox(BoxStatus.EXACT)


@given(st.lists(file_boxes(), max_size=6), boxes())
def test_a_whole_may_meet_every_window_that_a_part_may(parts, window):
    whole = combine(parts)
    if any(part.may_intersect(window) for part in parts):
        assert whole.may_intersect(window)
    assert len(whole.boxes) <= 2


@given(st.lists(file_boxes(), min_size=1, max_size=6))
def test_one_unknown_part_makes_the_whole_unknown(parts):
    assert (combine(parts) == UNKNOWN) == (UNKNOWN in parts)


def test_the_whole_of_nothing_is_empty():
    assert combine([]) == EMPTY
    assert combine([EMPTY, EMPTY]) == EMPTY


def test_parts_across_the_antimeridian_keep_two_sides():
    fiji = outer(BoundingBox(177, -19, 180, -16), BoundingBox(-180, -19, -178, -16))
    samoa = exact(BoundingBox(-173, -14, -171, -13))
    assert combine([samoa, fiji]) == outer(
        BoundingBox(177, -19, 180, -16), BoundingBox(-180, -19, -171, -13)
    )


def test_sides_that_meet_in_the_middle_become_one():
    wide = outer(BoundingBox(1, 0, 180, 1), BoundingBox(-180, 0, -1, 1))
    assert combine([wide, exact(BoundingBox(-3, 0, 5, 1))]) == outer(BoundingBox(-180, 0, 180, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.2,48.8,2.4,48.9", (BoundingBox(2.2, 48.8, 2.4, 48.9),)),
        (" 1, 2 ,1,2", (BoundingBox(1, 2, 1, 2),)),
        ("170,-20,-170,0", (BoundingBox(170, -20, 180, 0), BoundingBox(-180, -20, -170, 0))),
        ("500000,0,600000,9e6", (BoundingBox(500000, 0, 600000, 9e6),)),
    ],
)
def test_a_bbox_is_four_numbers_and_may_cross_the_antimeridian(text, expected):
    assert parse_bbox(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,1,1", "0,0,inf,1", "0,2,1,1", "600000,0,5,1"],
)
def test_anything_else_is_not_a_bbox(text):
    with pytest.raises(InvalidRequest):
        parse_bbox(text)


@given(boxes(), st.sampled_from([0.0, 360.0, -360.0]))
def test_a_window_finds_the_same_place_written_another_turn(box, turn):
    middle = ((box.xmin + box.xmax) / 2 + turn, (box.ymin + box.ymax) / 2)
    grown = BoundingBox(box.xmin - 1e-4, box.ymin, box.xmax + 1e-4, box.ymax)
    assert any(window.contains_point(*middle) for window in with_other_turns([grown]))


@given(file_boxes())
def test_partition_values_say_at_least_as_much_as_the_box(file_box):
    values = to_partition_values(file_box)
    assert all(math.isfinite(value) for value in values)
    again = from_partition_values(values)
    assert (again.status is BoxStatus.UNKNOWN) == (file_box.status is BoxStatus.UNKNOWN)
    assert (again.status is BoxStatus.EMPTY) == (file_box.status is BoxStatus.EMPTY)
    for box in file_box.boxes:
        assert again.boxes[0].contains(box)


@pytest.mark.parametrize(
    "values",
    [
        WHOLE_PLANE,
        (-math.inf, -math.inf, math.inf, math.inf),
        (0.0, 0.0, 1.0, WHOLE_PLANE[3]),
        (None, None, None, None),
        (0.0, 0.0, 1.0, None),
        (0.0, 0.0, 1.0),
        (0.0, 0.0, math.nan, 1.0),
        (2.0, 0.0, 1.0, 1.0),
        ("0", "0", "1", "1"),
        (),
    ],
)
def test_partition_values_that_are_no_box_are_unknown(values):
    assert from_partition_values(values) == UNKNOWN


def test_a_file_without_a_place_is_in_no_window_and_outside_of_each():
    xmin, ymin, xmax, ymax = NO_PLACE
    assert not (xmin <= 180 and xmax >= -180)
    assert not (ymin <= 90 and ymax >= -90)
    assert xmin > 180
    assert xmax < -180
