"""ClickHouse in a Python process.  On a store with an endpoint it has the store owner's keys."""

import pyarrow as pa
import pytest

from engines.conftest import AROUND_PARIS, IN_PARIS
from support.engine_list import CHDB
from support.engine_matrix import Capability, lacks, proves
from support.engine_runs import connect_text

BOX = "bbox_xmin <= 2.6 and bbox_xmax >= 2.1 and bbox_ymin <= 49.05 and bbox_ymax >= 48.7"
ROWS = """
def rows(query):
    return json.loads(ch.query(query, "JSONCompact").data())["data"]
"""


@pytest.fixture
def chdb(runner, server):
    """Runs statements behind the printed text; `rows(query)` is there for them."""

    def run(catalog, statements, *, text=None):
        owner = server.store.admin_keys
        variables = {
            "AWS_ACCESS_KEY_ID": owner.access_key_id,
            "AWS_SECRET_ACCESS_KEY": owner.secret_access_key.reveal(),
        }
        return runner.python(
            "engines",
            text or connect_text(catalog, "chdb"),
            ROWS + statements,
            variables=variables,
        ).result

    return run


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


@proves(CHDB, Capability.WRITE, Capability.ROW_DELETES, Capability.SCHEMA, Capability.TIME_TRAVEL)
def test_it_changes_a_table_that_pyiceberg_made(chdb, catalog):
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


@lacks(
    CHDB,
    Capability.VENDED,
    "joins a vended endpoint and a location into a path that is not there",
    issue="https://github.com/ClickHouse/ClickHouse/issues/93283",
    instead="on AWS nothing, there is no endpoint; elsewhere give it keys of its own,"
    " as the text does",
)
def test_with_an_endpoint_it_takes_no_vended_credential(chdb, lake):
    text = connect_text(lake.catalog, "chdb")
    own_keys = ("AWS_ACCESS_KEY_ID", "storage_endpoint")
    vended = [line for line in text.splitlines() if not any(word in line for word in own_keys)]
    told = chdb(
        lake.catalog,
        """
try:
    rows("select count(name) from places.`world.capitals`")
except Exception as error:
    result(str(error))
""",
        text="\n".join(vended),
    )
    assert "404" in told


@lacks(
    CHDB,
    Capability.DROP,
    "leaves the catalog's prefix out of the URL when it drops a table: works only where a server"
    " has one catalog",
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
