"""Geometries are bounded like shapely bounds them, and what is none makes the box unknown."""

import math
import struct

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.discovery.inspection import Counts
from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, BoxStatus, exact
from graticule.storage import geometry_values
from graticule.storage.geometry_values import Form, GeometryValues, form_of
from support.profiles import effort
from support.spheres import arc

EFFORT = effort(default=50, ci=1000)


def values_of(values, *, form=Form.WKB, edges="planar", type_=None):
    """What is read of a column in two arrays; None is null."""
    type_ = type_ or (pa.binary() if form is Form.WKB else pa.string())
    found = GeometryValues(form, edges)
    for part in (values[: len(values) // 2], values[len(values) // 2 :]):
        found.add(pa.array(part, type_))
    return found


def box_of(values, **options):
    return values_of(values, **options).file_box()


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


@st.composite
def alike(draw):
    """Lines, or polygons of one ring, of as many vertices each."""
    vertices, width = draw(st.integers(3, 40)), draw(st.sampled_from([2, 3]))
    numbers = st.floats(-1e6, 1e6) | st.sampled_from([math.inf, -math.inf, math.nan, -0.0])
    is_line = draw(st.booleans())
    of = draw(st.sampled_from([numbers, st.floats(-1e6, 1e6)])) if is_line else st.floats(-9, 9)
    count = draw(st.integers(1, 20))
    seed = draw(st.lists(of, min_size=5, max_size=60))
    rows = np.resize(np.array(seed), (count, vertices, width))
    with np.errstate(invalid="ignore"):  # shapely compares NaN
        if is_line:
            return list(shapely.linestrings(rows, handle_nan="allow"))
        rows[:, -1] = rows[:, 0]
        return list(shapely.polygons(rows))


@settings(EFFORT)
@given(alike(), st.sampled_from([0, 4326]), st.sampled_from(["all", "first cut", "null"]))
def test_what_is_laid_out_alike_is_bounded_as_one_by_one(shapes, srid, how):
    with np.errstate(invalid="ignore"):
        wkb = [written(shape, srid=srid) for shape in shapes]
    found = values_of([None, *wkb] if how == "null" else wkb)
    coordinates = shapely.get_coordinates(shapes)
    box = UNKNOWN if np.isinf(coordinates).any() else expected_box(shapes)
    assert (found.file_box() == box) or (box is UNKNOWN and found.file_box() == EMPTY)
    assert (found.srids, found.bad, found.types) == ({srid}, 0, type_names(shapes))
    if how == "first cut":
        assert box_of([wkb[0][:-8], *wkb[1:]]) == UNKNOWN


def type_names(shapes):
    suffix = {2: "", 3: " Z"}
    return {
        "LineString" + suffix[d] if name == "LinearRing" else name + suffix[d]
        for name, d in (
            (shape.geom_type, shapely.get_coordinate_dimension(shape))
            for shape in shapes
            if shape is not None
        )
    }


@settings(EFFORT)
@given(
    st.lists(st.none() | values(), max_size=8), st.sampled_from([pa.binary(), pa.large_binary()])
)
def test_the_box_holds_exactly_the_coordinates_that_shapely_finds(drawn, type_):
    shapes = [None if pair is None else pair[0] for pair in drawn]
    found = values_of([None if pair is None else pair[1] for pair in drawn], type_=type_)
    assert found.file_box() == expected_box(shapes)
    assert found.types == type_names(shapes)
    assert found.counts.nulls == shapes.count(None)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(1, 2),
        shapely.LineString([(1, 2), (3, 4)]),
        shapely.Polygon([(0, 0), (5, 0), (5, 5)]),
        shapely.MultiPoint([(1, 2), (3, 4)]),
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)]),
        shapely.GeometryCollection([shapely.LineString([(1, 2), (3, 4)]), shapely.Point(9, 9)]),
    ],
    ids=lambda shape: shape.geom_type,
)
def test_a_value_that_is_cut_anywhere_makes_the_box_unknown(shape, order):
    whole = written(shape, order=order)
    for cut in range(1, len(whole) + 1):
        found = values_of([whole, whole[:-cut], whole])
        assert (found.file_box(), found.bad) == (UNKNOWN, 1), cut


@settings(EFFORT)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_any_bytes_have_an_answer(encoded):
    assert box_of(encoded) is not None
    assert form_of(pa.array(encoded)) in {None, Form.WKB}


