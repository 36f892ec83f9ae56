import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from graticule.domain.errors import UnreadableFile
from graticule.planning.files import EQUALITY_DELETES, DataFileEntry
from graticule.planning.index import FileIndex
from graticule.planning.row_group import RowGroup, RowGroupSpan
from graticule.planning.row_groups import RowGroups
from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, exact, outer
from graticule.storage.index_files import About, decode_index, encode_index, map_index, write_index

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
ABOUT = About(7, "geometry-2")


def test_an_index_comes_back_as_it_was():
    found = decode_index(encode_index(INDEX, ABOUT), ABOUT)
    assert [found.entry(position) for position in range(4)] == ENTRIES
    assert [found.file_box(position) for position in range(4)] == BOXES
    window = [BoundingBox(175, 0, 176, 1)]
    assert np.array_equal(found.select(window), INDEX.select(window))


def test_an_index_of_no_files_comes_back():
    empty = FileIndex.from_entries([], [])
    assert len(decode_index(encode_index(empty, ABOUT), ABOUT)) == 0


def test_delete_files_and_sources_come_back():
    deletes = [DataFileEntry("s3://lake/d", 1, 1, 0, content=EQUALITY_DELETES, equality_ids=(1, 2))]
    sources = [(b"one", 3), (b"", 1)]
    index = FileIndex.build(INDEX.columns, INDEX.places, sources=sources, deletes=deletes)
    found = decode_index(encode_index(index, ABOUT), ABOUT)
    assert (found.deletes, found.sources) == (tuple(deletes), tuple(sources))


def test_sources_of_another_number_of_files_are_refused():
    with pytest.raises(ValueError, match="another number of files"):
        FileIndex.build(INDEX.columns, INDEX.places, sources=[(b"one", 3)])


def test_an_index_of_another_snapshot_is_refused():
    with pytest.raises(UnreadableFile, match="not of"):
        decode_index(encode_index(INDEX, ABOUT), About(8, "geometry-2"))


@pytest.mark.parametrize("length", [0, 10, 100, 1000])
def test_an_index_that_is_cut_short_is_unreadable(length):
    with pytest.raises(UnreadableFile):
        decode_index(encode_index(INDEX, ABOUT)[:length], ABOUT)


def test_what_a_damaged_byte_changes_is_never_believed():
    data = encode_index(INDEX, ABOUT)
    arrays = INDEX.to_arrays()
    for at in range(0, len(data), 31):
        damaged = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        with suppress(UnreadableFile):
            found = decode_index(damaged, ABOUT).to_arrays()
            assert all(np.array_equal(array, found[name]) for name, array in arrays.items())


def test_a_damaged_byte_of_any_array_is_noticed():
    whole = pa.py_buffer(encode_index(INDEX, ABOUT))
    reader = pa.ipc.open_file(whole)
    names = set()
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        buffer = batch.column(3).buffers()[2]
        if not buffer.size:
            continue
        names.add(batch.column(0)[0].as_py())
        at = buffer.address - whole.address + buffer.size // 2
        damaged = bytearray(whole)
        damaged[at] ^= 1
        with pytest.raises(UnreadableFile, match="not as it was written"):
            decode_index(bytes(damaged), ABOUT)
    assert {"paths.data", "boxes.sides", "boxes.statuses", "tree.ids"} <= names


def test_an_index_of_other_columns_is_refused():
    with pytest.raises(UnreadableFile, match="geometry-2"):
        decode_index(encode_index(INDEX, ABOUT), About(7, "geometry-3"))


def test_a_mapped_index_is_the_file_itself(tmp_path):
    write_index(tmp_path / "index", INDEX, ABOUT)
    assert (tmp_path / "index").read_bytes() == encode_index(INDEX, ABOUT)
    found = map_index(tmp_path / "index", ABOUT)
    assert [found.entry(position) for position in range(4)] == ENTRIES
    assert not any(array.flags.owndata for array in found.to_arrays().values() if array.nbytes > 64)
    assert (found.is_mapped, found.size_bytes < INDEX.size_bytes) == (True, True)


def test_a_mapped_index_takes_no_memory_of_its_own(tmp_path):
    """A view of a copy is a view as well, so this asks the system."""
    entry = DataFileEntry("s3://lake/" + "x" * 2_000, 1, 1, 0)
    index = FileIndex.from_entries([entry] * 20_000, [BOXES[0]] * 20_000)
    write_index(tmp_path / "index", index, ABOUT)
    lies_at = str((tmp_path / "index").resolve())
    found = map_index(tmp_path / "index", ABOUT)
    data = found.columns.paths.data
    first = data.__array_interface__["data"][0]
    [mapping] = [
        line
        for line in Path("/proc/self/maps").read_text().splitlines()
        if int(line.split("-")[0], 16) <= first < int(line.split()[0].split("-")[1], 16)
    ]
    assert mapping.endswith(lies_at)
    assert found.size_bytes < data.nbytes / 100


def test_row_groups_come_back_with_the_files_that_they_are_of():
    first = [RowGroup(0, RowGroupSpan(4, 100, 7), BOXES[0])]
    first.append(RowGroup(1, RowGroupSpan(104, 50, 3), BOXES[1]))
    third = RowGroup(0, RowGroupSpan(4, 10, 1), UNKNOWN)
    groups = RowGroups.of({2: [third], 0: first})
    index = FileIndex.build(INDEX.columns, INDEX.places, row_groups=groups)
    found = decode_index(encode_index(index, ABOUT), ABOUT).row_groups
    assert [list(found.of_file(position)) for position in range(4)] == [[0, 1], [], [2], []]
    assert [found.row(at) for at in range(3)] == [*first, third]
    again = RowGroups.concatenated([(groups.between(0, 1), 1), (groups.between(1, 4), 3)])
    assert [again.row(at) for at in range(3)] == [*first, third]
    told = RowGroups.of({0: first}).told({2: [third]})
    assert [list(told.of_file(position)) for position in range(4)] == [[0, 1], [], [2], []]
    assert [told.row(at) for at in range(3)] == [*first, third]


def test_storing_and_mapping_an_index_loads_no_pandas(tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from graticule.planning.index import FileIndex\n"
        "from graticule.storage.index_files import About, map_index, write_index\n"
        "path, about = Path(sys.argv[1]), About(7, 'x')\n"
        "write_index(path, FileIndex.from_entries([], []), about)\n"
        "map_index(path, about)\n"
        "print('pandas' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "index")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
