import math
import struct

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.spatial import wkb
from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, exact
from graticule.spatial.wkb import SCALAR_WALK_VALUES_MAX, box_of_wkb


def column(values):
    """Arrow buffers of values; None is null."""
    lengths = [len(value or b"") for value in values]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    data = np.frombuffer(b"".join(value or b"" for value in values), np.uint8)
    return offsets, data, np.array([value is not None for value in values], np.bool_)


def box_of(values):
    offsets, data, valid = column(values)
    return box_of_wkb(offsets, data, valid=valid)


def written(geometry, *, order=1, flavor="iso", srid=0):
    if srid:
        geometry, flavor = shapely.set_srid(geometry, srid), "extended"
    return shapely.to_wkb(
        geometry, byte_order=order, flavor=flavor, include_srid=bool(srid), output_dimension=4
    )


ordinates = st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.sampled_from([0.0, -180.0, 90.0]))


@st.composite
def geometries(draw, depth=2):
    width = draw(st.sampled_from([2, 3]))

    def positions(least, most, of=ordinates):
        rows = draw(st.lists(st.tuples(*[of] * width), min_size=least, max_size=most))
        return np.array(rows, float).reshape(-1, width)

    def ring():
        corners = positions(3, 5, of=st.floats(-1e6, 1e6))
        return shapely.linearrings(np.vstack([corners, corners[:1]]))

    kind = draw(st.sampled_from(["point", "line", "polygon", "multi", "collection", "empty"]))
    match kind:
        case "point":
            return shapely.points(positions(1, 1))[0]
        case "line":
            with np.errstate(invalid="ignore"):  # shapely compares NaN
                return shapely.linestrings(positions(2, 6), handle_nan="allow")
        case "polygon":
            holes = [ring() for _ in range(draw(st.integers(0, 2)))]
            return shapely.polygons(ring(), holes=holes or None)
        case "multi":
            return shapely.multipoints(shapely.points(positions(1, 4)))
        case "collection" if depth:
            return shapely.GeometryCollection(draw(st.lists(geometries(depth - 1), max_size=3)))
    empty = (shapely.Point, shapely.LineString, shapely.Polygon, shapely.MultiPolygon)
    return draw(st.sampled_from(empty))()


@st.composite
def values(draw):
    geometry = draw(geometries())
    return geometry, written(
        geometry,
        order=draw(st.sampled_from([0, 1])),
        flavor=draw(st.sampled_from(["iso", "extended"])),
        srid=draw(st.sampled_from([0, 4326])),
    )


def expected_box(shapes):
    coordinates = shapely.get_coordinates([shape for shape in shapes if shape is not None])
    xs, ys = (axis[~np.isnan(axis)] for axis in coordinates.T)
    if not len(xs) or not len(ys):
        return EMPTY
    return exact(BoundingBox(xs.min(), ys.min(), xs.max(), ys.max()))


@settings(max_examples=300)
@given(st.lists(st.none() | values(), max_size=8), st.booleans())
def test_the_box_holds_exactly_the_coordinates_that_shapely_finds(drawn, in_step):
    shapes = [None if pair is None else pair[0] for pair in drawn]
    encoded = [None if pair is None else pair[1] for pair in drawn]
    # Enough copies make the walker go in step instead of one by one.
    copies = SCALAR_WALK_VALUES_MAX + 1 if in_step else 1
    assert box_of(encoded * copies) == expected_box(shapes)


@given(st.lists(values(), min_size=1, max_size=3), st.data())
def test_a_value_that_is_cut_or_continued_makes_the_box_unknown(drawn, data):
    encoded = [value for _, value in drawn]
    victim = data.draw(st.integers(0, len(encoded) - 1))
    cut = data.draw(st.integers(1, len(encoded[victim])))
    for broken in (encoded[victim][:-cut], encoded[victim] + b"\x00" * cut):
        harmed = [*encoded[:victim], broken, *encoded[victim + 1 :]]
        assert box_of(harmed) == UNKNOWN
        assert box_of([*harmed, *encoded * (SCALAR_WALK_VALUES_MAX + 1)]) == UNKNOWN


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.booleans())
def test_any_bytes_have_an_answer(encoded, in_step):
    assert box_of(encoded * (SCALAR_WALK_VALUES_MAX if in_step else 1)) is not None


