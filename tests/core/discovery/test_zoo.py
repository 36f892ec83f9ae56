"""A small zoo of lakes: what lies there, and what must be made of it."""

import pyarrow as pa
import pytest

from graticule.discovery.grouping import StoredObject, group
from graticule.discovery.proposing import propose
from graticule.domain.errors import UnreadableFile
from graticule.storage.parquet import compute_boxes, inspect
from support.parquet_files import Ranges, boxes, covering, geo, native, parquet, point

GEOMETRY = parquet({"id": pa.array([1]), "geometry": native([point(1, 2)])})
ROADS = parquet({"lanes": pa.array([2]), "surface": pa.array(["gravel"])})
PLAIN = parquet({"id": pa.array([1]), "name": pa.array(["a"])})
WIDER = parquet({"id": pa.array([1]), "name": pa.array(["a"]), "extra": pa.array([1.5])})
NARROW = parquet({"id": pa.array([1], pa.int32()), "name": pa.array(["a"])})
TEXT_ID = parquet({"id": pa.array(["x"]), "name": pa.array(["a"])})
YEARLY = parquet({"id": pa.array([1]), "year": pa.array([2020], pa.int32())})
LONLAT = parquet({"lon": pa.array([7.4]), "lat": pa.array([46.9])})
PROJECTED = parquet({"x": pa.array([600_000.0]), "y": pa.array([200_000.0])})
COVERED = parquet(
    {"geometry": pa.array([point(1, 2)]), "bbox": boxes([(1, 2, 1, 2)])},
    metadata=geo(covering=covering()),
)
UNDECLARED = parquet({"geom": pa.array([point(1, 2)])})
NULLS = parquet({"id": pa.array([1]), "name": pa.nulls(1)})
NO_ROWS = parquet({"id": pa.array([], pa.int64()), "geometry": native([])})


def proposals(lake, **options):
    grouping = group(StoredObject(key, len(data)) for key, data in lake.items())
    inspections = {}
    for candidate in grouping.candidates:
        for file in candidate.files:
            data = lake[file.object.key]
            try:
                found = inspect(Ranges(data), len(data))
                inspections[file.object.key] = compute_boxes(Ranges(data), len(data), found)
            except UnreadableFile as error:
                inspections[file.object.key] = error.message
    return propose(grouping, inspections, **options)


def summary(found):
    """Name, root, file names, partition columns, place and confidence of each table."""
    return [
        (
            table.name,
            table.root,
            [file.key.removeprefix(table.root) for file in table.files],
            [(column.name, column.type) for column in table.hive_columns],
            table.place and (table.place.column or "lon/lat"),
            table.confidence.value,
        )
        for table in found.tables
    ]


