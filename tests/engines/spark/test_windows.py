"""Map windows in Spark and Sedona: what is read is counted at the store, and no row is missed."""

from uuid import uuid4

import pyarrow as pa
import pytest

from engines.spark.conftest import hadoop_settings
from support.engine_matrix import Capability, lacks, proves
from support.lake import RawFolder
from support.parquet_files import geo, parquet, point
from support.spark import (
    SEDONA_35,
    SEDONA_40,
    SPARK_35,
    SPARK_41,
    on_both_lines,
    on_both_sedonas,
    on_sampled_sedonas,
)

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]

AROUND_PARIS = "file_xmin <= 2.6 and file_xmax >= 2.1 and file_ymin <= 49.05 and file_ymax >= 48.7"
IN_PARIS = "ST_Intersects(ST_GeomFromWKB(geometry), ST_PolygonFromEnvelope(2.1, 48.7, 2.6, 49.05))"


@pytest.fixture
def world(spark, lake) -> str:
    """The shared lake, under a name of its own in this session."""
    spark.connect(lake.catalog, "places")
    return "places.world"


@pytest.fixture
def sedona_world(sedona, lake) -> str:
    sedona.connect(lake.catalog, "PLACES")
    return "PLACES.world"


@proves(SPARK_41, Capability.WINDOW, figure="opens 2 of 96 files, 1 of 7")
@proves(SPARK_35, Capability.WINDOW, figure="opens 2 of 96 files, 1 of 7")
@pytest.mark.parametrize(
    ("table", "side", "touched", "files"),
    [("cities_hilbert", "file", 2, 96), ("cities_by_continent", "bbox", 1, 7)],
)
@on_both_lines
def test_a_window_over_boxes_opens_only_files_that_it_touches_and_misses_no_row(
    spark, world, lake, meter, table, side, touched, files
):
    box = [("xmin", "<=", 2.6), ("xmax", ">=", 2.1), ("ymin", "<=", 49.05), ("ymax", ">=", 48.7)]

    def question(no_pruning: str) -> str:
        parts = [f"{side}_{end}{no_pruning} {sign} {value}" for end, sign, value in box]
        columns = "count(*), sum(population), min(name), max(name)"
        return f"select {columns} from {world}.{table} where {' and '.join(parts)}"

    with meter.measured(lake.root(table)) as window:
        found = spark.sql(question(""))
    with meter.measured(lake.root(table)) as everything:
        all_of_them = spark.sql(question(" + 0"))

    assert found == all_of_them
    assert found[0][0] > 100
    assert (window.reads.files, everything.reads.files) == (touched, files)


@proves(SEDONA_40, Capability.CONNECT, Capability.NAMES, Capability.READ, Capability.LIST)
@proves(SEDONA_35, Capability.CONNECT, Capability.NAMES, Capability.READ, Capability.LIST)
@on_both_sedonas
def test_sedona_reads_a_table_by_its_three_names(sedona, sedona_world, lake):
    rows = lake.rows["capitals"]
    name = f"{sedona_world}.capitals"

    assert sedona.python(f"result = sedona.table('{name}').count()") == rows
    assert sedona.python(f"result = len(sedona.sql('SELECT * FROM {name}').collect())") == rows
    assert sorted(name for _, name, _ in sedona.sql(f"show tables in {sedona_world}")) == sorted(
        lake.files
    )


@proves(SEDONA_40, Capability.NEW_CATALOG, figure="the text once more, no restart")
@proves(SEDONA_35, Capability.NEW_CATALOG, figure="the text once more, no restart")
@on_both_sedonas
def test_a_catalog_made_while_sedona_runs_is_read_by_its_three_names_at_once(sedona, server):
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert sedona.sql("show catalogs") != []
    made = server.new_catalog()
    pyiceberg = made.pyiceberg()
    pyiceberg.create_namespace("DB")
    written = pa.Table.from_pylist(rows)
    pyiceberg.create_table("DB.T", written.schema).append(written)
    sedona.connect(made, "CAT")

    assert sedona.python('result = sedona.table("CAT.DB.T").orderBy("id").collect()') == rows
    assert sedona.python('result = sedona.sql("SELECT * FROM CAT.DB.T").count()') == 2


