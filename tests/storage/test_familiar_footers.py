"""Footers that are read without pyarrow say what pyarrow says."""

import datetime as dt
import io
import random
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from decimal import Decimal
from multiprocessing import get_context

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graticule.domain.errors import UnreadableFile
from graticule.storage.familiar_footers import LEARNT_AFTER_FILES, FamiliarFooters
from graticule.storage.parquet import inspect_footer
from support.parquet_files import boxes, covering, geo, native, parquet, point

FILES = LEARNT_AFTER_FILES + 4
MUTATIONS = 200


def footer_of(data):
    return data[-int.from_bytes(data[-8:-4], "little") - 8 :]


def by_pyarrow(footer, size):
    """Nobody learns anything from one file."""
    try:
        return inspect_footer(footer, size, FamiliarFooters())
    except UnreadableFile as error:
        return error.message


class Counting(FamiliarFooters):
    def __init__(self):
        super().__init__()
        self.read_alone = 0

    def read(self, footer):
        found = super().read(footer)
        self.read_alone += found is not None
        return found


def read_alone(files):
    """How many are read without pyarrow, after all of them were read right."""
    known = Counting()
    for data in files:
        footer = footer_of(data)
        assert inspect_footer(footer, len(data), known) == by_pyarrow(footer, len(data))
    return known.read_alone


def rows_of(chance, count):
    """Columns of every kind that tables have, with nulls and without."""

    def some(make, nulls=0.2):
        return [None if chance.random() < nulls else make() for _ in range(count)]

    day = dt.date(2020, 1, 1)
    return {
        "id": pa.array(range(count), pa.int64()),
        "small": pa.array(some(lambda: chance.randrange(-99, 99)), pa.int8()),
        "unsigned": pa.array(some(lambda: chance.randrange(2**32)), pa.uint32()),
        "flag": pa.array(some(lambda: chance.random() < 0.5), pa.bool_()),
        "ratio": pa.array(some(lambda: chance.uniform(-1e9, 1e9)), pa.float64()),
        "narrow": pa.array(some(lambda: chance.uniform(-9, 9)), pa.float32()),
        "odd": pa.array(some(lambda: chance.choice([0.0, -0.0, float("nan")])), pa.float64()),
        "name": pa.array(some(lambda: "é" * chance.randrange(40))),
        "long": pa.array(some(lambda: chance.choice("abc") * chance.randrange(400), 0)),
        "bytes": pa.array(some(lambda: chance.randbytes(chance.randrange(200))), pa.binary()),
        "day": pa.array(some(lambda: day + dt.timedelta(chance.randrange(9999))), pa.date32()),
        "at": pa.array(some(lambda: chance.randrange(2**50)), pa.timestamp("us", tz="UTC")),
        "time": pa.array(some(lambda: chance.randrange(86_400_000)), pa.time32("ms")),
        "price": pa.array(
            some(lambda: Decimal(chance.randrange(10**9)).scaleb(-2)), pa.decimal128(12, 2)
        ),
        "fixed": pa.array(some(lambda: chance.randbytes(5)), pa.binary(5)),
        "tags": pa.array(some(lambda: ["a"] * chance.randrange(3)), pa.list_(pa.string())),
        "inner": pa.array(some(lambda: {"a": chance.random(), "b": {"c": 7}})),
        "counts": pa.array(some(lambda: [("k", 1)]), pa.map_(pa.string(), pa.int64())),
        "nothing": pa.array([None] * count, pa.int64()),
    }