POINT = struct.pack("<BIdd", 1, 1, 3.0, 4.0)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"POINT (1 2)",
        POINT.hex().encode(),
        b"\x02" + POINT[1:],
        struct.pack("<BIdd", 1, 4001, 3.0, 4.0),
        struct.pack("<BIdd", 1, 0x10000001, 3.0, 4.0),
        struct.pack("<BII", 1, 8, 0),  # CIRCULARSTRING
        struct.pack("<BII", 1, 17, 0),  # TRIANGLE
        struct.pack("<BIdd", 1, 1, math.inf, 4.0),
        struct.pack("<BIdd", 1, 1, 3.0, -math.inf),
        struct.pack("<BII", 1, 2, 2**32 - 1),
        struct.pack("<BII", 1, 7, 2**32 - 1),
    ],
)
@pytest.mark.parametrize("others", [0, 1, 100])
def test_what_is_no_finite_planar_geometry_makes_the_box_unknown(value, others):
    assert box_of([value] + [POINT] * others) == UNKNOWN


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("srid", [0, 4326])
def test_points_of_one_layout_are_read_without_walking(order, srid, monkeypatch):
    monkeypatch.setattr(wkb, "_add_geometries", None)
    points = [shapely.Point(x, -x) for x in range(50)]
    encoded = [written(point, order=order, srid=srid) for point in points]
    assert box_of([None, *encoded, None]) == exact(BoundingBox(0, -49, 49, 0))


def test_points_of_both_byte_orders_are_read_without_walking(monkeypatch):
    monkeypatch.setattr(wkb, "_add_geometries", None)
    encoded = [written(shapely.Point(x, x), order=x % 2) for x in range(50)]
    assert box_of(encoded) == exact(BoundingBox(0, 0, 49, 49))


def test_nan_is_skipped_in_each_dimension_on_its_own():
    half = struct.pack("<BIdd", 1, 1, 1.0, math.nan)
    whole = struct.pack("<BIdd", 1, 1, 5.0, 6.0)
    assert box_of([half, whole]) == exact(BoundingBox(1, 6, 5, 6))
    assert box_of([half]) == EMPTY


def test_nothing_nulls_and_empty_geometries_are_empty():
    assert box_of([]) == EMPTY
    assert box_of([None, None]) == EMPTY
    assert box_of([written(shapely.Point()), None, written(shapely.MultiPolygon())]) == EMPTY


def test_bytes_below_a_null_do_not_count():
    offsets, data, _ = column([POINT, written(shapely.Point(100, 100))])
    valid = np.array([True, False])
    assert box_of_wkb(offsets, data, valid=valid) == exact(BoundingBox(3, 4, 3, 4))


def test_a_slice_of_a_column_starts_where_its_offsets_say():
    offsets, data, _ = column([written(shapely.Point(x, x)) for x in range(9)])
    assert box_of_wkb(offsets[3:6], data) == exact(BoundingBox(3, 3, 4, 4))


@pytest.mark.parametrize("offsets", [[0, 500], [-1, 21], [21, 0], [0, 21, 10, 21]])
def test_offsets_outside_of_the_data_are_unknown(offsets):
    assert box_of_wkb(np.array(offsets), np.frombuffer(POINT, np.uint8)) == UNKNOWN


def test_columns_longer_than_a_chunk_are_read_to_the_end(monkeypatch):
    monkeypatch.setattr(wkb, "CHUNK_BYTES_MAX", 100)
    monkeypatch.setattr(wkb, "CHUNK_VALUES_MAX", 3)
    line = written(shapely.LineString([(x, -x) for x in range(40)]))
    encoded = [written(shapely.Point(x, x)) for x in range(60)] + [line, None, POINT]
    assert box_of(encoded) == exact(BoundingBox(0, -39, 59, 59))