@settings(EFFORT)
@given(st.lists(values(), max_size=4))
def test_geometries_in_text_have_the_box_of_their_bytes(drawn):
    shapes = [shape for shape, _ in drawn]
    # Not everything that has bytes has words: collections of two and three dimensions do not.
    words = [shapely.to_wkt(shape, rounding_precision=-1) for shape in shapes]
    with np.errstate(invalid="ignore"):
        back = shapely.from_wkt(np.array(words, object), on_invalid="ignore")
    shapes = [shape for shape, read in zip(shapes, back, strict=True) if read is not None]
    worded = [word for word, read in zip(words, back, strict=True) if read is not None]
    expected = expected_box(shapes)
    hexed = [written(shape).hex() for shape in shapes]
    assert box_of([*hexed, None], form=Form.HEX_WKB) == expected
    assert box_of([*worded, None], form=Form.WKT) == expected


POINT = struct.pack("<BIdd", 1, 1, 3.0, 4.0)
HERE = exact(BoundingBox(3, 4, 3, 4))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"POINT (1 2)",
        POINT.hex().encode(),
        b"\x02" + POINT[1:],
        struct.pack("<BIdd", 1, 4001, 3.0, 4.0),
        struct.pack("<BII", 1, 8, 0),  # CIRCULARSTRING
        struct.pack("<BII", 1, 17, 0),  # TRIANGLE
        struct.pack("<BIdd", 1, 1, math.inf, 4.0),
        struct.pack("<BIdd", 1, 1, 3.0, -math.inf),
        struct.pack("<BII", 1, 2, 2**32 - 1),
        struct.pack("<BII", 1, 7, 2**32 - 1),
        struct.pack("<BII", 1, 7, 1) * 1_000_000 + POINT,  # a million collections deep
    ],
)
@pytest.mark.parametrize("others", [0, 1, 100])
def test_what_is_no_finite_planar_geometry_makes_the_box_unknown(value, others):
    assert box_of([value] + [POINT] * others) == UNKNOWN


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("srid", [0, 4326])
def test_points_of_one_layout_are_read_without_walking(order, srid, monkeypatch):
    monkeypatch.setattr(geometry_values, "_bounds", None)
    encoded = [written(shapely.Point(x, -x), order=order, srid=srid) for x in range(50)]
    found = values_of([None, *encoded, None])
    assert found.file_box() == exact(BoundingBox(0, -49, 49, 0))
    assert (found.srids, found.is_extended, found.types) == ({srid}, bool(srid), {"Point"})


def test_points_of_both_byte_orders_are_read_without_walking(monkeypatch):
    monkeypatch.setattr(geometry_values, "_bounds", None)
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


@pytest.mark.parametrize(
    ("shapes", "counts"),
    [
        ([None, shapely.Point(), shapely.Point(1, 2)], Counts(1, 1)),
        (
            [shapely.Polygon(), shapely.LineString(), shapely.LineString([(0, 0), (1, 1)])],
            Counts(0, 2),
        ),
        ([shapely.GeometryCollection([shapely.Point()])], Counts(0, 1)),
        ([shapely.MultiLineString([[(0, 0), (1, 1)]]), shapely.MultiPolygon()], Counts(0, 1)),
    ],
)
def test_nulls_and_empty_geometries_are_counted_where_bytes_show_them(shapes, counts):
    assert (
        values_of([None if shape is None else written(shape) for shape in shapes]).counts == counts
    )


def test_bytes_below_a_null_do_not_count():
    storage = pa.array([POINT, written(shapely.Point(100, 100))])
    mask = pa.py_buffer(b"\x01")
    found = GeometryValues()
    found.add(pa.Array.from_buffers(pa.binary(), 2, [mask, *storage.buffers()[1:]]))
    assert found.file_box() == HERE


def test_a_slice_of_a_column_is_read_and_nothing_beside_it():
    array = pa.array([written(shapely.Point(x, x)) for x in range(9)])
    line = pa.array([written(shapely.LineString([(x, 0), (x, 1)])) for x in range(9)])
    for column, top in ((array, 4), (line, 1)):
        found = GeometryValues()
        found.add(column.slice(3, 2))
        assert (found.extent.xmin, found.extent.xmax, found.extent.ymax) == (3, 4, top)


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["POINT (1 2)", None, "LINESTRING EMPTY"], Form.WKT),
        (["SRID=4326;POINT(1 2)"], Form.WKT),
        ([POINT.hex(), POINT.hex().upper()], Form.HEX_WKB),
        (['{"type": "Point", "coordinates": [1, 2]}'], Form.GEOJSON),
        (["circle", "square"], None),
        (["0xdeadbeef"], None),
        (["{}"], None),
        (["POINT (1 2)"] * 98 + ["?"] * 2, None),
        (["POINT (1 2)"] * 99 + ["?"], Form.WKT),
        ([None], None),
        ([], None),
        (["GEOMETRYCOLLECTION(" * 100_000], None),
    ],
)
def test_text_is_told_by_what_most_of_a_sample_is(values, form):
    assert form_of(pa.array(values, pa.string())) is form


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (Form.WKT, "POINT (3 4)", "POINT (3)"),
        (Form.WKT, "POINT (3 4)", "CIRCULARSTRING (0 0, 1 1, 2 0)"),
        (Form.WKT, "POINT (3 4)", ""),
        (Form.HEX_WKB, POINT.hex(), "zz"),
        (Form.HEX_WKB, POINT.hex(), POINT.hex()[:-2]),
        (Form.GEOJSON, '{"type": "Point", "coordinates": [3, 4]}', '{"type": "Point"}'),
    ],
)
def test_one_text_that_is_no_geometry_makes_the_box_unknown(form, good, bad):
    assert box_of([good] * 200, form=form) == HERE
    assert box_of([good] * 200 + [bad], form=form) == UNKNOWN