@proves(SEDONA_40, Capability.WINDOW, Capability.SPATIAL, figure="opens 2 of 96 files")
@proves(SEDONA_35, Capability.WINDOW, Capability.SPATIAL, figure="opens 2 of 96 files")
@on_sampled_sedonas
def test_sedona_reads_only_files_in_the_window_and_finds_all_of_its_rows(
    sedona, sedona_world, lake, meter
):
    question = (
        f"select count(*), sum(geonameid) from {sedona_world}.cities_hilbert where {IN_PARIS}"
    )
    with meter.measured(lake.root("cities_hilbert")) as everything:
        all_of_them = sedona.sql(question)
    with meter.measured(lake.root("cities_hilbert")) as window:
        found = sedona.sql(f"{question} and {AROUND_PARIS}")

    assert found == all_of_them
    assert found[0][0] > 100
    assert everything.reads.files == 96
    assert window.reads.files == 2
    assert window.reads.bytes * 20 < everything.reads.bytes


A_PREDICATE_ALONE = {
    "capability": Capability.WINDOW,
    "limit": "a spatial predicate alone opens every file of an Iceberg table",
    "issue": "https://github.com/apache/sedona/pull/1830",
    "instead": "compare the box columns as well, or read the files that `…/files` lists",
}


@lacks(SEDONA_40, **A_PREDICATE_ALONE)
@lacks(SEDONA_35, **A_PREDICATE_ALONE)
@on_sampled_sedonas
def test_a_spatial_predicate_alone_opens_every_file(sedona, sedona_world, lake, meter):
    with meter.measured(lake.root("towns_lonlat")) as window:
        sedona.sql(
            f"select count(name) from {sedona_world}.towns_lonlat"
            " where ST_Intersects(ST_Point(longitude, latitude),"
            " ST_PolygonFromEnvelope(2.1, 48.7, 2.6, 49.05))"
        )
    assert window.reads.files == lake.files["towns_lonlat"] == 8


@proves(SEDONA_40, Capability.SPATIAL, Capability.CREATE, Capability.WRITE)
@proves(SEDONA_35, Capability.SPATIAL, Capability.CREATE, Capability.WRITE)
@on_sampled_sedonas
def test_sedona_writes_geometries_that_others_read(sedona, sedona_world):
    space = "lake.written_by_sedona"
    sedona.sql(f"create namespace {space}")
    sedona.sql(
        f"create table {space}.around using iceberg as select name,"
        " ST_AsBinary(ST_Buffer(ST_GeomFromWKB(geometry), 0.5)) as geometry"
        f" from {sedona_world}.capitals where country_code = 'FR'"
    )
    joined = sedona.sql(
        f"select count(*) from {sedona_world}.cities_by_continent c, {space}.around a"
        " where ST_Contains(ST_GeomFromWKB(a.geometry), ST_GeomFromWKB(c.geometry))"
        " and c.population > 1000000"
    )
    assert joined == [[1]]
    table = sedona.catalog.pyiceberg().load_table("written_by_sedona.around")
    assert table.scan().to_arrow().column("name").to_pylist() == ["Paris"]


@proves(
    SEDONA_35, Capability.WINDOW, figure="GeoParquet files that `…/files` lists, 2 of 16 opened"
)
def test_sedona_reads_the_geoparquet_files_that_our_list_names(sedona, server, http, meter):
    """Its GeoParquet source knows no Iceberg, and gets along with a list and vended credentials."""
    made = server.new_catalog()
    raw = RawFolder(server, made, http, f"geoparquet-{uuid4().hex[:8]}/")
    for i in range(16):
        places = [point(i * 10 + part, 0.5) for part in (0, 1, 2)]
        columns = {"id": pa.array([i] * 3, pa.int64()), "geometry": pa.array(places, pa.binary())}
        raw.put(f"roads/{i:02d}.parquet", parquet(columns, metadata=geo()))
    outcomes = raw.register(raw.scan(), namespace="found").json()["tables"]
    assert [outcome["error"] for outcome in outcomes] == [None]

    table = f"/api/v1/catalogs/{made.id}/namespaces/found/tables/roads"
    listed = http.get(f"{table}/files?bbox=31,0,41.5,1&format=paths").text.split()
    given = http.get(f"{made.base}/namespaces/found/tables/roads/credentials").json()
    options = hadoop_settings(given["storage-credentials"][0]["config"])
    with meter.measured(raw.prefix) as window:
        found = sedona.python(
            f"files = sedona.read.format('geoparquet').options(**{options}).load({listed})\n"
            "inside = 'ST_Intersects(geometry, ST_PolygonFromEnvelope(31D, 0D, 41.5D, 1D))'\n"
            "rows = files.where(inside).selectExpr('ST_X(geometry) x').orderBy('x').collect()\n"
            "result = [row['x'] for row in rows]"
        )
    assert found == [31.0, 32.0, 40.0, 41.0]
    assert window.reads.files == len(listed) == 2
