"""An unmodified DuckDB against a live server, with nothing but vended credentials.

What it cannot do is DuckDB's own limit, and in here too: a new release that can will fail the test.
"""

import json
import re

import duckdb
import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType

from support.duck import attached
from support.lake import cities
from support.server import LiveCatalog

pytestmark = pytest.mark.client

PARIS, LIMA, TOKYO = (1, 2.35, 48.86), (2, -77.03, -12.05), (3, 139.69, 35.69)
AROUND_PARIS = "file_xmin <= 2.5 and file_xmax >= 2.2 and file_ymin <= 49.0 and file_ymax >= 48.7"


@pytest.fixture
def duck(catalog: LiveCatalog):
    connection = attached(catalog)
    connection.execute("create schema lake.ns")
    yield connection
    connection.close()


def rows(connection, query: str) -> list[tuple]:
    return connection.execute(query).fetchall()


def document(catalog: LiveCatalog, table: str, namespace: str = "ns") -> dict:
    with catalog.server.http() as http:
        answer = http.get(f"{catalog.base}/namespaces/{namespace}/tables/{table}")
    assert answer.status_code == 200, answer.text
    return answer.json()["metadata"]


def test_create_insert_update_merge_delete_truncate(duck):
    duck.execute("create table lake.ns.t (id bigint, name varchar, price decimal(10, 2))")
    duck.execute("insert into lake.ns.t values (1, 'a', 1.5), (2, 'b', 2.5), (3, 'c', 3.5)")
    duck.execute("update lake.ns.t set name = 'z' where id = 1")
    duck.execute("delete from lake.ns.t where id = 2")
    duck.execute(
        "merge into lake.ns.t using (values (3, 'm'), (4, 'n')) new(id, name) on t.id = new.id "
        "when matched then update set name = new.name "
        "when not matched then insert values (new.id, new.name, 0)"
    )
    assert rows(duck, "select id, name from lake.ns.t order by id") == [
        (1, "z"),
        (3, "m"),
        (4, "n"),
    ]
    duck.execute("truncate lake.ns.t")
    assert rows(duck, "select count(*) from lake.ns.t") == [(0,)]


def test_a_table_from_a_query_and_a_partitioned_one(duck, catalog):
    duck.execute("create table lake.ns.t as select i as id, 'n' || i as name from range(1000) r(i)")
    assert rows(duck, "select count(*), max(name) from lake.ns.t") == [(1000, "n999")]
    duck.execute("create table lake.ns.days (id bigint, day date) partitioned by (day)")
    duck.execute("insert into lake.ns.days values (1, '2026-01-01'), (2, '2026-01-02')")
    assert rows(duck, "select id from lake.ns.days where day = '2026-01-02'") == [(2,)]
    [spec] = document(catalog, "days")["partition-specs"][-1]["fields"]
    assert (spec["source-id"], spec["transform"]) == (2, "identity")


def test_the_schema_evolves_and_old_rows_stay(duck):
    duck.execute("create table lake.ns.t as select 1 as id, 'n1' as name")
    duck.execute("alter table lake.ns.t add column extra integer")
    duck.execute("alter table lake.ns.t alter column extra type bigint")
    duck.execute("alter table lake.ns.t rename column name to label")
    duck.execute("insert into lake.ns.t values (2, 'n2', 5)")
    assert rows(duck, "select id, label, extra from lake.ns.t order by id") == [
        (1, "n1", None),
        (2, "n2", 5),
    ]
    duck.execute("alter table lake.ns.t drop column extra")
    assert [row[0] for row in rows(duck, "describe lake.ns.t")] == ["id", "label"]


