"""Format v3's own geometry columns in Spark 4.1, which has them behind a switch."""

import struct

import pytest

from support.duck import attached
from support.engine_matrix import Capability, proves
from support.spark import SPARK_41

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]

PLACES = {1: (2.35, 48.86), 2: (-77.03, -12.05), 3: (139.69, 35.69)}


def wkb(x: float, y: float) -> str:
    return struct.pack("<BI2d", 1, 1, x, y).hex()


@proves(SPARK_41, Capability.SPATIAL, figure="v3 geometry columns, no predicates of its own")
def test_geometry_columns_of_format_3_are_written_and_read(newest):
    newest.set("spark.sql.geospatial.enabled", "true")
    newest.sql("create namespace lake.v3")
    table = _with_places(newest, "lake.v3.places")

    rows = newest.sql(f"select id, st_asbinary(geom), st_srid(geom) from {table} order by id")
    assert rows == [[i, wkb(x, y), 4326] for i, (x, y) in PLACES.items()]
    duck = attached(newest.catalog)
    text = duck.execute("select id, ST_AsText(geom) from lake.v3.places order by id").fetchall()
    duck.close()
    assert text == [(i, f"POINT ({x} {y})") for i, (x, y) in PLACES.items()]


@proves(SPARK_41, Capability.WINDOW, figure="our file lists prune v3 geometries that it wrote")
def test_files_of_geometries_that_spark_wrote_are_found_by_their_boxes(newest):
    """Iceberg 1.12 writes no bounds for them; the server reads the footers."""
    newest.set("spark.sql.geospatial.enabled", "true")
    newest.sql("create namespace lake.boxed")
    table = _with_places(newest, "lake.boxed.places")
    assert newest.sql(f"select count(upper_bounds[2]), count(*) from {table}.files") == [[0, 3]]

    with newest.catalog.server.http() as http:
        files = f"/api/v1/catalogs/{newest.catalog.id}/namespaces/boxed/tables/places/files"
        found = http.get(f"{files}?bbox=2,48,3,49").json()
    assert [file["boxes"] for file in found["files"]] == [[[2.35, 48.86, 2.35, 48.86]]]
    assert found["totals"]["files"] == 3


def _with_places(session, table: str) -> str:
    """A table of one file for each place."""
    session.sql(
        f"create table {table} (id bigint, geom geometry(4326)) using iceberg"
        " tblproperties ('format-version'='3')"
    )
    for i, (x, y) in PLACES.items():
        session.sql(
            f"insert into {table} select {i}, st_setsrid(st_geomfromwkb(X'{wkb(x, y)}'), 4326)"
        )
    return table
