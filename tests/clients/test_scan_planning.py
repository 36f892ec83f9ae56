"""Scans that the server plans, as real clients have them planned: Java's and PyIceberg's."""

import pyarrow as pa
import pytest

from graticule.services.planning import scans
from support.java import run_junit
from support.server import LiveCatalog

pytestmark = [pytest.mark.client, pytest.mark.timeout(320)]


@pytest.mark.parametrize("how", ["whole", "in parts, after polling"])
def test_javas_client_gets_the_plan_that_it_would_make_itself(server, tmp_path, monkeypatch, how):
    if how != "whole":
        monkeypatch.setattr(scans, "HEAVY_MANIFESTS_MIN", 1)
        monkeypatch.setattr(scans, "TASKS_PER_ANSWER_MAX", 3)
    submitted = []
    order = scans.order_for_plan
    monkeypatch.setattr(
        scans, "order_for_plan", lambda *a, **o: submitted.append(1) or order(*a, **o)
    )
    catalog = server.new_catalog()
    report = run_junit(catalog, tmp_path, "--select-class=graticule.ScanPlanning")
    assert report.failed == {}
    assert len(report.passed) == 5
    assert bool(submitted) == (how != "whole")


PLACES = pa.schema([("id", pa.int64()), ("longitude", pa.float64()), ("latitude", pa.float64())])


def places(*ids: int) -> pa.Table:
    return pa.table([list(ids), [float(i) for i in ids], [0.5] * len(ids)], schema=PLACES)


@pytest.fixture
def planning(server) -> LiveCatalog:
    return server.new_catalog(properties={"scan-planning-mode": "server"})


def test_an_unconfigured_pyiceberg_has_its_scans_planned_and_reads_the_same_rows(
    planning, monkeypatch
):
    monkeypatch.setattr(scans, "TASKS_PER_ANSWER_MAX", 2)
    asked = []
    begin = scans.Scans.begin
    monkeypatch.setattr(scans.Scans, "begin", lambda *a, **o: asked.append(1) or begin(*a, **o))
    client, local = planning.pyiceberg(), planning.pyiceberg(**{"scan-planning-mode": "client"})
    client.create_namespace("ns")
    table = client.create_table("ns.t", PLACES)
    for number in range(0, 50, 10):
        table.append(places(*range(number, number + 10)))
    table.delete("id == 21")
    for filter_ in ("longitude >= 12 and longitude <= 13", "id < 25", "id > 100", "id != 3"):
        ours = client.load_table("ns.t").scan(row_filter=filter_)
        theirs = local.load_table("ns.t").scan(row_filter=filter_)
        assert _rows(ours) == _rows(theirs)
    assert len(asked) == 4
    assert client.load_table("ns.t").scan().count() == 49
    window = client.load_table("ns.t").scan(row_filter="longitude >= 12 and longitude <= 13")
    assert len(list(window.plan_files())) == 1


def _rows(scan) -> list[dict]:
    return sorted(scan.to_arrow().to_pylist(), key=lambda row: row["id"])


@pytest.mark.parametrize(
    ("agent", "offered"), [("PyIceberg/0.12.0", True), ("Sail/0.7.2", False), ("", True)]
)
def test_server_planning_is_offered_to_all_but_those_that_fail_on_the_offer(
    planning, server, agent, offered
):
    schema = {
        "type": "struct",
        "fields": [{"id": 1, "name": "a", "type": "int", "required": False}],
    }
    body = {"name": "t", "schema": schema, "properties": {"scan-planning-mode": "server"}}
    with server.http() as http:
        http.headers["User-Agent"] = agent
        config = http.get("/catalog/v1/config", params={"warehouse": planning.name}).json()
        http.post(f"{planning.base}/namespaces", json={"namespace": ["ns"]})
        made = http.post(f"{planning.base}/namespaces/ns/tables", json=body).json()
        loaded = http.get(f"{planning.base}/namespaces/ns/tables/t").json()
    for properties in (config["defaults"], made["config"], loaded["config"]):
        assert properties.get("scan-planning-mode") == ("server" if offered else None)


def test_a_table_says_otherwise_than_its_catalog_until_it_says_nothing(planning, server):
    client = planning.pyiceberg()
    client.create_namespace("ns")
    table = client.create_table("ns.t", PLACES, properties={"scan-planning-mode": "client"})
    url = f"{planning.base}/namespaces/ns/tables/t"
    with server.http() as http:
        assert http.get(url).json()["config"]["scan-planning-mode"] == "client"
        for word in ("server", "sometimes"):
            with table.transaction() as change:
                change.set_properties({"scan-planning-mode": word})
            found = http.get(url).json()["config"].get("scan-planning-mode")
            assert found == (word if word == "server" else None)


def test_a_catalog_takes_no_other_mode(server):
    body = {"name": "x", "integration": server.integration}
    body["properties"] = {"scan-planning-mode": "sometimes"}
    with server.http() as http:
        answer = http.post("/api/v1/catalogs", json=body)
    assert answer.status_code == 400
    assert "sometimes" in answer.json()["detail"]
