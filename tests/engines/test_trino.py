"""A Trino server whose catalog is the printed file."""

import socket

import pytest

from engines.conftest import AROUND_PARIS, outlive
from support.engine_list import TRINO
from support.engine_matrix import Capability, lacks, proves
from support.engine_runs import connect_text
from support.trino import QueryFailed, running

pytestmark = [pytest.mark.timeout(320)]


@pytest.fixture(scope="module")
def trino(tmp_path_factory, lake, server, meter):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("trino")
    files = {"catalog/places.properties": connect_text(lake.catalog, "trino")}
    credential = server.key.credential
    with running(folder, port, files, GRATICULE_CREDENTIAL=credential) as trino:
        yield trino
        log = trino.log
    secrets = {credential.partition(":")[2], *meter.seen.secrets}
    assert [secret[:4] for secret in secrets if secret in log] == []


@pytest.fixture
def mine(trino, catalog):
    """A catalog of the test's own, with a schema `ns`, by the lines of the printed file."""
    yield created(trino, catalog)
    trino("drop catalog mine")


def created(trino, catalog, *, literal_credential=False):
    text = connect_text(catalog, "trino")
    if literal_credential:  # of another server than the one in Trino's environment
        credential = catalog.server.key.credential
        text = text.replace("${ENV:GRATICULE_CREDENTIAL}", credential)
    lines = [line.split("=", 1) for line in text.splitlines()]
    [kind] = [value for name, value in lines if name == "connector.name"]
    properties = ", ".join(
        f"\"{name}\" = '{value}'" for name, value in lines if name != "connector.name"
    )
    trino(f"create catalog mine using {kind} with ({properties})")
    with catalog.server.http() as http:
        root = http.get(f"/api/v1/catalogs/{catalog.id}").json()["location"]
    trino(f"create schema mine.ns with (location = '{root}/ns')")
    return catalog


@proves(TRINO, Capability.CONNECT, Capability.LIST, Capability.NAMES, Capability.READ)
def test_it_lists_and_reads_what_is_there(trino, lake):
    assert trino("select node_version from system.runtime.nodes") == [[TRINO.version]]
    assert trino("show tables from places.world") == [[name] for name in sorted(lake.files)]
    [[rows]] = trino("select count(*) from places.world.towns_lonlat")
    assert rows == lake.rows["towns_lonlat"]


@proves(
    TRINO,
    *(Capability.CREATE, Capability.WRITE, Capability.ROW_DELETES, Capability.SCHEMA),
    *(Capability.TIME_TRAVEL, Capability.VENDED, Capability.DROP, Capability.NEW_CATALOG),
)
def test_a_table_lives_its_whole_life_in_a_catalog_made_meanwhile(trino, mine, meter):
    before = len(meter.seen.secrets)
    trino("create table mine.ns.t (id bigint, name varchar)")
    trino("insert into mine.ns.t values (1, 'a'), (2, 'b'), (3, 'c')")
    [[first]] = trino('select max_by(snapshot_id, committed_at) from mine.ns."t$snapshots"')
    trino("delete from mine.ns.t where id = 2")
    trino("update mine.ns.t set name = 'z' where id = 3")
    trino(
        "merge into mine.ns.t using (values (4, 'd')) new(id, name) on t.id = new.id"
        " when not matched then insert values (new.id, new.name)"
    )
    trino("alter table mine.ns.t add column height double")
    trino("alter table mine.ns.t rename column name to label")
    trino("alter table mine.ns.t execute optimize")
    rows = [[1, "a", None], [3, "z", None], [4, "d", None]]
    assert trino("select * from mine.ns.t order by id") == rows
    assert trino(f"select count(*) from mine.ns.t for version as of {first}") == [[3]]
    trino("drop table mine.ns.t")
    trino("create table mine.ns.again as select 1 as id")
    assert trino("show tables from mine.ns") == [["again"]]
    trino("drop table mine.ns.again")
    assert len(meter.seen.secrets) > before