ZOO = {
    "one file is a table named after it": (
        {"places/airports.parquet": GEOMETRY},
        [("airports", "places/airports.parquet", [""], [], "geometry", "high")],
        [],
    ),
    "one file with a made-up name is named after its folder": (
        {"places/part-00000.parquet": GEOMETRY},
        [("places", "places/", ["part-00000.parquet"], [], "geometry", "high")],
        [],
    ),
    "a folder of files of one schema is a table": (
        {f"cities/part-{n}.parquet": GEOMETRY for n in range(3)},
        [("cities", "cities/", [f"part-{n}.parquet" for n in range(3)], [], "geometry", "high")],
        [],
    ),
    "files at the very root take the name of what was scanned": (
        {"part-0.parquet": PLAIN, "part-1.parquet": PLAIN},
        [("lake", "", ["part-0.parquet", "part-1.parquet"], [], None, "high")],
        [],
    ),
    "partition folders are one table above the first of them": (
        {
            "events/year=2020/month=01/a.parquet": PLAIN,
            "events/year=2021/month=12/a.parquet": PLAIN,
        },
        [
            (
                "events",
                "events/",
                ["year=2020/month=01/a.parquet", "year=2021/month=12/a.parquet"],
                [("year", "int"), ("month", "int")],
                None,
                "high",
            )
        ],
        [],
    ),
    "a null partition is a value like any other": (
        {
            "t/c=EU/a.parquet": PLAIN,
            "t/c=__HIVE_DEFAULT_PARTITION__/a.parquet": PLAIN,
        },
        [
            (
                "t",
                "t/",
                ["c=EU/a.parquet", "c=__HIVE_DEFAULT_PARTITION__/a.parquet"],
                [("c", "string")],
                None,
                "high",
            )
        ],
        [],
    ),
    "a partition column that the files hold keeps the type of the files": (
        {"t/year=2020/a.parquet": YEARLY},
        [("t", "t/", ["year=2020/a.parquet"], [("year", "int")], None, "high")],
        [],
    ),
    "folder names that do not fit the column of the files are no partition": (
        {"t/year=none/a.parquet": YEARLY},
        [("t", "t/", ["year=none/a.parquet"], [], None, "medium")],
        [],
    ),
    "nested folders are tables of their own": (
        {"a/x.parquet": PLAIN, "a/b/y.parquet": PLAIN, "a/b/c/z.parquet": PLAIN},
        [
            ("x", "a/x.parquet", [""], [], None, "high"),
            ("y", "a/b/y.parquet", [""], [], None, "high"),
            ("z", "a/b/c/z.parquet", [""], [], None, "high"),
        ],
        [],
    ),
    "files beside partition folders are another table": (
        {"t/c=1/a.parquet": PLAIN, "t/loose.parquet": PLAIN},
        [
            ("loose", "t/loose.parquet", [""], [], None, "high"),
            ("t", "t/", ["c=1/a.parquet"], [("c", "int")], None, "high"),
        ],
        [],
    ),
    "files of different schemas in one folder are different tables": (
        {"world/cities.parquet": GEOMETRY, "world/roads.parquet": ROADS},
        [
            ("cities", "world/cities.parquet", [""], [], "geometry", "high"),
            ("roads", "world/roads.parquet", [""], [], None, "high"),
        ],
        [],
    ),
    "one odd file is torn from its folder": (
        {"w/a1.parquet": PLAIN, "w/a2.parquet": PLAIN, "w/other.parquet": ROADS},
        [
            ("w", "w/", ["a1.parquet", "a2.parquet"], [], None, "low"),
            ("other", "w/other.parquet", [""], [], None, "high"),
        ],
        [],
    ),
    "columns may be missing": (
        {"t/1.parquet": PLAIN, "t/2.parquet": WIDER},
        [("t", "t/", ["1.parquet", "2.parquet"], [], None, "medium")],
        [],
    ),
    "int and long fit together": (
        {"t/1.parquet": PLAIN, "t/2.parquet": NARROW},
        [("t", "t/", ["1.parquet", "2.parquet"], [], None, "medium")],
        [],
    ),
    "what breaks the schema of partition folders is reported": (
        {"t/c=1/a.parquet": PLAIN, "t/c=2/a.parquet": PLAIN, "t/c=3/a.parquet": TEXT_ID},
        [("t", "t/", ["c=1/a.parquet", "c=2/a.parquet"], [("c", "int")], None, "high")],
        [
            (
                "t/c=3/a.parquet",
                "does not fit the others: column `id` is long in one file and string in another",
            )
        ],
    ),
    "longitudes and latitudes are places": (
        {"stops/1.parquet": LONLAT, "stops/2.parquet": LONLAT},
        [("stops", "stops/", ["1.parquet", "2.parquet"], [], "lon/lat", "medium")],
        [],
    ),
    "metres are no longitudes": (
        {"stops.parquet": PROJECTED},
        [("stops", "stops.parquet", [""], [], None, "high")],
        [],
    ),
    "junk is passed over, and what might be missed is reported": (
        {
            "t/part-0.parquet": GEOMETRY,
            "t/_SUCCESS": b"",
            "t/.part-0.parquet.crc": b"crc",
            "t/_temporary/0/x.parquet": GEOMETRY,
            "t/notes.txt": b"hello",
            "t/empty.parquet": b"",
            "t/cut.parquet": GEOMETRY[:-9],
        },
        [("t", "t/", ["part-0.parquet"], [], "geometry", "high")],
        [
            ("t/empty.parquet", "empty"),
            ("t/notes.txt", "not a Parquet file"),
            ("t/cut.parquet", "it does not end like a Parquet file"),
        ],
    ),
    "tables of other formats are recognised and left alone": (
        {
            "ice/metadata/00000-a.metadata.json": b"{}",
            "ice/data/x.parquet": PLAIN,
            "delta/_delta_log/0.json": b"{}",
            "delta/part-0.parquet": PLAIN,
            "delta2/part-0.parquet": PLAIN,
        },
        [("delta2", "delta2/", ["part-0.parquet"], [], None, "high")],
        [
            ("delta/", "is a Delta Lake table"),
            ("ice/", "is an Iceberg table; register its metadata file"),
        ],
    ),
    "bytes that turn out to be geometries are a place": (
        {"shapes.parquet": UNDECLARED},
        [("shapes", "shapes.parquet", [""], [], "geom", "high")],
        [],
    ),
    "files without rows belong to their folder": (
        {"t/0.parquet": NO_ROWS, "t/1.parquet": GEOMETRY},
        [("t", "t/", ["0.parquet", "1.parquet"], [], "geometry", "high")],
        [],
    ),
    "columns of nulls fit any type": (
        {"t/0.parquet": NULLS, "t/1.parquet": PLAIN},
        [("t", "t/", ["0.parquet", "1.parquet"], [], None, "high")],
        [],
    ),
    "the same name twice is told apart by the folder above": (
        {"de/roads/part-0.parquet": ROADS, "fr/roads/part-0.parquet": ROADS},
        [
            ("roads", "de/roads/", ["part-0.parquet"], [], None, "high"),
            ("fr_roads", "fr/roads/", ["part-0.parquet"], [], None, "high"),
        ],
        [],
    ),
}


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo(name):
    lake, tables, skipped = ZOO[name]
    found = proposals(lake, root_name="lake")
    assert summary(found) == tables
    assert [(entry.key, entry.reason) for entry in found.skipped] == skipped
    assert found.skipped_count == len(skipped)


