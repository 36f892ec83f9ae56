from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex
from graticule.spatial.bounding_box import (
    EMPTY,
    EVERYWHERE,
    UNKNOWN,
    BoundingBox,
    BoxStatus,
    exact,
    outer,
)

FULL = DataFileEntry(
    path="s3://lake/t/ä é.parquet",
    size_bytes=123_456_789_012,
    record_count=5,
    spec_id=2,
    partition=(1.5, None, "x", b"\x00\xff", Decimal("1.20"), UUID(int=7), True, 18_262),
    content="equality-deletes",
    file_format="orc",
    sort_order_id=0,
    column_sizes={1: 10, 2: 2**40},
    value_counts={1: 5},
    null_value_counts={1: 0, 7: 5},
    nan_value_counts={2: 1},
    lower_bounds={1: b"\x01\0\0\0", 9: b""},
    upper_bounds={1: b"\x09\0\0\0", 9: b"zebra"},
    split_offsets=(4, 2**33),
    equality_ids=(1, 3),
    sequence_number=7,
    file_sequence_number=6,
    key_metadata=b"\x01\x02",
    referenced_data_file="s3://lake/t/b.parquet",
    content_offset=4,
    content_size_bytes=40,
    first_row_id=0,
)


def bare(at):
    return DataFileEntry(path=f"s3://lake/{at}.parquet", size_bytes=at, record_count=1, spec_id=0)


def index_of(*boxes):
    return FileIndex.from_entries([bare(at) for at in range(len(boxes))], boxes)


sides = st.integers(-180, 180).map(float)


@st.composite
def file_boxes(draw):
    (x0, x1), (y0, y1) = (sorted((draw(sides), draw(sides))) for _ in range(2))
    box = BoundingBox(x0, y0, x1, y1)
    return draw(
        st.sampled_from(
            [
                exact(box),
                exact(box),
                outer(box),
                outer(BoundingBox(max(x0, 1), y0, 180.5, y1), BoundingBox(-180.5, y0, -1, y1)),
                outer(BoundingBox(x0, float("-inf"), x1, float("inf"))),
                EMPTY,
                UNKNOWN,
            ]
        )
    )


@st.composite
def windows(draw):
    (x0, x1), (y0, y1) = (sorted((draw(sides), draw(sides))) for _ in range(2))
    return BoundingBox(x0, y0, x1, y1)


@settings(max_examples=300)
@given(st.lists(file_boxes(), max_size=40), st.lists(windows(), max_size=3), st.booleans())
def test_the_selection_is_what_every_file_says_of_itself(boxes, asked, with_crossing):
    index = index_of(*boxes)
    expected = [
        at
        for at, box in enumerate(boxes)
        if any(box.may_intersect(window) for window in asked)
        or (with_crossing and asked and len(box.boxes) == 2)
    ]
    assert index.select(asked, with_crossing=with_crossing).tolist() == expected
    again = FileIndex.from_arrays(index.to_arrays())
    assert again.select(asked, with_crossing=with_crossing).tolist() == expected


def test_no_constraint_selects_all_and_a_contradiction_none():
    index = index_of(UNKNOWN, EMPTY, exact(BoundingBox(0, 0, 1, 1)))
    assert index.select(None).tolist() == [0, 1, 2]
    assert index.select(()).tolist() == []
    assert index.select([EVERYWHERE]).tolist() == [0, 2]


def test_an_index_of_nothing_answers():
    index = FileIndex.from_entries([], [])
    assert len(FileIndex.from_arrays(index.to_arrays())) == 0
    assert index.select([EVERYWHERE]).tolist() == []
    assert index.select(None).tolist() == []


def test_entries_and_boxes_come_back_whole():
    boxes = [
        outer(BoundingBox(170, 0, 180, 1), BoundingBox(-180, 0, -170, 1)),
        UNKNOWN,
        exact(BoundingBox(0, 0, 1, 1)),
    ]
    entries = [FULL, bare(1), FULL]
    index = FileIndex.from_entries(entries, boxes)
    again = FileIndex.from_arrays(index.to_arrays())
    for which in (index, again):
        assert [which.entry(at) for at in range(3)] == entries
        assert [which.file_box(at) for at in range(3)] == boxes
        assert which.path(0) == FULL.path
    light = index.entry(0, with_metrics=False)
    assert (light.lower_bounds, light.value_counts) == ({}, {})
    assert (light.partition, light.split_offsets) == (FULL.partition, FULL.split_offsets)


def test_partition_values_of_numpy_are_stored_as_numbers():
    entry = DataFileEntry("p", 1, 1, 0, partition=(np.float64(1.5), np.int64(3), np.bool_(True)))
    assert FileIndex.from_entries([entry], [UNKNOWN]).entry(0).partition == (1.5, 3, True)


def test_arrays_of_two_indexes_do_not_mix():
    small = index_of(exact(BoundingBox(0, 0, 1, 1))).to_arrays()
    large = index_of(*[exact(BoundingBox(0, 0, 1, 1))] * 3, UNKNOWN).to_arrays()
    assert small.keys() == large.keys()
    for name in large:
        mixed = {**large, name: small[name]}
        if name != "tree.node_size" and not np.array_equal(small[name], large[name]):
            with pytest.raises((ValueError, IndexError)):
                FileIndex.from_arrays(mixed)
    for name in large:
        with pytest.raises(ValueError, match="lacks"):
            FileIndex.from_arrays({key: array for key, array in large.items() if key != name})


def test_as_many_boxes_as_files_are_needed():
    with pytest.raises(ValueError, match="1 files and 0 boxes"):
        FileIndex.from_entries([bare(0)], [])


def test_statuses_are_kept():
    index = index_of(UNKNOWN, EMPTY, exact(EVERYWHERE), outer(EVERYWHERE))
    assert [index.file_box(at).status for at in range(4)] == [
        BoxStatus.UNKNOWN,
        BoxStatus.EMPTY,
        BoxStatus.EXACT,
        BoxStatus.OUTER,
    ]