def test_rename_list_and_drop(duck):
    duck.execute("create table lake.ns.a as select 1 as id")
    duck.execute("alter table lake.ns.a rename to b")
    assert rows(duck, "select id from lake.ns.b") == [(1,)]
    assert [row[2] for row in rows(duck, "show all tables")] == ["b"]
    with pytest.raises(duckdb.CatalogException, match="Table with name a does not exist"):
        duck.execute("select * from lake.ns.a")
    duck.execute("drop table lake.ns.b")
    duck.execute("drop table if exists lake.ns.b")
    duck.execute("drop schema lake.ns")
    assert rows(duck, "show all tables") == []


def test_names_with_spaces_slashes_and_letters_of_all_kinds(duck):
    duck.execute('create schema lake."sp ace/é"')
    duck.execute('create table lake."sp ace/é"."t x/ü" as select 1 as "c d"')
    assert rows(duck, 'select "c d" from lake."sp ace/é"."t x/ü"') == [(1,)]


def test_a_transaction_changes_two_tables_or_none(duck, catalog):
    duck.execute("create table lake.ns.a as select 1 as id")
    duck.execute("create table lake.ns.b as select 1 as id")
    other = attached(catalog)
    duck.execute("begin")
    duck.execute("insert into lake.ns.a values (2)")
    duck.execute("insert into lake.ns.b values (2)")
    assert rows(other, "select count(*) from lake.ns.a") == [(1,)]
    duck.execute("commit")
    assert rows(other, "from lake.ns.a union all from lake.ns.b order by id") == [
        *[(1,), (1,)],
        *[(2,), (2,)],
    ]
    duck.execute("begin")
    duck.execute("delete from lake.ns.a")
    duck.execute("insert into lake.ns.b values (3)")
    other.execute("insert into lake.ns.a values (9)")
    with pytest.raises(duckdb.TransactionException, match="branch main has changed"):
        duck.execute("commit")
    assert rows(other, "select count(*) from lake.ns.a") == [(3,)]
    assert rows(other, "select count(*) from lake.ns.b") == [(2,)]


def test_a_transaction_rolled_back_leaves_nothing(duck, catalog):
    duck.execute("create table lake.ns.t as select 1 as id")
    duck.execute("begin")
    duck.execute("create table lake.ns.never (id bigint)")
    duck.execute("insert into lake.ns.t values (2)")
    duck.execute("rollback")
    assert len(document(catalog, "t")["snapshots"]) == 1
    assert catalog.pyiceberg().list_tables("ns") == [("ns", "t")]


def test_time_travel_and_table_properties(duck, catalog):
    duck.execute("create table lake.ns.t as select 1 as id")
    duck.execute("insert into lake.ns.t values (2)")
    first = document(catalog, "t")["snapshots"][0]["snapshot-id"]
    assert rows(duck, f"select id from lake.ns.t at (version => {first})") == [(1,)]
    duck.execute("call set_iceberg_table_properties(lake.ns.t, {'owner': 'ana'})")
    assert document(catalog, "t")["properties"]["owner"] == "ana"


