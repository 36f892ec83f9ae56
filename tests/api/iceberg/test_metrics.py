"""Metrics reports: accepted from clients, shown to people, never more than a few per table."""

import pytest

from graticule.services.catalog import metrics
from support.server import LiveCatalog

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}


@pytest.fixture
def namespace(http, catalog: LiveCatalog):
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    return f"{catalog.base}/namespaces/ns"


@pytest.fixture
def table(http, namespace):
    assert http.post(f"{namespace}/tables", json={"name": "t", "schema": SCHEMA}).status_code == 200
    return f"{namespace}/tables/t"


@pytest.fixture
def shown(http, catalog):
    def shown(table="t", **params):
        url = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/tables/{table}/metrics"
        return http.get(url, params=params)

    return shown


def scan(snapshot_id, **more):
    return {"report-type": "scan-report", "table-name": "t", "snapshot-id": snapshot_id, **more}


def test_a_report_is_shown_as_it_was_sent_with_who_sent_it(http, table, shown):
    report = scan(7, filter=True, metrics={"total-planning-duration": {"count": 1}})
    assert http.post(f"{table}/metrics", json=report).status_code == 204

    body = shown().json()

    [item] = body["items"]
    me = http.get("/api/v1/me").json()["name"]
    assert (item["report_type"], item["snapshot_id"], item["reported_by"], item["report"]) == (
        "scan-report",
        7,
        me,
        report,
    )
    assert body["next"] is None


@pytest.mark.parametrize(
    ("report", "report_type"),
    [
        ({"report-type": "commit-report", "operation": "append"}, "commit-report"),
        ({"report-type": "weather-report", "x": [1, {"y": None}]}, "weather-report"),
        ({"report-type": "x" * 500}, "unknown"),
        ({"report-type": "a\nb"}, "unknown"),
        ({"report-type": 7, "snapshot-id": "seven"}, "unknown"),
        ({"report-type": "scan-report", "snapshot-id": 2**70}, "scan-report"),
        ({"report-type": "scan-report", "snapshot-id": True}, "scan-report"),
        ({}, "unknown"),
    ],
)
def test_a_report_of_any_type_is_accepted(http, table, shown, report, report_type):
    assert http.post(f"{table}/metrics", json=report).status_code == 204
    [item] = shown().json()["items"]
    assert (item["report_type"], item["snapshot_id"], item["report"]) == (report_type, None, report)


def test_a_table_keeps_its_newest_reports_only(http, table, shown, monkeypatch):
    monkeypatch.setattr(metrics, "REPORTS_PER_TABLE_MAX", 3)
    for snapshot_id in range(1, 6):
        assert http.post(f"{table}/metrics", json=scan(snapshot_id)).status_code == 204
    assert [item["snapshot_id"] for item in shown().json()["items"]] == [5, 4, 3]


def test_a_report_that_is_too_large_is_accepted_and_not_kept(http, table, shown):
    report = scan(1, metrics={"x": "y" * metrics.REPORT_BYTES_MAX})
    assert http.post(f"{table}/metrics", json=report).status_code == 204
    assert shown().json()["items"] == []


def test_reports_are_shown_in_pages(http, table, shown):
    for snapshot_id in range(1, 6):
        http.post(f"{table}/metrics", json=scan(snapshot_id))
    found, after = [], {}
    while after is not None:
        body = shown(limit=2, **after).json()
        found += [item["snapshot_id"] for item in body["items"]]
        after = {"after": body["next"]} if body["next"] else None
    assert found == [5, 4, 3, 2, 1]


def test_reports_go_with_their_table_and_not_to_its_successor(http, namespace, table, shown):
    http.post(f"{table}/metrics", json=scan(1))
    http.delete(table)
    assert shown().status_code == 404
    http.post(f"{namespace}/tables", json={"name": "t", "schema": SCHEMA})
    assert shown().json()["items"] == []


def test_a_renamed_table_keeps_its_reports(http, catalog, table, shown):
    http.post(f"{table}/metrics", json=scan(1))
    rename = {
        "source": {"namespace": ["ns"], "name": "t"},
        "destination": {"namespace": ["ns"], "name": "u"},
    }
    http.post(f"{catalog.base}/tables/rename", json=rename)
    assert [item["snapshot_id"] for item in shown("u").json()["items"]] == [1]


def test_a_report_on_a_table_that_is_not_there_or_no_report_is_refused(http, namespace, table):
    missing = http.post(f"{namespace}/tables/no/metrics", json=scan(1))
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "NoSuchTableException")
    assert http.post(f"{table}/metrics", content=b"[1]").status_code == 400