def test_the_order_of_a_listing_does_not_matter():
    lake = {key: data for animals in ZOO.values() for key, data in animals[0].items()}
    backwards = dict(reversed(lake.items()))
    assert proposals(lake) == proposals(backwards)


def test_sources_are_the_folder_or_the_few_files_of_a_shared_one():
    lake = {
        "one.parquet": PLAIN,
        "t/1.parquet": ROADS,
        "t/2.parquet": ROADS,
        "t/data_1.parquet": PLAIN,
        "u/1.parquet": PLAIN,
        "u/2.parquet": PLAIN,
    }
    assert [table.sources for table in proposals(lake).tables] == [
        ("one.parquet",),
        ("t/1.parquet", "t/2.parquet"),
        ("t/data_1.parquet",),
        ("u/",),
    ]


def test_the_place_of_a_table_sums_up_its_files():
    (table,) = proposals({"t/1.parquet": COVERED, "t/2.parquet": COVERED}).tables
    assert table.to_json()["place"] == {
        "column": "geometry",
        "encoding": "WKB",
        "crs": "OGC:CRS84",
        "edges": "planar",
        "types": [],
        "box-columns": {side: f"bbox.{side}" for side in ("xmin", "ymin", "xmax", "ymax")},
        "extent": [1.0, 2.0, 1.0, 2.0],
        "sources": {"covering": 2},
        "unknown-files": 0,
    }


def test_a_million_other_objects_are_one_number():
    lake = {f"images/{number}.png": b"png" for number in range(1500)}
    found = proposals(lake)
    assert (len(found.skipped), found.skipped_count) == (1000, 1500)