def test_what_pyiceberg_wrote_duckdb_reads_and_the_other_way_round(duck, catalog):
    pyiceberg = catalog.pyiceberg()
    schema = Schema(
        NestedField(1, "id", LongType(), required=False),
        NestedField(2, "name", StringType(), required=False),
    )
    table = pyiceberg.create_table("ns.t", schema)
    table.append(pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", "b", "c"]}))
    table.delete("id == 3")
    assert rows(duck, "from lake.ns.t order by id") == [(1, "a"), (2, "b")]
    duck.execute("insert into lake.ns.t values (4, 'd')")
    duck.execute("delete from lake.ns.t where id = 1")
    read = pyiceberg.load_table("ns.t").scan().to_arrow().sort_by("id")
    assert read.to_pylist() == [{"id": 2, "name": "b"}, {"id": 4, "name": "d"}]


def test_a_table_registered_in_place_is_read_where_its_files_lie(raw, catalog):
    raw.put("cities/part-0.parquet", cities(PARIS))
    raw.put("cities/part-1.parquet", cities(LIMA))
    raw.put("cities/part-2.parquet", cities(TOKYO))
    assert [table["error"] for table in raw.register(raw.scan()).json()["tables"]] == [None]
    duck = attached(catalog)
    places = rows(
        duck,
        "select id, st_astext(st_geomfromwkb(geometry)) from lake.found.cities order by id",
    )
    assert places == [
        (1, "POINT (2.35 48.86)"),
        (2, "POINT (-77.03 -12.05)"),
        (3, "POINT (139.69 35.69)"),
    ]
    query = f"select id from lake.found.cities where {AROUND_PARIS}"
    assert rows(duck, query) == [(1,)]
    assert files_read(duck, query) == [f"s3://lake/{raw.prefix}cities/part-0.parquet"]


def files_read(duck, query: str) -> list[str]:
    [(_, plan)] = rows(duck, f"explain (analyze, format json) {query}")
    [analyze] = json.loads(plan)["children"]
    [scan] = analyze["children"]
    return scan["extra_info"]["Filename(s)"].split(", ")


def test_geometry_is_stored_in_the_one_spelling_that_all_clients_load(duck, catalog):
    duck.execute("create table lake.ns.g (id bigint, geom geometry) with ('format-version' = '3')")
    duck.execute("insert into lake.ns.g values (1, st_point(2.35, 48.86)), (2, st_point(0, 0))")
    duck.execute("update lake.ns.g set geom = st_point(1, 1) where id = 2")
    duck.execute("delete from lake.ns.g where id = 1")
    assert rows(attached(catalog), "select id, st_astext(geom) from lake.ns.g") == [
        (2, "POINT (1 1)")
    ]
    stored = document(catalog, "g")
    assert stored["format-version"] == 3
    assert [field["type"] for field in stored["schemas"][0]["fields"]] == ["long", "geometry"]
    assert "geometry" in str(catalog.pyiceberg().load_table("ns.g").schema().find_type("geom"))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("create table lake.ns.t (geom geometry)", "geometry is not supported until v3"),
        (
            "create table lake.ns.t (g geometry) partitioned by (g) with ('format-version' = '3')",
            "Invalid source type geometry for transform: identity",
        ),
        ("drop schema lake.ns", "Namespace ns is not empty"),
        ("create table lake.ns.there (id bigint)", "already exists"),
        ("alter table lake.ns.there rename to there_too", "already exists"),
    ],
)
def test_a_refusal_reaches_the_user_with_its_reason_and_no_stack_trace(duck, statement, reason):
    duck.execute("create table lake.ns.there (id bigint)")
    duck.execute("create table lake.ns.there_too (id bigint)")
    with pytest.raises(duckdb.Error, match=re.escape(reason)) as refused:
        duck.execute(statement)
    assert "Traceback" not in str(refused.value)
    assert 'File \\"' not in str(refused.value)


def test_a_wrong_secret_is_told_as_such(catalog):
    with pytest.raises(duckdb.Error, match="no API key has this client id and secret"):
        attached(catalog, "gk_nobody:gs_nothing")


def test_a_reader_reads_and_changes_nothing(duck, catalog, http):
    duck.execute("create table lake.ns.t as select 1 as id")
    key = http.post("/api/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()
    reader = attached(catalog, f"{key['client_id']}:{key['client_secret']}")
    assert rows(reader, "from lake.ns.t") == [(1,)]
    with pytest.raises(duckdb.Error, match="Forbidden"):
        reader.execute("insert into lake.ns.t values (2)")
    with pytest.raises(duckdb.Error, match="a credential with read may not change"):
        reader.execute("create table lake.ns.mine (id bigint)")
    assert rows(duck, "from lake.ns.t") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "create view lake.ns.v as select 1",
        "create or replace table lake.ns.t as select 2 as id",
        "comment on table lake.ns.t is 'hello'",
    ],
)
def test_duckdb_itself_does_not_implement(duck, statement):
    duck.execute("create table lake.ns.t as select 1 as id")
    with pytest.raises(duckdb.NotImplementedException):
        duck.execute(statement)
