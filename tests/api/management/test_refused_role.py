"""A role that the server cannot assume: said clearly everywhere, and nothing half done."""

import pytest

from support.seaweedfs import OTHER_BUCKET, STRANGERS_ROLE


@pytest.fixture
def refused(server, http):
    """An integration whose role trusts somebody else, with a catalog on it."""
    body = {
        "name": "not ours",
        "path": f"s3://{OTHER_BUCKET}",
        "role_arn": STRANGERS_ROLE.arn,
        "endpoint": server.store.endpoint,
        "region": server.store.region,
        "path_style": True,
    }
    made = http.post("/api/v1/integrations", json=body)
    assert made.status_code == 201, made.text
    catalog = http.post(
        "/api/v1/catalogs", json={"name": "not ours", "integration": "not ours", "force": True}
    )
    assert catalog.status_code == 201, catalog.text
    yield f"/catalog/v1/{catalog.json()['id']}/namespaces"
    http.delete(f"/catalog/v1/{catalog.json()['id']}/namespaces/ns")
    assert http.delete("/api/v1/catalogs/not ours").status_code == 204
    assert http.delete("/api/v1/integrations/not ours").status_code == 204


def test_verification_names_the_role_and_what_to_do(http, refused):
    report = http.post("/api/v1/integrations/not ours/verify").json()["verification"]
    checks = {check["id"]: check for check in report["checks"]}
    assert report["passed"] is False
    assert checks["assume_role"]["status"] == "fail"
    assert checks["assume_role"]["remedy"]
    assert checks["write"]["status"] == "skip"


def test_creating_a_table_is_refused_with_the_reason_and_leaves_none(http, refused):
    http.post(refused, json={"namespace": ["ns"]})
    schema = {
        "type": "struct",
        "fields": [{"id": 1, "name": "a", "type": "int", "required": False}],
    }
    answer = http.post(f"{refused}/ns/tables", json={"name": "t", "schema": schema})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, 403)
    assert "AssumeRole" in answer.json()["error"]["message"] or "assum" in answer.text
    assert http.get(f"{refused}/ns/tables").json()["identifiers"] == []


def test_a_scan_says_why_it_failed(http, refused):
    catalog = refused.split("/")[3]
    started = http.post(f"/api/v1/catalogs/{catalog}/scans", json={}).json()
    scan = started
    for _ in range(500):
        scan = http.get(f"/api/v1/catalogs/{catalog}/scans/{started['id']}").json()
        if scan["state"] != "running":
            break
    assert scan["state"] == "failed"
    assert "assum" in scan["report"]["error"]
