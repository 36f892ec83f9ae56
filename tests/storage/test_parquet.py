import datetime as dt
import pickle
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from graticule.discovery.inspection import ColumnMetrics
from graticule.domain.errors import StorageUnavailable, UnreadableFile
from graticule.storage.parquet import TAIL_BYTES, inspect
from graticule.storage.parquet_computed import compute_boxes
from support.parquet_files import Ranges, geo, native, parquet, point


def inspected(data):
    return inspect(Ranges(data), len(data))


SMALL = parquet({"id": pa.array([1, 2, 3])})
FOOTER_BYTES = int.from_bytes(SMALL[-8:-4], "little")


def test_a_footer_takes_one_read_of_the_tail():
    data = parquet({"id": pa.array(np.random.default_rng(0).integers(0, 2**60, 20_000))})
    read = Ranges(data)
    assert len(data) > TAIL_BYTES
    assert inspect(read, len(data)).rows == 20_000
    assert read.requests == [(len(data) - TAIL_BYTES, TAIL_BYTES)]


def test_a_large_footer_takes_one_more_read():
    columns = {f"a_column_with_a_long_name_{at}": pa.array([at]) for at in range(600)}
    data = parquet(columns)
    footer_bytes = int.from_bytes(data[-8:-4], "little")
    read = Ranges(data)
    assert footer_bytes > TAIL_BYTES
    assert len(inspect(read, len(data)).fields) == 600
    assert read.requests[1:] == [(len(data) - footer_bytes - 8, footer_bytes + 8)]


def test_an_inspection_can_be_sent_to_another_process():
    found = inspected(
        parquet({"id": pa.array([1]), "geometry": native([point(1, 2)])}, metadata=geo())
    )
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes are too few"),
        (b"PAR1", "too few"),
        (b"PAR1PAR1PAR1", "its footer claims"),
        (b"PAR1" + b"\0" * 20 + b"PARE", "encrypted"),
        (b"<?xml version='1.0'?><Error/>", "does not end like a Parquet file"),
        (SMALL[:-20], "does not end like a Parquet file"),
        (SMALL[:-100] + b"\xff" * 92 + SMALL[-8:], "its footer is corrupt"),
        (SMALL[:-8] + b"\xff\xff\xff\x7fPAR1", "its footer claims"),
        (
            b"PAR1" + SMALL[-int.from_bytes(SMALL[-8:-4], "little") - 8 :],
            "beyond the end of the data",
        ),
    ],
    ids=["zero", "magic", "hollow", "encrypted", "xml", "cut", "noise", "length", "beheaded"],
)
def test_what_is_no_parquet_file_is_unreadable_and_says_why(data, reason):
    with pytest.raises(UnreadableFile, match=reason):
        inspected(data)


def test_a_store_that_fails_is_not_blamed_on_the_file():
    def read(offset, length):
        raise StorageUnavailable("slow down")

    with pytest.raises(StorageUnavailable):
        inspect(read, 1000)


def test_a_store_that_fails_while_geometries_are_read_is_not_blamed_on_the_file():
    data = parquet({"geometry": pa.array([point(1, 2)])}, metadata=geo())
    whole = Ranges(data)

    def read(offset, length):
        if offset < len(data) // 2:
            raise StorageUnavailable("slow down")
        return whole(offset, length)

    found = inspect(whole, len(data))
    with pytest.raises(StorageUnavailable):
        compute_boxes(lambda o, n: read(0, 0) if o == 4 else whole(o, n), len(data), found)


def test_a_column_name_that_occurs_twice_makes_a_file_unreadable():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(UnreadableFile, match="same name"):
        inspected(parquet(table))


def test_split_offsets_are_where_row_groups_begin():
    data = parquet({"id": pa.array(range(10))}, rows_per_group=4)
    found = inspected(data)
    assert (found.row_group_count, found.split_offsets[0]) == (3, 4)
    assert list(found.split_offsets) == sorted(set(found.split_offsets))


def test_row_groups_tell_their_bytes_and_rows():
    data = parquet(
        {"id": pa.array(range(10)), "odd": pa.array([1] * 10, pa.uint64())}, rows_per_group=4
    )
    found = inspected(data).row_groups
    assert [span.rows for span in found] == [4, 4, 2]
    # Without page indexes and bloom filters, row groups lie side by side.
    assert [span.offset + span.size_bytes for span in found[:-1]] == [s.offset for s in found[1:]]


def test_field_ids_of_the_writer_are_told():
    given = pa.field("b", pa.int64(), metadata={"PARQUET:field_id": "7"})
    table = pa.table([pa.array([1]), pa.array([2])], schema=pa.schema([("a", pa.int64()), given]))
    assert inspected(parquet(table)).field_ids == {"b": 7}


# Types.


