"""Layouts by where the rows lie: every way in which geometries are stored, and pairs of numbers."""

import json

import pyarrow as pa

from support.parquet_files import (
    boxes,
    covering,
    ewkb_point,
    geo,
    native,
    parquet,
    point,
)
from support.zoo.layout import Layout, Table, fixed, ids

LV95 = {"id": {"authority": "EPSG", "code": 2056}}
CAST = "Unimplemented type for cast|GEOMETRY|BLOB"
"""DuckDB reads WKB with GeoParquet metadata as geometry, and cannot cast that to binary."""


def wkb(metadata=None, **more) -> bytes:
    columns = {"id": ids(), "geometry": pa.array([point(7.4, 46.9)]), **more}
    return parquet(columns, metadata=metadata)


def geoarrow_points() -> bytes:
    coordinates = pa.array([{"x": 7.4, "y": 46.9}])
    metadata = geo(encoding="point", geometry_types=["Point"])
    return parquet({"id": ids(), "geometry": coordinates}, metadata=metadata)


def two_geometries() -> bytes:
    columns = {"centroid": geo("centroid")["columns"]["centroid"], **geo()["columns"]}
    metadata = {"version": "1.1.0", "primary_column": "geometry", "columns": columns}
    return wkb(metadata, centroid=pa.array([point(7, 46)]))


def one(name, data, place="", duckdb_refuses="", **expected) -> Layout:
    table = Table("t", ("t.parquet",), 1, place=place, **expected)
    return Layout(name, fixed({"t.parquet": data}), (table,), duckdb_refuses=duckdb_refuses)


LAYOUTS = [
    one("GeoParquet 1.0", wkb(geo() | {"version": "1.0.0"}), "geometry WKB OGC:CRS84", CAST),
    one(
        "GeoParquet 1.1 with a covering",
        wkb(geo(covering=covering()), bbox=boxes([(7.4, 46.9, 7.4, 46.9)])),
        "geometry WKB OGC:CRS84",
        CAST,
    ),
    one(
        "GeoParquet 2.0",
        parquet(
            {"id": ids(), "geometry": native([point(7.4, 46.9)])},
            metadata=geo() | {"version": "2.0.0-dev"},
        ),
        "geometry WKB OGC:CRS84",
    ),
    one(
        "the Parquet type GEOMETRY alone",
        parquet({"id": ids(), "shape": native([point(7.4, 46.9)])}),
        "shape WKB OGC:CRS84",
    ),
    one(
        "GeoArrow",
        geoarrow_points(),
        "geometry point OGC:CRS84",
        because=("column `geometry` is encoded as GeoArrow `point`",),
    ),
    one(
        "a projected reference system",
        wkb(geo(crs=LV95)),
        "geometry WKB EPSG:2056",
    ),
    one(
        "no reference system",
        wkb(geo(crs=None)),
        "geometry WKB None",
        because=("the reference system of `geometry` is not known",),
    ),
    one(
        "longitudes from 0 to 360",
        parquet({"id": ids(), "geometry": native([point(200, 10)])}),
        "geometry WKB OGC:CRS84",
        because=("longitudes go on to 200: they count from 0 to 360",),
    ),
    one(
        "metres that claim to be degrees",
        parquet({"id": ids(), "geometry": native([point(2_600_000, 1_200_000)])}),
        "geometry WKB None",
        because=("coordinates are no degrees, although the CRS is OGC:CRS84",),
    ),
    one(
        "several geometry columns",
        two_geometries(),
        "geometry WKB OGC:CRS84",
        CAST,
        because=("searched by `geometry`, not by `centroid`",),
    ),
    one(
        "longitude and latitude",
        parquet({"id": ids(), "lon": [7.4], "lat": [46.9]}),
        "lon/lat lonlat OGC:CRS84",
        confidence="medium",
        because=("positions in `lon` and `lat`, by their names and ranges",),
    ),
    one(
        "metres are no longitudes",
        parquet({"id": ids(), "x": [6e5], "y": [2e5]}),
        because=("`x` and `y` hold other numbers than longitudes and latitudes",),
    ),
    one(
        "swapped positions are none",
        parquet({"id": ids(), "lon": [46.9], "lat": [107.4]}),
        because=("`lon` and `lat` look swapped",),
    ),
    one(
        "positions without statistics are none",
        parquet({"id": ids(), "lon": [7.4], "lat": [46.9]}, write_statistics=False),
        because=("statistics do not say where `lon` and `lat` lie",),
    ),
    Layout(
        "positions that some files do not have are none",
        fixed(
            {
                "t/part-0.parquet": parquet({"id": [1], "lon": [7.4], "lat": [46.9]}),
                "t/part-1.parquet": parquet({"id": [1], "lon": [7.4], "lat": [-500.0]}),
                "t/part-2.parquet": parquet({"id": [1]}),
            }
        ),
        (
            Table(
                "t",
                tuple(f"t/part-{number}.parquet" for number in range(3)),
                3,
                confidence="medium",
                because=(
                    "hold other numbers than longitudes and latitudes: no positions (in 1 of 3",
                    "no positions to search by: 2 of 3 files lack them",
                ),
            ),
        ),
    ),
    one(
        "bytes that nobody declares",
        parquet({"id": ids(), "geom": pa.array([point(7.4, 46.9)])}),
        "geom WKB None",
        because=("column `geom` is declared nowhere: a look into its first file shows WKB",),
    ),
    one(
        "the bytes of PostGIS",
        parquet({"id": ids(), "geom": pa.array([ewkb_point(7.4, 46.9)])}),
        "geom EWKB EPSG:4326",
        because=("column `geom` is declared nowhere: a look into its first file shows EWKB",),
    ),
    one(
        "geometries as text",
        parquet({"id": ids(), "wkt": ["POINT (7.4 46.9)"]}),
        "wkt WKT None",
        because=("column `wkt` holds geometries as WKT: engines see text",),
    ),
    one(
        "geometries as text in hexadecimal",
        parquet({"id": ids(), "geom": [point(7.4, 46.9).hex()]}),
        "geom hex WKB None",
        because=("column `geom` holds geometries as hex WKB: engines see text",),
    ),
    one(
        "geometries as GeoJSON",
        parquet({"id": ids(), "geom": ['{"type": "Point", "coordinates": [7.4, 46.9]}']}),
        "geom GeoJSON OGC:CRS84",
        because=("column `geom` holds geometries as GeoJSON: engines see text",),
    ),
    Layout(
        "files that disagree on their reference system",
        fixed({"t/part-0.parquet": wkb(geo(crs=LV95)), "t/part-1.parquet": wkb(geo())}),
        (
            Table(
                "t",
                ("t/part-0.parquet", "t/part-1.parquet"),
                2,
                place="geometry WKB None",
                confidence="medium",
                because=("files differ in their reference system (EPSG:2056, OGC:CRS84)",),
            ),
        ),
        duckdb_refuses=CAST,
    ),
    one(
        "broken GeoParquet metadata",
        wkb("{"),
        "geometry WKB None",
    ),
    one(
        "metadata of a column that is not there",
        parquet({"id": ids()}, metadata=json.dumps(geo("shape"))),
    ),
]