def circle(x, y, radius, points=360):
    angles = np.linspace(0, 2 * np.pi, points)
    return shapely.Polygon(
        np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
    )


@settings(EFFORT)
@given(
    st.floats(-100, 100),
    st.floats(-88, 88),
    st.floats(-1, 1),
    st.floats(-2, 2),
)
def test_short_edges_on_an_ellipsoid_stay_within_the_padded_box(x, y, dx, dy):
    end = (x + dx * 0.999, min(max(y + dy, -88.9), 88.9))
    found = box_of([written(shapely.LineString([(x, y), end]))], edges="vincenty")
    (box,) = found.boxes
    latitudes = arc((x, y), end)[:, 1]
    assert found.status is BoxStatus.OUTER
    assert box.ymin <= latitudes.min()
    assert latitudes.max() <= box.ymax
    assert (box.xmin, box.xmax) == (min(x, end[0]), max(x, end[0]))


@pytest.mark.parametrize(
    "shape",
    [
        shapely.LineString([(-120, 50), (-60, 50)]),
        shapely.Polygon([(0, 80), (90, 80), (180, 80), (-90, 80)]),
        shapely.LineString([(179.5, 0), (-179.9, 1)]),
        shapely.LineString([(0, 89.5), (0.5, 89.5)]),
        shapely.LineString(np.column_stack([np.arange(-90, 91), np.zeros(181)])),
        shapely.GeometryCollection([shapely.Point(1, 2), shapely.LineString([(0, 50), (20, 50)])]),
    ],
    ids=["long", "pole", "antimeridian", "near-pole", "wide", "nested"],
)
def test_other_edges_on_an_ellipsoid_are_unknown(shape):
    assert box_of([written(shape)], edges="vincenty") == UNKNOWN


def test_polygons_far_apart_with_short_edges_are_bounded_together():
    shapes = shapely.MultiPolygon([circle(-100, 40, 3), circle(100, -40, 3)])
    for edges in ("spherical", "vincenty"):
        found = box_of([written(shapes)], edges=edges)
        assert found.status is BoxStatus.OUTER
        assert found.boxes[0].contains(BoundingBox(*shapes.bounds))


def test_great_circles_are_bounded_whatever_they_are_part_of():
    """Points before and after them count, and only rings of polygons have an inside."""
    cap = [(0, 80), (90, 80), (180, 80), (-90, 80), (0, 80)]
    values = [POINT, written(shapely.LineString([(-120, 50), (-60, 50)]))]
    for shape in (shapely.Polygon(cap), shapely.GeometryCollection([shapely.Polygon(cap)])):
        (box,) = box_of([*values, written(shape)], edges="spherical").boxes
        assert (box.ymin, box.ymax) == (pytest.approx(4), 90)
    (box,) = box_of([*values, written(shapely.LineString(cap))], edges="spherical").boxes
    assert (box.ymin, box.ymax) == pytest.approx((4, 82.89292389))  # where its arcs are highest
    east, west = box_of(
        [written(shapely.LineString([(170, 0), (-170, 0)]))] * 2, edges="spherical"
    ).boxes
    assert (east.xmin, west.xmax) == (pytest.approx(170), pytest.approx(-170))
    assert (
        box_of([*values, written(shapely.LineString([(0, 0), (180, 0)]))], edges="spherical")
        == UNKNOWN
    )


def test_spherical_points_need_no_padding():
    assert box_of([POINT], edges="spherical") == HERE
    points = written(shapely.MultiPoint([(3, 4), (170, 4)]))
    assert box_of([points], edges="spherical") == exact(BoundingBox(3, 4, 170, 4))