@proves(TRINO, Capability.VIEWS)
def test_views_are_made_read_replaced_and_dropped(trino, mine):
    trino("create table mine.ns.t as select 1 as id")
    trino("create view mine.ns.v as select id + 1 as more from mine.ns.t")
    assert trino("select more from mine.ns.v") == [[2]]
    trino("create or replace view mine.ns.v as select id + 2 as more from mine.ns.t")
    assert trino("select more from mine.ns.v") == [[3]]
    trino("drop view mine.ns.v")
    assert trino("show tables from mine.ns") == [["t"]]


WINDOW = "3 of 8 files"


@proves(TRINO, Capability.WINDOW, figure=f"{WINDOW} of `towns_lonlat`, by bounds of its positions")
def test_a_map_window_reads_only_the_files_it_may_touch(trino, lake, meter):
    """No other test reads this table's files: Trino keeps small files in memory."""
    with meter.measured(lake.root("towns_lonlat/")) as measured:
        [[towns]] = trino(
            "select count(name) from places.world.towns_lonlat"
            " where longitude between 2.1 and 2.6 and latitude between 48.7 and 49.05"
        )
    assert towns == 187
    assert f"{measured.reads.files} of {lake.files['towns_lonlat']} files" == WINDOW


@proves(TRINO, Capability.SPATIAL)
def test_spatial_sql_on_wkb(trino, mine):
    trino(
        "create table mine.ns.g as select id, st_asbinary(st_point(x, 48.86)) as geometry"
        " from (values (1, 2.35), (2, 13.4)) p(id, x)"
    )
    inside = "st_contains(st_geometryfromtext('POLYGON ((2 48, 3 48, 3 49, 2 49, 2 48))'),"
    found = trino(f"select id from mine.ns.g where {inside} st_geomfrombinary(geometry))")
    assert found == [[1]]


@lacks(
    TRINO,
    Capability.READ,
    "refuses files with the Parquet type GEOMETRY; what it can answer from metadata it does",
    issue="https://github.com/trinodb/trino/issues/23512",
    instead="register files whose WKB has no such type",
)
def test_it_does_not_read_files_with_the_geometry_type(trino, lake):
    table = f"places.world.cities_hilbert where {AROUND_PARIS}"
    assert trino(f"select count(*) from {table}") == [[4894]]
    with pytest.raises(QueryFailed, match="ICEBERG_CANNOT_OPEN_SPLIT"):
        trino(f"select sum(geonameid) from {table}")


@lacks(
    TRINO,
    Capability.CREATE,
    "in a schema without location, `CREATE TABLE` reports an error, though the table is made",
    issue="https://github.com/trinodb/trino/issues/26742",
    instead="`CREATE SCHEMA … WITH (location = …)`: `graticule connect trino` says which",
)
def test_a_schema_without_location_takes_no_tables(trino, mine):
    trino("create schema mine.bare")
    with pytest.raises(QueryFailed, match="Cannot create a table on a non-empty location"):
        trino("create table mine.bare.t (id bigint)")


@lacks(
    TRINO,
    Capability.TRANSACTIONS,
    "writes to Iceberg only in transactions of one statement",
    issue="https://github.com/trinodb/trino/issues/15385",
    instead="DuckDB and Java's `RESTCatalog.commitTransaction` change several tables at once",
)
def test_a_transaction_is_of_one_statement(trino, mine):
    trino("create table mine.ns.a (id bigint)")
    trino("create table mine.ns.b (id bigint)")
    with pytest.raises(QueryFailed, match="only supports writes using autocommit"):
        trino.in_one_transaction("insert into mine.ns.a values 1", "insert into mine.ns.b values 1")
    assert trino("select count(*) from mine.ns.a") == [[0]]


@proves(TRINO, Capability.OUTLIVES)
def test_it_works_on_when_a_credential_ends(trino, short_lived, sessions):
    created(trino, short_lived, literal_credential=True)
    trino("create table mine.ns.t as select 1 as id")
    outlive(sessions)
    trino("insert into mine.ns.t values (2)")
    assert trino("select sum(id) from mine.ns.t") == [[3]]
    assert sessions.expired == set()
    trino("drop catalog mine")
