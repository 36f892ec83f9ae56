import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graticule.planning.file_listing import FileListing
from graticule.planning.file_matches import match_files
from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex
from graticule.spatial.bounding_box import (
    EMPTY,
    UNKNOWN,
    BoundingBox,
    BoxStatus,
    FileBox,
    exact,
    outer,
)
from graticule.spatial.search_area import SearchArea

HALVES = FileBox(
    BoxStatus.OUTER, (BoundingBox(170.0, 0.0, 180.0, 1.0), BoundingBox(-180.0, 0.0, -170.0, 1.0))
)
ENDLESS = outer(BoundingBox(0.0, 0.0, math.inf, 1.0))
BOXES = st.sampled_from(
    [UNKNOWN, EMPTY, HALVES, ENDLESS, exact(BoundingBox(1.0, 1.0, 2.0, 2.0))]
) | st.integers(-170, 170).map(lambda x: outer(BoundingBox(x, -1.0, x + 0.5, 1.0)))


def index_of(boxes):
    entries = [
        DataFileEntry(
            path=f"s3://lake/ä{at}.parquet", size_bytes=2**33 + at, record_count=at, spec_id=0
        )
        for at in range(len(boxes))
    ]
    return FileIndex.from_entries(entries, boxes)


@given(st.lists(BOXES, max_size=30), st.data())
def test_a_listing_says_of_each_file_what_the_index_says(boxes, data):
    index = index_of(boxes)
    every = range(len(boxes))
    chosen = data.draw(st.lists(st.sampled_from(every), unique=True)) if boxes else []
    positions = np.array(sorted(chosen), np.int64)
    listing = FileListing.of(index, positions)
    rows = zip(
        [path.decode() for path in listing.paths],
        listing.sizes_bytes.tolist(),
        listing.rows.tolist(),
        listing.statuses,
        strict=True,
    )
    assert [*rows] == [
        (entry.path, entry.size_bytes, entry.record_count, index.file_box(at).status)
        for at, entry in zip(positions.tolist(), index.entries(positions), strict=True)
    ]
    assert [
        listing.sides[first:last].tolist()
        for first, last in zip(listing.ends[:-1], listing.ends[1:], strict=True)
    ] == [
        [[b.xmin, b.ymin, b.xmax, b.ymax] for b in index.file_box(at).boxes if b.is_finite]
        for at in positions.tolist()
    ]
    assert listing.unknown == [
        place
        for place, at in enumerate(positions.tolist())
        if index.file_box(at).status is BoxStatus.UNKNOWN
    ]


@given(st.lists(BOXES, min_size=1, max_size=30), st.integers(1, 7), st.data())
def test_pages_list_every_file_that_is_kept_to_the_end_whatever_is_learned_meanwhile(
    boxes, limit, data
):
    """A job may find out between two pages where unknown files lie: the others stay in the list."""
    area = SearchArea.of_bbox([-50.0, -5.0, 50.0, 5.0]).placed_on(SearchArea.of_bbox([0] * 4).crs)
    learned = [
        data.draw(st.sampled_from([UNKNOWN, exact(BoundingBox(100.0, 1.0, 101.0, 2.0))]))
        if box is UNKNOWN
        else box
        for box in boxes
    ]
    before, after = index_of(boxes), index_of(learned)
    listed, first, index = [], 0, before
    while first is not None:
        positions, following = match_files(index, area).page(first, limit)
        listed += positions.tolist()
        assert (len(positions) == limit) or following is None
        first, index = following, after
    assert listed == sorted(set(listed))
    assert set(match_files(after, area).kept.tolist()) <= set(listed)
    assert set(listed) <= set(match_files(before, area).kept.tolist())
