"""What becomes of proposals: renamed, ignored for good, registered by themselves."""

import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, StringType

from support.zoo.iceberg_tables import iceberg_table
from support.zoo.layout import cities, plain, roads, stock


@pytest.fixture
def found(raw):
    """A sure table, one less sure with a namespace, and one to be ignored."""
    raw.put("cities/part-0.parquet", cities())
    raw.put("de/roads/part-0.parquet", roads())
    raw.put("de/roads/part-1.parquet", roads()[:-9])
    raw.put("tmp/part-0.parquet", plain())
    return raw


def tables(raw):
    catalog = raw.catalog.pyiceberg()
    return {".".join(name) for ns in catalog.list_namespaces() for name in catalog.list_tables(ns)}


def names(answer):
    assert answer.status_code == 200, answer.text
    assert [each["error"] for each in answer.json()["tables"] if each["error"]] == []
    return {
        each["proposal"]: f"{'.'.join(each['namespace'])}.{each['name']}"
        for each in answer.json()["tables"]
    }


def test_tables_are_registered_where_they_were_proposed_or_renamed(found):
    choice = ["cities", {"table": "de.roads", "name": "germany.traffic.streets"}]
    done = found.register(found.scan(), namespace=None, tables=choice)
    assert names(done) == {"cities": "default.cities", "de.roads": "germany.traffic.streets"}
    assert found.catalog.pyiceberg().load_table("germany.traffic.streets").scan().count() == 1


def test_all_are_registered_and_some_renamed(found):
    done = found.register(found.scan(), namespace="n", rename={"tmp": "x", "de.roads": "o.streets"})
    assert names(done) == {"cities": "n.cities", "de.roads": "o.streets", "tmp": "n.x"}


def test_two_tables_of_one_name_are_refused_before_any_is_made(found):
    answer = found.register(found.scan(), rename={"cities": "same", "tmp": "same"})
    assert (answer.status_code, "rename one of them" in answer.json()["detail"]) == (400, True)
    assert tables(found) == set()


def test_patterns_leave_tables_out_and_are_kept_for_the_scans_to_come(found):
    scan = found.scan()
    ignored = f"/{found.prefix}tmp/**"
    assert set(names(found.register(scan, ignore=[ignored]))) == {"cities", "de.roads"}
    policy = f"/api/v1/catalogs/{found.catalog.id}/scan-policy"
    kept = {"ignore": [ignored], "auto_approve": None}
    assert found.http.get(policy).json() == kept
    report = found.scan()["report"]
    assert {table["name"] for table in report["tables"]} == {"cities", "roads"}
    assert ignored in {entry["key"] for entry in report["skipped"]}
    assert found.http.put(policy, json={}).json() == {"ignore": [], "auto_approve": None}
    assert {t["name"] for t in found.scan()["report"]["tables"]} == {"cities", "roads", "tmp"}


def test_only_what_is_sure_enough_is_registered(found):
    done = found.register(found.scan(), min_confidence="high")
    assert set(names(done)) == {"cities", "tmp"}


def test_a_scan_registers_by_itself_what_is_sure_enough(found):
    scan = found.scan(auto_approve="high", namespace="auto", ignore=["tmp"])
    assert (scan["state"], tables(found)) == ("registered", {"auto.cities"})
    marks = {table["name"]: table["registered-as"] for table in scan["report"]["tables"]}
    assert marks == {"cities": "auto.cities", "roads": None}


def test_the_policy_of_a_catalog_registers_what_every_scan_is_sure_of(found):
    policy = f"/api/v1/catalogs/{found.catalog.id}/scan-policy"
    body = {"ignore": ["tmp"], "auto_approve": "medium"}
    assert found.http.put(policy, json=body).json() == body
    found.scan()
    assert tables(found) == {"default.cities", "de.roads"}


@pytest.mark.parametrize(
    "body",
    [
        {"auto_approve": "certain"},
        {"ignore": [""]},
        {"ignore": [f"x{n}" for n in range(101)]},
        {"ignore": "tmp"},
        {"namespace": "a..b"},
    ],
)
def test_a_scan_that_asks_for_nonsense_is_refused(raw, body):
    assert raw.http.post(raw.scans, json=body).status_code == 400


def test_an_iceberg_table_is_adopted_by_its_metadata_and_stays_as_it_is(raw):
    objects = iceberg_table(f"s3://lake/{raw.prefix}ice", {"data/0.parquet": stock(3)})
    for key, data in objects.items():
        raw.put(f"ice/{key}", data)
    before = raw.keys()
    scan = raw.scan()
    [table] = scan["report"]["tables"]
    assert (table["kind"], table["row-count"], table["file-count"]) == ("iceberg", 3, 1)
    at = f"s3://lake/{raw.prefix}ice/metadata/v1.metadata.json"
    assert table["metadata-location"] == at
    raw.register(scan)
    loaded = raw.catalog.pyiceberg().load_table("found.ice")
    assert (loaded.metadata_location, loaded.scan().count()) == (at, 3)
    assert raw.keys() == before
    again = raw.scan()
    assert [t["registered-as"] for t in again["report"]["tables"]] == ["found.ice"]
    [outcome] = raw.register(again).json()["tables"]
    assert outcome["error"] is not None


def test_a_name_that_an_engine_gave_to_something_else_gets_a_mark(found):
    """A table and a view, one of them made when the scan was over."""
    engine = found.catalog.pyiceberg()
    for namespace in ("default", "de"):
        engine.create_namespace(namespace)
    engine.create_table("default.cities", Schema(NestedField(1, "own", StringType())))
    scan = found.scan()
    by_root = {
        table["root"].removeprefix(found.prefix): table for table in scan["report"]["tables"]
    }
    cities = by_root["cities/"]
    assert cities["name"].startswith("cities_")
    assert (cities["confidence"], cities["reasons"][-1]) == (
        "medium",
        "the catalog has a table or view `cities` already: this one got a mark",
    )
    assert {by_root[root]["name"] for root in ("de/roads/", "tmp/")} == {"roads", "tmp"}
    view = {
        "name": "roads",
        "schema": {"type": "struct", "schema-id": 0, "fields": []},
        "view-version": {
            "version-id": 1,
            "timestamp-ms": 1,
            "schema-id": 0,
            "summary": {},
            "representations": [{"type": "sql", "sql": "SELECT 1", "dialect": "spark"}],
            "default-namespace": ["de"],
        },
        "properties": {},
    }
    made = found.http.post(f"{found.catalog.base}/namespaces/de/views", json=view)
    assert made.status_code == 200, made.text
    done = names(found.register(found.scan(), namespace=None))
    assert done.pop("tmp") == "default.tmp"
    assert {name[:-6] for name in done.values()} == {"default.cities_", "de.roads_"}
    again = found.scan()["report"]["tables"]
    assert {table["name"] for table in again} == {"tmp", *(name for name in map(last, done))}
    assert all(table["registered-as"] for table in again)
    assert len(tables(found)) == 4


def last(name):
    return name.rpartition(".")[2]
