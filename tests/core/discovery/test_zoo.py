"""A zoo of buckets, without a bucket: what must be proposed for each, and why."""

import fnmatch
import random

import pytest

from graticule.discovery.existing_proposals import inspect_existing
from graticule.discovery.grouping import StoredObject, group
from graticule.discovery.ignoring import Ignored
from graticule.discovery.looking import Confirmed, unconfirmed
from graticule.discovery.proposing import propose
from graticule.domain.errors import InvalidRequest, UnreadableFile
from graticule.domain.location import Location
from graticule.storage.parquet import inspect
from graticule.storage.parquet_computed import compute_boxes
from support.parquet_files import Ranges
from support.zoo.every import EVERY
from support.zoo.layout import cities, plain, roads, stock

BUCKET = "lake"


def proposals(objects, *, base="", ignore=(), shuffled=False, **options):
    """What discovery proposes for these objects, as a scan of `s3://lake/<base>` would."""
    lake = {f"{base}{key}": data for key, data in objects.items()}
    stored = [StoredObject(key, len(data), f"{hash(data)}") for key, data in lake.items()]
    if shuffled:
        random.Random(7).shuffle(stored)
    grouping = group(stored, base=base, ignored=Ignored(tuple(ignore), base))
    inspections = {}
    for file in grouping.files:
        data = lake[file.object.key]
        try:
            inspections[file.object.key] = inspect(Ranges(data), len(data))
        except UnreadableFile as error:
            inspections[file.object.key] = error.message
    seen = {}
    for candidate, sample in unconfirmed(grouping.files, inspections).items():
        data = lake[sample.key]
        seen[candidate] = compute_boxes(Ranges(data), len(data), inspections[sample.key])
    inspections = Confirmed(inspections, seen, base=base)
    existing = {}
    for table in grouping.existing:
        hint = lake.get(table.hint_key, b"").decode() if table.hint_key else None
        key = table.current(hint)
        try:
            found = inspect_existing(table, Location.parse(f"s3://{BUCKET}/{key}"), lake[key])
        except InvalidRequest as error:
            found = error.message
        existing[table.root] = found
    return propose(grouping, inspections, existing=existing, **options)


def summary(table, base):
    place = table.place
    return {
        "files": tuple(file.key.removeprefix(base) for file in table.files),
        "rows": table.rows,
        "by": ", ".join(f"{column.name} {column.type}" for column in table.hive_columns),
        "place": place and f"{place.column or 'lon/lat'} {place.encoding} {place.crs}",
        "confidence": table.confidence.value,
    }


def placed(table, expected):
    """The expected place, with the table's own where the pattern leaves it open."""
    if table.place is None or not expected.place:
        return expected.place or None
    found = f"{table.place.column or 'lon/lat'} {table.place.encoding} {table.place.crs}"
    return found if fnmatch.fnmatchcase(found, expected.place) else expected.place


@pytest.mark.parametrize("layout", EVERY, ids=lambda layout: layout.id)
def test_the_zoo(layout):
    base = "some/raw/"
    objects = layout.build(f"s3://{BUCKET}/{base.rstrip('/')}")
    found = proposals(objects, base=base, ignore=layout.ignore, root_name="raw")
    by_files = {tuple(file.key.removeprefix(base) for file in t.files): t for t in found.tables}
    for expected in layout.tables:
        table = by_files.pop(expected.files)
        assert fnmatch.fnmatchcase(str(table.qualified_name), expected.name)
        assert summary(table, base) == {
            "files": expected.files,
            "rows": expected.rows,
            "by": expected.by,
            "place": placed(table, expected),
            "confidence": expected.confidence,
        }, table.reasons
        for reason in expected.because:
            assert any(reason in each for each in table.reasons), table.reasons
    assert by_files == {}
    assert {str(t.qualified_name): t.rows for t in found.existing} == layout.existing
    assert {
        f"{each.namespace}.{each.name}".lstrip("."): each.format for each in found.convertible
    } == layout.convertible
    skipped = {entry.key.removeprefix(base): entry.reason for entry in found.skipped}
    assert skipped.keys() == layout.skipped.keys()
    assert [k for k, reason in layout.skipped.items() if not skipped[k].startswith(reason)] == []
    assert found.skipped_count == len(layout.skipped)


