"""What is read from pages is what pyarrow reads, whoever wrote them, damaged or not."""

import io
import json
import struct
from contextlib import contextmanager, suppress
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.domain.errors import UnreadableFile
from graticule.spatial.bounding_box import BoundingBox, exact
from graticule.storage import geometry_pages, parquet_computed, parquet_pages
from graticule.storage.hybrid_runs import Malformed, count_ones, which
from graticule.storage.parquet import inspect
from graticule.storage.parquet_columns import ColumnFile
from graticule.storage.parquet_computed import compute_boxes
from graticule.storage.parquet_pages import Chunk, UnusualPages, read_pages
from support.parquet_files import Ranges, ewkb_point, geo, line, point
from support.profiles import effort

EFFORT = effort(default=60, ci=500)
NAN = float("nan")


@contextmanager
def small_pages_are_read():
    """Pages of tests are small, and would be left to pyarrow for that."""
    with patch.object(parquet_pages, "PAGE_VALUES_MIN", 0):
        yield


@contextmanager
def pyarrow_reads():
    def unusual(*_):
        raise UnusualPages

    with patch.object(ColumnFile, "pages", unusual):
        yield


def boxes_of(data, inspection):
    """What is found in a file, or that it cannot be read."""
    try:
        return compute_boxes(Ranges(data), len(data), inspection)
    except UnreadableFile:
        return None


def both(data):
    """By pages and by pyarrow, and how many row groups were read by pages."""
    inspection = inspect(Ranges(data), len(data))
    done = []

    def add_pages(values, pages):
        geometry_pages.add_pages(values, pages)
        done.append(values)

    with small_pages_are_read(), patch.object(parquet_computed, "add_pages", add_pages):
        by_pages = boxes_of(data, inspection)
    with pyarrow_reads():
        return by_pages, boxes_of(data, inspection), len(done)


def written(values, *, is_nullable=True, rows_per_group=1024, **options):
    schema = pa.schema([pa.field("geometry", pa.binary(), nullable=is_nullable)])
    table = pa.table({"geometry": pa.array(values, pa.binary())}, schema=schema)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, **options) as writer:
        writer.write_table(table, row_group_size=rows_per_group)
        writer.add_key_value_metadata({"geo": json.dumps(geo())})
    return sink.getvalue()


numbers = st.floats(-180, 180) | st.sampled_from([NAN, float("inf"), 0.0, -0.0])
points = st.builds(point, numbers, numbers)
lines = st.builds(lambda a, b: line((a, b), (b, a), (1, a)), numbers, numbers)
others = st.sampled_from(
    [ewkb_point(1, 2), point(3, 4, order=">"), line((1, 2), (3, 4)), point(5, 6)[:-1], b"", b"?"]
)


@st.composite
def columns(draw):
    kind = draw(st.sampled_from([points, points, lines, points | others, lines | points]))
    values = draw(st.lists(kind, min_size=1, max_size=12))
    count = draw(st.sampled_from([0, 1, 7, 60, 700]))
    chosen = np.random.default_rng(draw(st.integers(0, 9))).integers(0, len(values), count)
    has_nulls = draw(st.booleans())
    rows = [None if has_nulls and at % 3 == 0 else values[at] for at in chosen.tolist()]
    return rows, has_nulls


