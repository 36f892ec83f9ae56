import math
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.values import decode_value
from graticule.planning.entry_boxes import boxes_from_manifests
from graticule.planning.file_columns import FileColumns
from graticule.planning.files import DataFileEntry
from graticule.planning.table_places import crs_of, place_of
from graticule.spatial.bounding_box import (
    NO_PLACE,
    UNKNOWN,
    BoundingBox,
    BoxStatus,
    from_partition_values,
    outer,
)
from graticule.spatial.box_columns import FILE_BOX_COLUMNS
from graticule.spatial.covering import ColumnRange, box_of_covering, box_of_positions

VIRTUAL = {1: "file_xmin", 2: "file_ymin", 3: "file_xmax", 4: "file_ymax"}
COVERING = {11: "geometry_xmin", 12: "geometry_ymin", 13: "geometry_xmax", 14: "geometry_ymax"}
POSITION = {21: "lon", 22: "lat"}
GEOMETRY_ID = 10
GEO = (
    '{"primary_column": "geometry", "columns": {"geometry": {"crs": "%s", "bbox_columns": '
    '["geometry_xmin", "geometry_ymin", "geometry_xmax", "geometry_ymax"]}}}'
)
SPEC = {
    "spec-id": 0,
    "fields": [
        {"source-id": at, "field-id": 1000 + at, "name": name, "transform": "identity"}
        for at, name in VIRTUAL.items()
    ],
}


def document_of(kind, *, geometry, crs="OGC:CRS84", virtual=True):
    columns = {**(VIRTUAL if virtual else {}), **(COVERING if geometry else POSITION)}
    fields = [{"id": at, "name": name, "type": kind} for at, name in columns.items()]
    if virtual:
        fields[:4] = [field | {"type": "double"} for field in fields[:4]]
    if geometry:
        fields.append({"id": GEOMETRY_ID, "name": "geometry", "type": geometry})
    return {
        "current-schema-id": 0,
        "schemas": [{"schema-id": 0, "type": "struct", "fields": fields}],
        "properties": {"geo": GEO % crs} if geometry else {},
    }


def one_by_one(entry, place, document, spec):
    """The same, of one file: how it was told before it was told of all at once."""
    found = any_numbers(entry, place, document, spec)
    extent = found.extent
    is_degrees = crs_of(document, document["schemas"][0], place).is_lonlat
    if not is_degrees or extent is None:
        return found
    far = max(-extent.xmin, extent.xmax) > 360.001 or max(-extent.ymin, extent.ymax) > 90.001
    return UNKNOWN if far else found


def any_numbers(entry, place, document, spec):
    types = {field["id"]: field["type"] for field in document["schemas"][0]["fields"]}
    if spec is not None and FILE_BOX_COLUMNS in place.columns:
        virtual = from_partition_values(entry.partition)
        if virtual.status is not BoxStatus.UNKNOWN:
            return virtual
    if place.geometry is not None and types[GEOMETRY_ID] == "geometry":
        bounds = point_bounds(entry)
        if bounds.status is not BoxStatus.UNKNOWN:
            return bounds
    for columns in place.columns:
        if columns == FILE_BOX_COLUMNS:
            continue
        x0, y0, x1, y1 = (column_range(entry, place.field_ids[n], types) for n in columns.names)
        if columns.xmin == columns.xmax:
            return box_of_positions(x0, y0, rows=entry.record_count, is_lonlat=False)
        return box_of_covering(
            *(x0, y0, x1, y1),
            rows=entry.record_count,
            geometry_null_count=entry.null_value_counts.get(GEOMETRY_ID),
            is_lonlat=place.is_lonlat,
        )
    return UNKNOWN


