import numpy as np
import pytest

from graticule.domain.errors import UnreadableFile
from graticule.planning.files import EQUALITY_DELETES, DataFileEntry
from graticule.planning.index import FileIndex
from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, exact, outer
from graticule.storage.index_files import decode_index, encode_index

BOXES = [
    exact(BoundingBox(0, 0, 1, 1)),
    outer(BoundingBox(170, -10, 180, 10), BoundingBox(-180, -10, -170, 10)),
    UNKNOWN,
    EMPTY,
]
ENTRIES = [
    DataFileEntry(
        path=f"s3://lake/{number}.parquet",
        size_bytes=number,
        record_count=10,
        spec_id=0,
        partition=("EU", None),
        lower_bounds={1: b"\x00"},
        split_offsets=(4,),
    )
    for number in range(4)
]
INDEX = FileIndex.from_entries(ENTRIES, BOXES)


def test_an_index_comes_back_as_it_was():
    found = decode_index(encode_index(INDEX, snapshot_id=7), snapshot_id=7)
    assert [found.entry(position) for position in range(4)] == ENTRIES
    assert [found.file_box(position) for position in range(4)] == BOXES
    window = [BoundingBox(175, 0, 176, 1)]
    assert np.array_equal(found.select(window), INDEX.select(window))


def test_an_index_of_no_files_comes_back():
    empty = FileIndex.from_entries([], [])
    assert len(decode_index(encode_index(empty, snapshot_id=7), snapshot_id=7)) == 0


def test_delete_files_and_sources_come_back():
    deletes = [DataFileEntry("s3://lake/d", 1, 1, 0, content=EQUALITY_DELETES, equality_ids=(1, 2))]
    sources = [(b"one", 3), (b"", 1)]
    index = FileIndex.build(INDEX.columns, INDEX.places, sources=sources, deletes=deletes)
    found = decode_index(encode_index(index, snapshot_id=7), snapshot_id=7)
    assert (found.deletes, found.sources) == (tuple(deletes), tuple(sources))


def test_sources_of_another_number_of_files_are_refused():
    with pytest.raises(ValueError, match="another number of files"):
        FileIndex.build(INDEX.columns, INDEX.places, sources=[(b"one", 3)])


def test_an_index_of_another_snapshot_is_refused():
    with pytest.raises(UnreadableFile, match="not of"):
        decode_index(encode_index(INDEX, snapshot_id=7), snapshot_id=8)


@pytest.mark.parametrize("length", [0, 10, 100, 1000])
def test_an_index_that_is_cut_short_is_unreadable(length):
    with pytest.raises(UnreadableFile):
        decode_index(encode_index(INDEX, snapshot_id=7)[:length], snapshot_id=7)


def test_no_single_damaged_byte_raises_anything_but_unreadable():
    data = encode_index(INDEX, snapshot_id=7)
    for at in range(0, len(data), 5):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            decode_index(damaged, snapshot_id=7)
        except UnreadableFile:
            continue
