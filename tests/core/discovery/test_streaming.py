"""Files are gone through and not kept: the same comes out, and a bucket's size costs no memory."""

import random
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.discovery.grouping import SortedObjects, StoredObject, group, group_listing
from graticule.discovery.proposing import propose
from graticule.discovery.sources import SOURCES_MAX, Landscape, sources_below
from graticule.domain.errors import InvalidRequest
from graticule.storage.parquet import inspect
from support.parquet_files import Ranges, native, parquet, point
from support.zoo.layout import cities, roads

FILES = 10_000
PEAK_BYTES_MAX = 1_500_000
"""Keeping their keys and ETags alone would take more."""


class Listing:
    """Objects that are made up as they are asked for, in the order of keys."""

    def __init__(self, key_of, count=FILES):
        self.key_of, self.count = key_of, count

    def __iter__(self):
        for number in range(self.count):
            yield StoredObject(self.key_of(number), 1000 + number, f"{number:032x}")

    def below(self, prefix):
        return (stored for stored in self if stored.key.startswith(prefix))


class Same(Mapping):
    """One inspection for all files."""

    def __init__(self, inspection):
        self.inspection = inspection

    def __getitem__(self, key):
        return self.inspection

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


def one_folder(number):
    return f"data/part-{number:07}.parquet"


def partitions(number):
    return f"data/day={number // 100:05}/hour={number // 10 % 10}/part-{number % 10}.parquet"


@pytest.mark.parametrize(
    ("key_of", "by"), [(one_folder, []), (partitions, ["day", "hour"])], ids=["folder", "hive"]
)
def test_a_table_of_very_many_files_is_proposed_without_keeping_them(key_of, by):
    data = cities((1, 2))
    inspections = Same(inspect(Ranges(data), len(data)))
    tracemalloc.start()
    try:
        grouping = group_listing(Listing(key_of))
        [table] = propose(grouping, inspections).tables
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (table.file_count, table.rows, table.sources) == (FILES, FILES, ("data/",))
    assert [column.name for column in table.hive_columns] == by
    assert table.place.extent == (1, 2, 1, 2)
    assert peak_bytes < PEAK_BYTES_MAX


def test_the_files_of_a_table_are_found_again_whenever_they_are_asked_for():
    good, other = cities((1, 2)), roads()
    lake = {f"a/{n}.parquet": (good if n % 2 else other) for n in range(10)}
    inspections = {key: inspect(Ranges(data), len(data)) for key, data in lake.items()}
    inspections["a/3.parquet"] = "corrupt"
    objects = SortedObjects(StoredObject(key, len(data)) for key, data in lake.items())
    tables = propose(group_listing(objects), inspections).tables
    found = sorted(sorted(file.key for file in table.files) for table in tables)
    assert found == [
        [f"a/{n}.parquet" for n in range(0, 10, 2)],
        [f"a/{n}.parquet" for n in (1, 5, 7, 9)],
    ]
    assert found == sorted(sorted(file.key for file in table.files) for table in tables)


def test_a_file_that_comes_while_files_are_gone_through_belongs_to_nothing():
    data = cities((1, 2))
    inspections = {f"a/{n}.parquet": inspect(Ranges(data), len(data)) for n in range(3)}
    objects = [StoredObject(key, len(data)) for key in inspections]

    class Growing(SortedObjects):
        looks = 0

        def __iter__(self):
            self.looks += 1
            yield from super().__iter__()
            if self.looks > 3:  # keys are grouped, and bunches collected, before
                yield StoredObject("b/late.parquet", 7)

    late = Ranges(plain := parquet({"other": native([point(1, 2)])}))
    inspections["b/late.parquet"] = inspect(late, len(plain))
    found = propose(group_listing(Growing(objects)), inspections)
    assert [(table.root, table.file_count) for table in found.tables] == [("a/", 3)]
    assert [(each.key, each.reason) for each in found.skipped] == [
        ("b/late.parquet", "came during the scan")
    ]