def point_bounds(entry):
    points = [bounds.get(GEOMETRY_ID) for bounds in (entry.lower_bounds, entry.upper_bounds)]
    if any(point is None or len(point) not in (16, 24, 32) for point in points):
        return UNKNOWN
    (xmin, ymin), (xmax, ymax) = (struct.unpack_from("<2d", point) for point in points)
    if not (xmin <= xmax and ymin <= ymax):
        return UNKNOWN
    box = BoundingBox(xmin, ymin, xmax, ymax)
    return outer(box) if box.is_finite else UNKNOWN


def column_range(entry, field_id, types):
    def number(data):
        try:
            value = None if data is None else decode_value(types[field_id], data)
        except InvalidRequest:
            return None
        return float(value) if isinstance(value, int | float) else None

    def maybe_rounded(value, towards):
        if value is None or abs(value) > 3.5e38 or float(np.float32(value)) != value:
            return value
        with np.errstate(over="ignore"):
            return float(np.nextafter(np.float32(value), np.float32(towards)))

    return ColumnRange(
        maybe_rounded(number(entry.lower_bounds.get(field_id)), -math.inf),
        maybe_rounded(number(entry.upper_bounds.get(field_id)), math.inf),
        entry.null_value_counts.get(field_id),
    )


PLACES = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 5.0, -5.0, 180.0, -180.0, 181.0, 359.5, 0.1, math.nan, math.inf, -math.inf]
    ),
    st.sampled_from([sys.float_info.max, -sys.float_info.max, 3.4028234663852886e38]),
    st.floats(-200, 200),
)
COUNTS = st.sampled_from([None, 0, 0, 0, 1, 7])


def packed(kind, value):
    if kind in ("int", "long", "date", "timestamp"):
        value = int(value) if math.isfinite(value) and abs(value) < 2e9 else 7
        return struct.pack("<q" if kind in ("long", "timestamp") else "<i", value)
    try:
        return struct.pack("<f" if kind == "float" else "<d", value)
    except OverflowError:
        return struct.pack("<f", math.inf)


@st.composite
def bounds_of(draw, kind):
    found = {}
    for field_id in (*COVERING, *POSITION):
        how = draw(st.sampled_from(["as it is"] * 12 + ["absent", "damaged", "narrow"]))
        value = draw(PLACES)
        match how:
            case "as it is":
                found[field_id] = packed(kind, value)
            case "damaged":
                found[field_id] = b"\x01\x02\x03"
            case "narrow":
                found[field_id] = packed("int" if kind == "long" else "float", value)
    if draw(st.integers(0, 3)) == 0:
        length = draw(st.sampled_from([16, 24, 32, 8, 17]))
        point = struct.pack("<4d", *draw(st.tuples(PLACES, PLACES, PLACES, PLACES)))
        found[GEOMETRY_ID] = point[:length]
    return found


@st.composite
def files_of(draw, kind):
    virtual = st.one_of(
        st.just(NO_PLACE),
        st.tuples(*[st.one_of(st.none(), PLACES, st.integers(-9, 9))] * 4),
        st.just((None,) * 4),
        st.just((None,) * 4),
    )
    nulls = draw(COUNTS)
    counts = dict.fromkeys((*COVERING, *POSITION, GEOMETRY_ID), nulls)
    if draw(st.integers(0, 3)) == 0:
        counts[draw(st.sampled_from(list(counts)))] = draw(COUNTS)
    return DataFileEntry(
        path="s3://b/f",
        size_bytes=1,
        record_count=draw(st.sampled_from([7, 7, 1, 0, 100])),
        spec_id=0,
        partition=draw(virtual),
        lower_bounds=draw(bounds_of(kind)),
        upper_bounds=draw(bounds_of(kind)),
        null_value_counts={key: value for key, value in counts.items() if value is not None},
    )


