"""Layouts of other formats, of tables that are there already, and of files that cannot be read."""

import pyarrow as pa

from support.parquet_files import parquet
from support.zoo.iceberg_tables import iceberg_table
from support.zoo.layout import Layout, Objects, Table, cities, fixed, ids, plain, stock

GOOD = plain()
FOOTER_BYTES = int.from_bytes(GOOD[-8:-4], "little")
LONG_CLAIM = GOOD[:-8] + (2**30).to_bytes(4, "little") + b"PAR1"
DAMAGED = GOOD[: -8 - FOOTER_BYTES] + bytes(FOOTER_BYTES) + GOOD[-8:]


def two_versions(location: str) -> Objects:
    """The newest has ten in its name, which sorts before nine as text."""
    table = iceberg_table(f"{location}/ice", {"data/0.parquet": stock(3)})
    newest = table.pop("metadata/v1.metadata.json")
    objects = {f"ice/{key}": data for key, data in table.items()}
    return objects | {
        "ice/metadata/v9.metadata.json": b"an older file, which nobody reads",
        "ice/metadata/v10.metadata.json": newest,
    }


def hinted(location: str) -> Objects:
    table = iceberg_table(f"{location}/ice", {"data/0.parquet": stock(2)})
    objects = {f"ice/{key}": data for key, data in table.items()}
    return objects | {
        "ice/metadata/v2.metadata.json": b"a commit that was never finished",
        "ice/metadata/version-hint.text": b"1",
    }


def moved(location: str) -> Objects:
    table = iceberg_table(f"{location}/elsewhere", {"data/0.parquet": stock()})
    return {f"ice/{key}": data for key, data in table.items()}


def broken(location: str) -> Objects:
    del location
    return {"ice/metadata/v1.metadata.json": b"{", "ice/data/0.parquet": stock()}


LAYOUTS = [
    Layout("the newest metadata file of an Iceberg table", two_versions, existing={"ice": 3}),
    Layout("an Iceberg table with a version hint", hinted, existing={"ice": 2}),
    Layout(
        "a copy of an Iceberg table that describes another place",
        moved,
        skipped={"ice/": "is an Iceberg table that cannot be registered: its metadata say that it"},
    ),
    Layout(
        "an Iceberg table that is broken",
        broken,
        skipped={"ice/": "is an Iceberg table that cannot be registered: "},
    ),
    Layout(
        "Delta, Hudi, Lance, Zarr and Paimon are left alone",
        fixed(
            {
                "delta/_delta_log/00000000000000000000.json": b"{}",
                "delta/part-0.parquet": plain(),
                "delta/year=2020/part-0.parquet": plain(),
                "hudi/.hoodie/hoodie.properties": b"x",
                "hudi/a.parquet": plain(),
                "t.lance/_versions/1.manifest": b"x",
                "t.lance/data/a.lance": b"x",
                "cube.zarr/.zgroup": b"{}",
                "cube.zarr/t2m/.zarray": b"{}",
                "paimon/schema/schema-0": b"{}",
                "paimon/bucket-0/data-1.parquet": plain(),
                "delta2/part-0.parquet": plain(),
            }
        ),
        (Table("delta2", ("delta2/part-0.parquet",), 2),),
        skipped={
            "delta/": "is a Delta Lake table",
            "hudi/": "is a Hudi table",
            "t.lance/": "is a Lance dataset",
            "cube.zarr/": "is a Zarr array",
            "paimon/": "is a Paimon table",
        },
    ),
    Layout(
        "other files of places are offered for conversion",
        fixed(
            {
                "gis/rivers.shp": b"x",
                "gis/rivers.dbf": b"x",
                "gis/rivers.shx": b"x",
                "gis/rivers.prj": b"x",
                "gis/lakes.SHP": b"x",
                "gis/world.gpkg": b"x",
                "gis/cities.geojson": b"{}",
                "gis/trees.fgb": b"x",
                "sensors/part-0.csv": b"lon,lat\n1,2\n",
                "sensors/part-1.csv": b"lon,lat\n1,2\n",
                "photo.tif": b"II*",
                "old.orc": b"ORC",
            }
        ),
        convertible={
            "gis.rivers": "Shapefile",
            "gis.lakes": "Shapefile",
            "gis.world": "GeoPackage",
            "gis.cities": "GeoJSON",
            "gis.trees": "FlatGeobuf",
            "sensors": "CSV",
        },
        skipped={"photo.tif": "an image, no table", "old.orc": "an ORC file"},
    ),
    Layout(
        "files that are broken are reported one by one and the rest is a table",
        fixed(
            {
                "t/part-0.parquet": cities(),
                "t/part-1.parquet": GOOD[: len(GOOD) // 2],
                "t/part-2.parquet": b"id,name\n1,a\n" * 9,
                "t/part-3.parquet": GOOD[:-4] + b"PARE",
                "t/part-4.parquet": b"PAR1",
                "t/part-5.parquet": LONG_CLAIM,
                "t/part-6.parquet": DAMAGED,
                "t/part-7.parquet": b"",
                "t/part-8.parquet": bytes(200),
            }
        ),
        (
            Table(
                "t",
                ("t/part-0.parquet",),
                1,
                place="geometry WKB OGC:CRS84",
                confidence="medium",
                because=("left out, since unreadable: 7 files",),
            ),
        ),
        skipped={
            "t/part-1.parquet": "it does not end like a Parquet file",
            "t/part-2.parquet": "it does not end like a Parquet file",
            "t/part-3.parquet": "the footer is encrypted",
            "t/part-4.parquet": "4 bytes are too few for a Parquet file",
            "t/part-5.parquet": "its footer claims 1073741824 bytes",
            "t/part-6.parquet": "its footer",
            "t/part-7.parquet": "empty",
            "t/part-8.parquet": "it does not end like a Parquet file",
        },
    ),
    Layout(
        "a folder where nothing can be read is no table",
        fixed({"t/part-0.parquet": b"x" * 99, "t/part-1.parquet": b"y" * 99}),
        skipped={
            "t/part-0.parquet": "it does not end like a Parquet file",
            "t/part-1.parquet": "it does not end like a Parquet file",
        },
    ),
    Layout(
        "a file of nothing but columns that Iceberg lacks is reported",
        fixed({"t.parquet": parquet({"big": pa.array([1], pa.uint64())})}),
        skipped={"t.parquet": "without a column that Iceberg has a type for"},
    ),
    Layout(
        "an empty bucket is an empty report",
        fixed({}),
    ),
    Layout(
        "objects with the names of folders and of relatives are passed over",
        fixed({"t/part-0.parquet": parquet({"id": ids()}), "t/": b"", "marker/": b""}),
        (Table("t", ("t/part-0.parquet",), 1),),
    ),
]