def test_types_become_those_of_iceberg():
    table = pa.table(
        {
            "boolean": pa.array([True]),
            "small": pa.array([1], pa.uint16()),
            "long": pa.array([1], pa.uint32()),
            "float": pa.array([1], pa.float32()),
            "day": pa.array([dt.date(2020, 1, 1)]),
            "clock": pa.array([1], pa.time32("s")),
            "local": pa.array([1], pa.timestamp("ns")),
            "instant": pa.array([1], pa.timestamp("ms", "Europe/Zurich")),
            "text": pa.array(["a"], pa.large_string()),
            "category": pa.array(["a"]).dictionary_encode(),
            "money": pa.array([Decimal("1.23")]),
            "hash": pa.array([b"ab"], pa.binary(2)),
            "uuid": pa.array([uuid.UUID(int=1).bytes], pa.uuid()),
            "bytes": pa.array([b"ab"]),
            "nothing": pa.nulls(1),
            "tags": pa.array([["a"]]),
            "names": pa.array([[("de", "Rom")]], pa.map_(pa.string(), pa.string())),
            "place": pa.array([{"city": "Rome", "at": {"x": 1.0}}]),
        }
    )
    assert {field["name"]: field["type"] for field in inspected(parquet(table)).fields} == {
        "boolean": "boolean",
        "small": "int",
        "long": "long",
        "float": "float",
        "day": "date",
        "clock": "time",
        "local": "timestamp",
        "instant": "timestamptz",
        "text": "string",
        "category": "string",
        "money": "decimal(3, 2)",
        "hash": "fixed[2]",
        "uuid": "uuid",
        "bytes": "binary",
        "nothing": "unknown",
        "tags": {"type": "list", "element": "string", "element-required": False},
        "names": {"type": "map", "key": "string", "value": "string", "value-required": False},
        "place": {
            "type": "struct",
            "fields": [
                {"name": "city", "required": False, "type": "string"},
                {
                    "name": "at",
                    "required": False,
                    "type": {
                        "type": "struct",
                        "fields": [{"name": "x", "required": False, "type": "double"}],
                    },
                },
            ],
        },
    }


def test_columns_without_an_iceberg_type_are_left_out_and_named():
    found = inspected(
        parquet(
            {
                "id": pa.array([1]),
                "huge": pa.array([1], pa.uint64()),
                "half": pa.array([1.0], pa.float16()),
                "within": pa.array([{"x": 1, "y": 2}], pa.struct([("x", "u8"), ("y", "i8")])),
            }
        )
    )
    assert [field["name"] for field in found.fields] == ["id"]
    assert found.unsupported_columns == ("huge", "half", "within")


# Metrics.


def metric(values, **options):
    return inspected(parquet({"c": values}, **options)).metrics["c"]


def bounds(values, **options):
    found = metric(values, **options)
    return found.lower, found.upper


def test_metrics_cover_all_row_groups():
    found = metric(pa.array([3, None, 1, 2, None, None]), rows_per_group=2)
    assert found == ColumnMetrics("long", found.size_bytes, 6, 3, 1, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([True, False]), (False, True)),
        (pa.array([1, 2**32 - 1], pa.uint32()), (1, 2**32 - 1)),
        (pa.array([0, -1], pa.date32()), (-1, 0)),
        (pa.array([1, 2], pa.time32("ms")), (1_000, 2_000)),
        (pa.array([1, 2], pa.timestamp("ms")), (1_000, 2_000)),
        (pa.array([1_001, 2_001], pa.timestamp("ns")), (1, 3)),
        (pa.array([-1_001], pa.timestamp("ns")), (-2, -1)),
        (pa.array([Decimal("-4.56"), Decimal("1.23")]), (Decimal("-4.56"), Decimal("1.23"))),
        (pa.array([Decimal("1" * 36 + ".78")]), (Decimal("1" * 36 + ".78"),) * 2),
        (pa.array([uuid.UUID(int=7).bytes], pa.uuid()), (uuid.UUID(int=7),) * 2),
        (pa.array([1.5, float("nan")]), (1.5, 1.5)),
        (pa.array([float("nan")]), (None, None)),
        (pa.array([None], pa.int64()), (None, None)),
        (pa.array([b"a", b"b"]), (None, None)),
        (pa.array([["a"], ["b"]]), None),
    ],
    ids=str,
)
def test_bounds_are_in_units_of_iceberg(values, expected):
    if expected is None:
        found = inspected(parquet({"c": values})).metrics["c.element"]
        assert found == ColumnMetrics("string", found.size_bytes, None, None)
    else:
        assert bounds(values) == expected


def test_zeros_of_a_float_are_widened_to_both_signs():
    assert [str(bound) for bound in bounds(pa.array([0.0]))] == ["-0.0", "0.0"]


@pytest.mark.parametrize(
    ("text", "upper"),
    [
        ("sixteen letters!", "sixteen letters!"),
        ("sixteen letters!?", 'sixteen letters"'),
        ("é" * 17, "é" * 15 + "ê"),
        ("a" * 15 + "\ud7ff" + "b", "a" * 15 + "\ue000"),
        ("a" * 15 + "\U0010ffff" + "b", "a" * 14 + "b"),
        ("\U0010ffff" * 17, None),
    ],
)
def test_the_upper_bound_of_texts_is_cut_and_stays_above(text, upper):
    assert bounds(pa.array([text])) == (text[:16], upper)


def test_bounds_of_struct_members_are_known():
    found = inspected(parquet({"s": pa.array([{"x": 1.0}, {"x": 2.0}, None])})).metrics
    assert {name: (m.lower, m.upper, m.null_count) for name, m in found.items()} == {
        "s.x": (1.0, 2.0, 1)
    }


def test_without_statistics_nothing_is_claimed():
    found = metric(pa.array([1, 2]), write_statistics=False)
    assert found == ColumnMetrics("long", found.size_bytes, 2, None)


@pytest.mark.parametrize("column", [native([point(1, 2)]), pa.array([point(1, 2)])])
def test_geometries_never_have_bounds(column):
    found = inspected(parquet({"geometry": column})).metrics["geometry"]
    assert (found.type, found.lower, found.upper) == ("binary", None, None)