@pytest.mark.parametrize("kind", ["double", "float", "long", "int", "date", "string", "boolean"])
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_all_files_at_once_lie_where_each_lies_by_itself(kind, data):
    document = document_of(
        kind,
        geometry=data.draw(st.sampled_from([None, "binary", "geometry"])),
        crs=data.draw(st.sampled_from(["OGC:CRS84", "EPSG:3857"])),
        virtual=data.draw(st.booleans()),
    )
    place = place_of(document, document["schemas"][0])
    spec = SPEC if data.draw(st.booleans()) else None
    entries = data.draw(st.lists(files_of(kind), max_size=12))
    boxes = boxes_from_manifests(
        FileColumns.from_entries(entries),
        tuple(zip(*(entry.partition for entry in entries), strict=True)),
        place,
        document,
        spec,
    )
    found = [boxes.row(at) for at in range(len(boxes))]
    assert found == [one_by_one(entry, place, document, spec) for entry in entries]


def test_the_first_bytes_of_wkb_are_no_bounds_of_a_place():
    """Writers cut the bounds of a binary column to 16 bytes: as long as those of a geometry."""
    wkb = struct.pack("<BIdd", 1, 1, 2.35, 48.86)[:16]
    entry = DataFileEntry(
        path="s3://lake/a.parquet",
        size_bytes=1,
        record_count=1,
        spec_id=0,
        lower_bounds={GEOMETRY_ID: wkb},
        upper_bounds={GEOMETRY_ID: wkb[:-1] + bytes([wkb[-1] + 1])},
    )
    document = document_of("double", geometry="binary", virtual=False)
    place = place_of(document, document["schemas"][0])
    boxes = boxes_from_manifests(FileColumns.from_entries([entry]), (), place, document, None)
    assert boxes.row(0) == UNKNOWN


def geometry_bounds(kind, west, east):
    document = document_of("double", geometry=kind, virtual=False)
    entry = DataFileEntry(
        "s3://b/f",
        *(1, 1, 0),
        lower_bounds={GEOMETRY_ID: struct.pack("<2d", west, 1.0)},
        upper_bounds={GEOMETRY_ID: struct.pack("<2d", east, 2.0)},
    )
    place = place_of(document, document["schemas"][0])
    return boxes_from_manifests(FileColumns.from_entries([entry]), (), place, document, None).row(0)


def test_bounds_of_a_geography_that_cross_the_antimeridian_are_two_boxes():
    found = geometry_bounds("geography", 170.0, -170.0)
    east, west = found.boxes
    assert (found.status, east.xmax, west.xmin) == (BoxStatus.OUTER, 180.0, -180.0)
    assert east.contains(BoundingBox(170, 1, 180, 2))
    assert west.contains(BoundingBox(-180, 1, -170, 2))


def test_bounds_of_a_geography_are_padded():
    (box,) = geometry_bounds("geography", -170.0, 170.0).boxes
    assert box.xmin < -170 < 170 < box.xmax
    assert box.ymin < 1 < 2 < box.ymax


@pytest.mark.parametrize(
    ("kind", "west", "east"),
    [("geometry", 170, -170), ("geography", 190, -170), ("geography", 170, -190)],
)
def test_inverted_bounds_of_anything_else_are_unknown(kind, west, east):
    assert geometry_bounds(kind, float(west), float(east)) == UNKNOWN


def test_a_double_bound_that_may_come_from_a_float32_file_is_widened():
    """Files may hold float32 where the table says double; producers round to nearest."""
    document = document_of("double", geometry="binary", virtual=False)
    place = place_of(document, document["schemas"][0])
    sides = {11: 7.1, 12: 46.9, 13: 7.3, 14: 47.0}
    single = {at: struct.pack("<d", np.float32(side)) for at, side in sides.items()}
    counts = dict.fromkeys((*sides, GEOMETRY_ID), 0)
    entry = DataFileEntry(
        "s3://b/f", *(1, 1, 0), lower_bounds=single, upper_bounds=single, null_value_counts=counts
    )
    boxes = boxes_from_manifests(FileColumns.from_entries([entry]), (), place, document, None)
    (box,) = boxes.row(0).boxes
    assert box.contains(BoundingBox(7.1, 46.9, 7.3, 47.0))
