"""What is kept of an inspection is all of it, in the same bytes each time."""

import datetime as dt
import math
import uuid
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from graticule.discovery.inspection_codec import (
    CODEC_VERSION,
    fields_from_bytes,
    from_bytes,
    to_bytes,
)
from graticule.spatial.bounding_box import BoundingBox, outer
from graticule.storage.parquet import inspect
from support.parquet_files import Ranges, boxes, covering, geo, native, parquet, point

EVERY_TYPE = {
    "flag": pa.array([True, False]),
    "small": pa.array([1, -2], pa.int8()),
    "large": pa.array([2**62, None]),
    "real": pa.array([-0.0, math.inf]),
    "single": pa.array([0.1, 0.2], pa.float32()),
    "price": pa.array([Decimal("12345678901234567890123456789012345.678"), None]),
    "day": pa.array([dt.date(2026, 1, 31)] * 2),
    "moment": pa.array([dt.datetime(2026, 1, 31, tzinfo=dt.UTC)] * 2),
    "text": pa.array(["\N{GREEK SMALL LETTER OMEGA}\x00", "\U0010ffff" * 20]),
    "key": pa.array([uuid.UUID(int=n).bytes for n in (1, 2)], pa.uuid()),
    "code": pa.array([b"ab", b"cd"], pa.binary(2)),
    "nothing": pa.nulls(2),
    "tags": pa.array([["a"], []]),
    "prices": pa.array([[("eur", 1.5)], None], pa.map_(pa.string(), pa.float64())),
    "seconds": pa.array([1, 2], pa.duration("s")),
}

FILES = {
    "every type": parquet(EVERY_TYPE),
    "a geometry": parquet({"id": pa.array([1, 2]), "geometry": native([point(1, 2), None])}),
    "a covering": parquet(
        {"geometry": pa.array([point(1, 2)] * 3), "bbox": boxes([(1, 2, 1, 2)] * 3)},
        metadata=geo(covering=covering(), bbox=[1, 2, 3, 4]),
        rows_per_group=1,
    ),
    "positions": parquet({"lon": pa.array([7.4]), "lat": pa.array([46.9])}),
    "no rows": parquet({"id": pa.array([], pa.int64())}),
    "broken metadata": parquet({"geometry": pa.array([point(1, 2)])}, metadata="{"),
}


@pytest.mark.parametrize("name", FILES)
def test_an_inspection_comes_back_whole_and_as_the_same_bytes(name):
    found = inspect(Ranges(FILES[name]), len(FILES[name]))
    kept = to_bytes(found)
    back = from_bytes(kept)
    assert back == found
    assert repr(back) == repr(found)
    assert to_bytes(back) == kept


def test_boxes_on_both_sides_of_the_antimeridian_come_back():
    data = FILES["a geometry"]
    found = inspect(Ranges(data), len(data))
    wrapped = outer(BoundingBox(170, 1, 180, 2), BoundingBox(-180, 1, -170, 2))
    column = replace(found.geometry["geometry"], file_box=wrapped, row_group_boxes=(wrapped,))
    found = replace(found, geometry={"geometry": column})
    assert from_bytes(to_bytes(found)) == found


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: bytes([CODEC_VERSION + 1]) + data[1:],
        lambda data: data[:-5],
        lambda data: data[:1] + b"nonsense",
    ],
)
def test_bytes_of_another_version_or_damaged_ones_are_refused(damage):
    with pytest.raises(ValueError, match="inspection"):
        from_bytes(damage(to_bytes(inspect(Ranges(FILES["positions"]), len(FILES["positions"])))))


def test_an_inspection_is_small():
    columns = {f"column_{n}": pa.array([n]) for n in range(10)}
    data = parquet(columns)
    assert len(to_bytes(inspect(Ranges(data), len(data)))) < 600


def test_files_of_one_table_share_their_fields():
    kept = [
        to_bytes(inspect(Ranges(data), len(data)))
        for data in (parquet({"n": pa.array([1])}), parquet({"n": pa.array([2, 3])}))
    ]
    one, other = map(from_bytes, kept)
    assert (one.rows, other.rows) == (1, 2)
    assert one.fields is other.fields is fields_from_bytes(kept[0])