def everything():
    """All layouts side by side, each in a folder of its own."""
    lake = {}
    for number, layout in enumerate(EVERY):
        folder = f"layout_{number}"
        objects = layout.build(f"s3://{BUCKET}/{folder}")
        lake |= {f"{folder}/{key}": data for key, data in objects.items()}
    return lake


def test_the_order_of_a_listing_does_not_matter():
    lake = everything()
    assert proposals(lake) == proposals(lake, shuffled=True)


def test_what_is_added_later_leaves_names_and_tables_as_they_were():
    lake = {
        "de/roads/part-0.parquet": roads(),
        "World Cities/part-0.parquet": cities(),
        "logs/2024/01/part-0.parquet": plain(),
        "t/c=1/a.parquet": plain(),
    }
    before = {table.root: table.qualified_name for table in proposals(lake).tables}
    later = lake | {
        "a/roads/part-0.parquet": roads(),
        "de/cities/part-0.parquet": cities(),
        "logs/2024/02/part-0.parquet": plain(),
        "roads/part-0.parquet": stock(),
        "t/c=2/a.parquet": plain(),
        "t/extra/part-0.parquet": stock(),
        "zoo/World Cities/part-0.parquet": cities(),
    }
    after = {table.root: table.qualified_name for table in proposals(later).tables}
    assert {root: after[root] for root in before} == before
    assert len(set(after.values())) == len(after) == 9


def test_names_do_not_depend_on_which_folder_is_scanned_as_long_as_it_is_above():
    lake = {"x/y/de/roads/part-0.parquet": roads()}
    [whole] = proposals(lake).tables
    [below] = proposals({"de/roads/part-0.parquet": roads()}, base="x/y/").tables
    assert (str(whole.qualified_name), str(below.qualified_name)) == ("x_y_de.roads", "de.roads")


def test_sources_are_folders_of_their_own_else_the_files_one_by_one():
    lake = {
        "one.parquet": plain(),
        "t/1.parquet": roads(),
        "t/2.parquet": roads(),
        "t/data_1.parquet": plain(),
        "u/1.parquet": plain(),
        "u/2.parquet": plain(),
        "v/c=1/a.parquet": plain(),
        "v/c=2/a.parquet": plain(),
        "v/loose.parquet": plain(),
    }
    assert {table.sources for table in proposals(lake).tables} == {
        ("one.parquet",),
        ("t/1.parquet", "t/2.parquet"),
        ("t/data_1.parquet",),
        ("u/",),
        ("v/c=1/", "v/c=2/"),
        ("v/loose.parquet",),
    }


def test_a_thousand_like_folders_at_any_depth_are_no_thousand_tables():
    """The crawler failure: each folder of a partition that nobody named became a table."""
    places = [(f"region_{r}x", f"town_{r}_{t}") for r in range(25) for t in range(4)]
    lake = {f"meters/{r}/{t}/part-0.parquet": stock() for r, t in places}
    [table] = proposals(lake).tables
    assert (str(table.qualified_name), table.file_count, table.confidence.value) == (
        "meters",
        100,
        "low",
    )


def test_the_report_of_a_place_sums_up_its_files():
    lake = {"t/part-1.parquet": cities((1, 2)), "t/part-2.parquet": cities((3, 4), (5, 6))}
    [table] = proposals(lake).to_json()["tables"]
    place = {
        "column": "geometry",
        "encoding": "WKB",
        "crs": "OGC:CRS84",
        "edges": "planar",
        "types": ["Point"],
        "box-columns": None,
        "extent": [1.0, 2.0, 5.0, 6.0],
        "sources": {"native": 2},
        "unknown-files": 0,
    }
    assert (table["place"], table["geometry-columns"]) == (place, [place])


def test_a_million_other_objects_are_one_number():
    found = proposals({f"images/{number}.bin": b"png" for number in range(1500)})
    assert (len(found.skipped), found.skipped_count) == (1000, 1500)