OPTIONS = {
    "as pyarrow writes": {},
    "without dictionaries": {"use_dictionary": False},
    "old types": {"version": "1.0"},
    "with page indexes": {"write_page_index": True},
    "without statistics": {"write_statistics": False},
    "new pages": {"data_page_version": "2.0", "compression": "zstd"},
    "sorted": {"sorting_columns": [pq.SortingColumn(0), pq.SortingColumn(3, descending=True)]},
    "integers for decimals": {"store_decimal_as_integer": True},
    "without Arrow's schema": {"store_schema": False},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_columns_of_every_kind(options):
    chance = random.Random(1)
    files = []
    for number in range(FILES):
        sink = io.BytesIO()
        table = pa.table(rows_of(chance, 40))
        pq.write_table(table, sink, row_group_size=10 + number, **options)
        files.append(sink.getvalue())
    assert read_alone(files) > 0


def test_files_of_one_table_are_read_without_pyarrow_from_the_ninth_on():
    files = [
        parquet({"id": pa.array([number, 2**40]), "name": pa.array(["a", "b" * number])})
        for number in range(FILES)
    ]
    assert read_alone(files) == FILES - LEARNT_AFTER_FILES


def test_a_way_of_writing_that_comes_later_is_learnt_as_well():
    plain = [parquet({"id": pa.array([n], pa.int64())}) for n in range(FILES)]
    null = [parquet({"id": pa.array([None], pa.int64())}) for n in range(FILES)]
    assert read_alone([*plain, *null, *plain]) == 3 * FILES - 2 * LEARNT_AFTER_FILES


@pytest.mark.parametrize("crs", [{}, {"crs": "OGC:CRS84"}, {"edges": "spherical"}])
def test_places_in_statistics_of_their_own(crs):
    files = [
        parquet({"id": pa.array([1, 2]), "geometry": native([point(n, 2), point(3, n)], **crs)})
        for n in range(FILES)
    ]
    assert read_alone(files) == FILES - LEARNT_AFTER_FILES


def test_places_in_box_columns_with_metadata_that_differ():
    files = [
        parquet(
            {
                "geometry": pa.array([point(n, 2)], pa.binary()),
                "bbox": boxes([(n, 2, n, 2)]),
            },
            metadata=geo(covering=covering(), bbox=[n, 2, n, 2]),
        )
        for n in range(FILES)
    ]
    assert read_alone(files) == FILES - LEARNT_AFTER_FILES


def test_what_duckdb_writes(tmp_path):
    files = []
    for number in range(FILES):
        path = tmp_path / f"{number}.parquet"
        duckdb.sql(
            f"COPY (SELECT range + {number} AS id, 'name ' || range AS name, "
            f"range / 7 AS ratio FROM range({300 + number})) "
            f"TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 128)"
        )
        files.append(path.read_bytes())
    assert read_alone(files) == FILES - LEARNT_AFTER_FILES


def test_what_older_writers_sorted_wrongly_is_left_to_pyarrow():
    files = []
    for number in range(FILES):
        data = parquet({"name": pa.array(["a", "b" * number])})
        by = b"parquet-cpp-arrow version " + pa.__version__.encode()
        assert by in data
        files.append(data.replace(by, b"parquet-mr version 1.8.0".ljust(len(by))))
    assert read_alone(files) == 0


def test_no_damage_is_read_otherwise_than_by_pyarrow():
    """Any byte may be any other."""
    chance = random.Random(7)
    files = [
        parquet(
            {
                "id": pa.array([n, 300 * n, None], pa.int64()),
                "name": pa.array(["a", None, "b" * n]),
                "geometry": native([point(n, 2), point(3, n), None]),
            },
            metadata={"n": n},
        )
        for n in range(FILES)
    ]
    known = Counting()
    for data in files:
        inspect_footer(footer_of(data), len(data), known)
    damaged = []
    for _ in range(MUTATIONS):
        data = chance.choice(files)
        footer = bytearray(footer_of(data))
        for _ in range(chance.choice([1, 1, 2])):
            footer[chance.randrange(len(footer) - 8)] = chance.randrange(256)
        damaged.append((bytes(footer), len(data)))
    expected = elsewhere(damaged)
    known.read_alone = 0
    for (footer, size), right in zip(damaged, expected, strict=True):
        before = known.read_alone
        if known.read(footer[:-8]) is None:
            continue
        assert known.read_alone == before + 1
        try:
            found = inspect_footer(footer, size, known)
        except UnreadableFile as error:
            found = error.message
        assert repr(found) == repr(right)
    assert known.read_alone > 0


def elsewhere(footers):
    """What pyarrow makes of them, where it may end the process."""
    found = []
    while len(found) < len(footers):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                for footer, size in footers[len(found) :]:
                    found.append(pool.submit(by_pyarrow, footer, size).result())
            except BrokenProcessPool:
                found.append("ended")
    return found
