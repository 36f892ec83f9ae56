"""Searches of an index are remembered while its pages are fetched, and no longer than that."""

import gc
import weakref

import numpy as np
import pytest

from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex
from graticule.services.planning import area_matches
from graticule.services.planning.area_matches import AreaMatches
from graticule.spatial.bounding_box import BoundingBox, exact
from graticule.spatial.crs import CRS84
from graticule.spatial.search_area import SearchArea


def index_of(*xs):
    return FileIndex.from_entries(
        [DataFileEntry(path=f"{x}", size_bytes=1, record_count=1, spec_id=0) for x in xs],
        [exact(BoundingBox(x, 0.0, x, 0.0)) for x in xs],
    )


def area(west, east):
    return SearchArea.of_bbox([west, -1.0, east, 1.0]).placed_on(CRS84)


def shape(west, east):
    wkt = f"POLYGON (({west} -1, {east} -1, {east} 1, {west} 1, {west} -1))"
    return SearchArea.of_geometry(wkt).placed_on(CRS84)


@pytest.fixture
def searches(monkeypatch):
    searches = []
    original = area_matches.match_files

    def counted(index, area):
        searches.append(area)
        return original(index, area)

    monkeypatch.setattr(area_matches, "match_files", counted)
    return searches


def test_the_same_question_searches_once_and_another_or_another_index_again(searches):
    matches, one, other = AreaMatches(), index_of(1.0, 2.0, 3.0), index_of(3.0, 2.0, 1.0)
    for make in (area, shape):
        assert matches.of(one, make(0.5, 1.5)).kept.tolist() == [0]
        assert matches.of(one, make(0.5, 1.5)).kept.tolist() == [0]
        assert matches.of(one, make(1.5, 3.5)).kept.tolist() == [1, 2]
        assert matches.of(other, make(0.5, 1.5)).kept.tolist() == [2]
    assert matches.of(one, None).kept.tolist() == [0, 1, 2]
    assert len(searches) == 7


def test_what_is_remembered_is_bounded_and_keeps_no_index_alive(searches):
    small, index = AreaMatches(bytes_max=3_000), index_of(*map(float, range(100)))
    for west in range(5):
        small.of(index, area(float(west), 99.0))
    small.of(index, area(4.0, 99.0))
    assert len(searches) == 5
    small.of(index, area(0.0, 99.0))  # forgotten
    assert len(searches) == 6
    large = index_of(*np.linspace(0.0, 100.0, 10_000).tolist())
    for _ in range(2):  # takes more than all that may be remembered
        assert len(small.of(large, None).kept) == 10_000
    assert len(searches) == 8
    gone = weakref.ref(index)
    del index
    gc.collect()
    assert gone() is None
