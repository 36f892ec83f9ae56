"""ClickHouse in a Python process, on vended credentials."""

import pyarrow as pa
import pytest

from engines.conftest import AROUND_PARIS, IN_PARIS, PARIS
from support.engine_list import CHDB
from support.engine_matrix import Capability, lacks, proves
from support.parquet_files import point

BOX = "bbox_xmin <= 2.6 and bbox_xmax >= 2.1 and bbox_ymin <= 49.05 and bbox_ymax >= 48.7"
ROWS = """
def rows(query):
    return json.loads(ch.query(query, "JSONCompact").data())["data"]
"""


@pytest.fixture
def chdb(python):
    """Runs statements behind the printed text; `rows(query)` is there for them."""
    return lambda catalog, statements: python(CHDB, catalog, ROWS + statements)


@proves(CHDB, Capability.CONNECT, Capability.LIST, Capability.READ)
def test_it_lists_and_reads_what_is_there(chdb, lake):
    told = chdb(
        lake.catalog,
        f"""
from importlib.metadata import version
result([
    version("chdb"),
    sorted(name for (name,) in rows("show tables from places")),
    rows("select count(), sum(geonameid) from places.`world.cities_by_continent` where {BOX}"),
])
""",
    )
    assert told[0] == CHDB.version
    assert told[1] == [f"world.{name}" for name in sorted(lake.files)]
    assert [int(value) for value in told[2][0]] == [*IN_PARIS]


WINDOW = "2 of 96 files"


@proves(CHDB, Capability.WINDOW, figure=f"{WINDOW} of `cities_hilbert`")
def test_a_map_window_reads_only_the_files_it_may_touch(chdb, lake, meter):
    with meter.measured(lake.root("cities_hilbert/")) as measured:
        told = chdb(
            lake.catalog,
            f"""
result(rows("select toInt32(count(name)) from places.`world.cities_hilbert` where {AROUND_PARIS}"))
""",
        )
    assert told == [[4894]]
    assert f"{measured.reads.files} of 96 files" == WINDOW


@proves(CHDB, Capability.SPATIAL, figure="`readWKB` and polygons, on WKB")
def test_spatial_sql_on_wkb(chdb, catalog):
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("ns")
    places = [point(2.35, 48.86), point(13.4, 52.52)]
    rows = pa.table({"id": pa.array([1, 2], pa.int64()), "geometry": pa.array(places, pa.binary())})
    pyiceberg.create_table("ns.g", rows.schema).append(rows)
    west, south, east, north = PARIS
    paris = [(west, south), (east, south), (east, north), (west, north)]
    told = chdb(
        catalog,
        f"""
result(rows(
    "select toInt32(id) from places.`ns.g`"
    " where pointInPolygon(readWKBPoint(assumeNotNull(geometry)), {paris})"
))
""",
    )
    assert told == [[1]]


@lacks(
    CHDB,
    Capability.READ,
    "refuses columns with the Parquet type GEOMETRY; the others of the same file it reads",
    instead="register files whose WKB has no such type",
)
def test_it_does_not_read_columns_with_the_geometry_type(chdb, lake):
    told = chdb(
        lake.catalog,
        """
try:
    ch.query("select max(geometry) from places.`world.capitals`")
except Exception as error:
    result(str(error))
""",
    )
    assert "Unexpected logical/converted type" in told


@proves(CHDB, Capability.WRITE, Capability.ROW_DELETES, Capability.SCHEMA, Capability.TIME_TRAVEL)
@proves(CHDB, Capability.VENDED)
def test_it_changes_a_table_that_pyiceberg_made(chdb, catalog, meter):
    before = len(meter.seen.secrets)
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("ns")
    three = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", "c"]})
    table = pyiceberg.create_table("ns.t", three.schema)
    table.append(three)
    first = table.metadata.current_snapshot_id
    told = chdb(
        catalog,
        f"""
ch.query("insert into places.`ns.t` values (4, 'd')")
ch.query("alter table places.`ns.t` delete where id = 2")
ch.query("alter table places.`ns.t` rename column name to label")
result([
    rows("select toInt32(id), label from places.`ns.t` order by id"),
    rows("select toInt32(count(id)) from places.`ns.t` settings iceberg_snapshot_id = {first}"),
])
""",
    )
    assert told == [[[1, "a"], [3, "c"], [4, "d"]], [[3]]]
    assert sorted(pyiceberg.load_table("ns.t").scan().to_arrow()["id"].to_pylist()) == [1, 3, 4]
    assert len(meter.seen.secrets) > before


@lacks(
    CHDB,
    Capability.CREATE,
    "`CREATE TABLE` wants a store's address and keys, and takes none from the catalog",
    instead="make tables with PyIceberg, and fill them here",
)
def test_it_makes_no_table_by_what_the_catalog_says(chdb, catalog):
    catalog.pyiceberg().create_namespace("ns")
    told = chdb(
        catalog,
        """
told = []
for engine in ("", "engine = IcebergS3()"):
    try:
        ch.query(f"create table places.`ns.made` (id Int64) {engine}")
    except Exception as error:
        told.append(str(error))
result(told)
""",
    )
    assert "MergeTree storages require data path" in told[0]
    assert "Storage S3 requires 1 to" in told[1]


@lacks(
    CHDB,
    Capability.NAMES,
    "a database of ClickHouse's has no schemas in it",
    instead="write the last two as one name: places.`namespace.table`",
)
def test_a_table_has_two_names(chdb, lake):
    told = chdb(
        lake.catalog,
        """
try:
    ch.query("select count() from places.world.capitals")
except Exception as error:
    result(str(error))
""",
    )
    assert "Syntax error" in told


@lacks(
    CHDB,
    Capability.DROP,
    "leaves the catalog's prefix out of the URL when it drops a table: works only where a server"
    " has one catalog",
    issue="https://github.com/ClickHouse/ClickHouse/issues/112234",
    instead="drop tables with another engine",
)
def test_it_drops_no_table_where_there_are_several_catalogs(chdb, catalog):
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("ns")
    pyiceberg.create_table("ns.t", pa.schema([("id", pa.int64())]))
    told = chdb(
        catalog,
        """
try:
    ch.query("drop table places.`ns.t`")
except Exception as error:
    result(str(error))
""",
    )
    assert "there are several" in told
    assert pyiceberg.list_tables("ns") == [("ns", "t")]