layouts = st.fixed_dictionaries(
    {
        "compression": st.sampled_from(["none", "snappy", "zstd", "gzip", "brotli", "lz4"]),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "use_dictionary": st.booleans(),
        "data_page_size": st.sampled_from([1, 100, 5_000, 1 << 20]),
        "write_batch_size": st.sampled_from([1, 50, 1024]),
        "dictionary_pagesize_limit": st.sampled_from([10, 200, 1 << 20]),
        "write_page_checksum": st.booleans(),
        "rows_per_group": st.sampled_from([5, 100, 1000]),
    }
)
encodings = st.sampled_from([None, None, "PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])


@st.composite
def files(draw):
    values, has_nulls = draw(columns())
    options, encoding = draw(layouts), draw(encodings)
    if encoding is not None:
        options |= {"use_dictionary": False, "column_encoding": {"geometry": encoding}}
    return written(values, is_nullable=has_nulls or draw(st.booleans()), **options)


@given(files())
@EFFORT
def test_pages_say_what_pyarrow_says(data):
    by_pages, by_pyarrow, _ = both(data)
    assert by_pages is not None
    assert by_pages == by_pyarrow


@given(files(), st.randoms(use_true_random=False), st.integers(1, 3))
@EFFORT
def test_of_damaged_pages_nothing_is_said_that_pyarrow_does_not_say(data, random, times):
    footer_bytes = int.from_bytes(data[-8:-4], "little")
    damaged = bytearray(data)
    if (pages_end := len(data) - footer_bytes - 8) <= 4:
        return
    for _ in range(times):
        byte = random.choice([0, 1, 127, 255, random.getrandbits(8)])
        damaged[random.randrange(4, pages_end)] = byte
    by_pages, by_pyarrow, _ = both(bytes(damaged))
    if by_pyarrow is None and by_pages is not None:  # a word was hurt that nobody needs
        by_pyarrow, _, _ = both(data)
    assert by_pages == by_pyarrow


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("nulls", [0, 3])
def test_what_is_laid_out_alike_is_read_from_pages(compression, version, nulls):
    """Of points with a dictionary that overflows, as of lines without one."""
    for values, options in (
        (
            [point(at % 300, -at % 500) for at in range(9_000)],
            {"dictionary_pagesize_limit": 20_000},
        ),
        ([line((at, 1), (2, -at)) for at in range(9_000)], {"use_dictionary": False}),
    ):
        rows = [*values, *[None] * nulls]
        data = written(
            rows,
            compression=compression,
            data_page_version=version,
            data_page_size=4_000,
            rows_per_group=4_500,
            **options,
        )
        by_pages, by_pyarrow, groups = both(data)
        assert by_pages == by_pyarrow
        assert groups == -(-len(rows) // 4_500)


def test_values_of_a_dictionary_that_no_row_has_count_for_nothing():
    values = pa.array([point(1, 2), point(9, 9), point(3, 4)], pa.binary())
    column = pa.DictionaryArray.from_arrays(pa.array([0, 2, 2, 0]), values)
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink, pa.schema([("geometry", column.type)]), store_schema=False
    ) as writer:
        writer.write_table(pa.table({"geometry": column}))
        writer.add_key_value_metadata({"geo": json.dumps(geo())})
    by_pages, by_pyarrow, groups = both(sink.getvalue())
    assert by_pages == by_pyarrow
    assert by_pages.geometry["geometry"].file_box == exact(BoundingBox(1, 2, 3, 4))
    assert groups == 1


def test_a_chunk_is_fetched_once_whoever_reads_it():
    rows = [point(at, at) for at in range(2_000)]
    for values in (rows, [*rows, line((1, 2), (3, 4))]):
        data = written(values, rows_per_group=5_000)
        reads = Ranges(data)
        inspection = inspect(Ranges(data), len(data))
        compute_boxes(reads, len(data), inspection)
        chunk = pq.read_metadata(io.BytesIO(data)).row_group(0).column(0)
        at = chunk.dictionary_page_offset
        assert reads.requests[1:] == [(at, chunk.total_compressed_size)]


def test_a_large_chunk_is_streamed():
    options = {"use_dictionary": False, "data_page_size": 4_000, "rows_per_group": 9_000}
    data = written([point(at, -at) for at in range(9_000)], **options)
    reads = Ranges(data)
    with (
        patch("graticule.storage.parquet_columns.CHUNK_BYTES_MAX", 10_000),
        patch("graticule.storage.parquet_columns.STREAM_BYTES", 20_000),
    ):
        found = compute_boxes(reads, len(data), inspect(Ranges(data), len(data)))
    assert found.geometry["geometry"].file_box == exact(BoundingBox(0, -8999, 8999, 0))
    assert len(reads.requests) > 5
    assert max(length for _, length in reads.requests[1:]) <= 20_000


# Headers that lie.


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def i32(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def header(kind, size, packed, fields):
    inner = b"".join(b"\x15" + i32(number) for number in fields)
    number = {0: 5, 2: 7, 3: 8}[kind]
    head = b"".join(b"\x15" + i32(one) for one in (kind, size, packed))
    return head + bytes([(number - 3) << 4 | 12]) + inner + b"\0\0"


PLAIN_POINT = struct.pack("<I", 21) + point(1, 2)


@pytest.mark.parametrize(
    ("page", "codec"),
    [
        (header(0, 2**31 - 1, 25, [1, 0, 3, 3]) + PLAIN_POINT, "ZSTD"),
        (header(0, 25, 2**31 - 1, [1, 0, 3, 3]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(0, 25, 24, [1, 0, 3, 3]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(0, -25, 25, [1, 0, 3, 3]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(0, 25, 25, [2, 0, 3, 3]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(0, 25, 25, [2**31 - 1, 0, 3, 3]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(0, 25, 25, [0, 0, 3, 3]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(0, 25, 25, [1, 8, 3, 3]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(3, 25, 25, [1, 1, 1, 0, 0, 0]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(3, 25, 25, [1, 0, 1, 0, 99, 0]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(2, 25, 25, [2**31 - 1, 0]) + PLAIN_POINT, "UNCOMPRESSED"),
        (header(0, 26, 2, [1, 0, 3, 3]) + bytes([25, 0]), "SNAPPY"),
        (b"\x19" * 50, "UNCOMPRESSED"),
        (b"\x1c" * 50, "UNCOMPRESSED"),
        (b"\x15" + b"\xff" * 50, "UNCOMPRESSED"),
        (b"", "UNCOMPRESSED"),
    ],
)
def test_a_header_that_lies_is_left_to_pyarrow(page, codec):
    chunk = Chunk(0, len(page), 1, codec, False)
    before = pa.total_allocated_bytes()
    with pytest.raises(UnusualPages):
        geometry_pages.add_pages(
            geometry_pages.GeometryValues(),
            read_pages(chunk, lambda at, size: page[at : at + size], 99),
        )
    assert pa.total_allocated_bytes() - before < 1 << 20


# Run lengths and bit-packed numbers.


@st.composite
def hybrids(draw):
    """Bytes, their width, and the numbers in them."""
    width = draw(st.integers(1, 24))
    number = st.integers(0, 2**width - 1)
    data, numbers = b"", []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            value, times = draw(number), draw(st.integers(1, 300))
            data += varint(times << 1) + value.to_bytes((width + 7) // 8, "little")
            numbers += [value] * times
            continue
        groups = draw(st.sampled_from([1, 2, 63, 64]))
        for _ in range(draw(st.integers(1, 3))):
            some = draw(st.lists(number, min_size=1, max_size=9))
            run = (some * 8 * groups)[: 8 * groups]
            bits = sum(value << (width * at) for at, value in enumerate(run))
            data += varint(groups << 1 | 1) + bits.to_bytes(groups * width, "little")
            numbers += run
    return data, width, numbers[: len(numbers) - draw(st.integers(0, 7))]


@given(hybrids())
@EFFORT
def test_hybrid_runs_give_the_numbers_that_were_written(drawn):
    data, width, numbers = drawn
    if not numbers:
        return
    limit = max(numbers) + 1
    array = np.frombuffer(data, np.uint8)
    found = which(array, width, len(numbers), limit)
    assert np.flatnonzero(found).tolist() == sorted(set(numbers))
    if width == 1:
        assert count_ones(array, len(numbers)) == sum(numbers)
    if limit > 1:
        with pytest.raises(Malformed):
            which(array, width, len(numbers), limit - 1)


@given(st.binary(max_size=60), st.integers(0, 24))
@EFFORT
def test_any_bytes_hold_numbers_or_are_malformed(data, width):
    with suppress(Malformed):
        which(np.frombuffer(data, np.uint8), width, 100, 8)


def test_a_head_without_an_end_is_malformed():
    with pytest.raises(Malformed):
        which(np.full(40, 255, np.uint8), 3, 100, 8)