def test_copies_are_counted_wherever_they_lie():
    data = cities((1, 2))
    etags = {
        "a/1.parquet": "x",
        "a/2.parquet": "y",
        "a/3.parquet": "y",
        "b/1.parquet": "x",
        "b/2.parquet": "z",
        "c/1.parquet": "",
        "c/2.parquet": "",
    }
    seen = inspect(Ranges(data), len(data))
    fields = {"a": "name", "b": "label", "c": "title"}
    inspections = {
        key: replace(seen, fields=({**seen.fields[0], "name": fields[key[0]]}, *seen.fields[1:]))
        for key in etags
    }
    objects = SortedObjects(StoredObject(key, 9, etag) for key, etag in etags.items())
    tables = propose(group_listing(objects), inspections).tables
    told = {t.root: [each for each in t.reasons if "cop" in each] for t in tables}
    assert told == {
        "a/": ["2 files are copies of another, such as `a/3.parquet` of `a/2.parquet`"],
        "b/": ["1 file is a copy of another, such as `b/1.parquet` of `a/1.parquet`"],
        "c/": [],
    }


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b", "a.x", "é"]), min_size=1, max_size=4).map("/".join),
        st.integers(0, 2),
        max_size=30,
    )
)
def test_covers_hold_the_files_of_one_owner_and_no_folder_could_be_left_out(owners):
    landscape = Landscape()
    for key in sorted(owners):
        landscape.add(key, owners[key])
    covers = landscape.covers() if owners else {}
    for owner, found in covers.items():
        held = {
            k
            for k in owners
            for c in found
            if k == c or (k.startswith(c) and (not c or c[-1] == "/"))
        }
        assert held == {key for key, each in owners.items() if each == owner}
        for cover in found:
            if cover and (above := cover.rstrip("/").rpartition("/")[0]):
                inside = {owners[key] for key in owners if key.startswith(f"{above}/")}
                assert inside != {owner}


def test_files_that_too_many_sources_would_have_to_name_are_not_alone_in_their_folder():
    landscape = Landscape()
    keys = sorted(f"a/{n:03}.parquet" for n in range(2 * SOURCES_MAX + 2))
    for number, key in enumerate(keys):
        landscape.add(key, number % 2)
    covers = landscape.covers()
    assert [sources_below("a/", covers[owner]) for owner in (0, 1)] == [(("a/",), False)] * 2


def shuffled(objects, seed):
    listed = list(objects)
    random.Random(seed).shuffle(listed)
    return SortedObjects(listed)


@given(seed=st.integers(0, 2**32))
def test_any_order_of_listing_proposes_the_same(seed):
    data, other = cities((1, 2)), roads()
    folders = ["t/c=1/", "t/c=2/", "u/", "logs/2024/01/", "logs/2024/02/", ""]
    lake = {f"{f}{n}.parquet": (data if n else other) for f in folders for n in range(3)}
    looked = partial(lambda data: inspect(Ranges(data), len(data)))
    kinds = {id(each): looked(each) for each in (data, other)}
    inspections = {key: kinds[id(each)] for key, each in lake.items()}
    objects = [StoredObject(key, len(each), key) for key, each in lake.items()]
    expected = propose(group_listing(SortedObjects(objects)), inspections)
    assert propose(group_listing(shuffled(objects, seed)), inspections) == expected


def test_a_scan_of_too_many_schemas_is_refused(monkeypatch):
    monkeypatch.setattr("graticule.discovery.bunches.SCHEMAS_MAX", 3)
    files = [(f"t{n}/{n}.parquet", parquet({f"column_{n}": pa.array([1])})) for n in range(4)]
    inspections = {key: inspect(Ranges(data), len(data)) for key, data in files}
    objects = [StoredObject(key, len(data)) for key, data in files]
    assert len(propose(group(objects[:3]), inspections).tables) == 3
    with pytest.raises(InvalidRequest, match="more than 3 different schemas"):
        propose(group(objects), inspections)
