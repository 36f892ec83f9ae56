"""What work leaves in the audit log of its organisation, over HTTP."""

import csv
import io
import json
from uuid import uuid4

import pytest

SCHEMA = {
    "type": "struct",
    "fields": [{"id": 1, "name": "id", "type": "long", "required": False}],
}
VENDED = {"X-Iceberg-Access-Delegation": "vended-credentials"}


@pytest.fixture
def events(server, http):
    """The events of one catalog, oldest first."""

    def of(catalog, **asked):
        server.services.audit.flush()
        found = http.get("/api/v1/audit", params={"catalog": catalog.id, "limit": 1000, **asked})
        assert found.status_code == 200, found.text
        return found.json()["items"][::-1]

    return of


def test_every_change_to_a_catalog_leaves_its_event(catalog, http, events):
    at = f"{catalog.base}/namespaces"
    http.post(at, json={"namespace": ["ns"]})
    http.post(f"{at}/ns/properties", json={"updates": {"owner": "ana"}})
    http.post(f"{at}/ns/tables", json={"name": "t", "schema": SCHEMA})
    update = {"action": "set-properties", "updates": {"a": "b"}}
    http.post(f"{at}/ns/tables/t", json={"requirements": [], "updates": [update]})
    names = [{"namespace": ["ns"], "name": name} for name in ("t", "u")]
    http.post(f"{catalog.base}/tables/rename", json={"source": names[0], "destination": names[1]})
    let_go = http.post(f"{at}/ns/tables/u/unregister", json={})
    location = let_go.json()["metadata-location"]
    http.post(f"{at}/ns/register", json={"name": "v", "metadata-location": location})
    http.delete(f"{at}/ns/tables/v")
    gone = http.delete(f"{at}/ns")
    assert gone.status_code == 204, gone.text

    told = [(event["type"], event["subject"]["name"]) for event in events(catalog)]

    assert told == [
        ("catalog.created", catalog.name),
        ("namespace.created", "ns"),
        ("namespace.updated", "ns"),
        ("table.created", "ns.t"),
        ("table.committed", "ns.t"),
        ("table.renamed", "ns.u"),
        ("table.unregistered", "ns.u"),
        ("table.registered", "ns.v"),
        ("table.dropped", "ns.v"),
        ("namespace.dropped", "ns"),
    ]


def test_a_change_that_was_refused_leaves_no_event(catalog, http, events):
    at = f"{catalog.base}/namespaces"
    http.post(at, json={"namespace": ["ns"]})
    again = http.post(at, json={"namespace": ["ns"]})
    missing = http.delete(f"{at}/ns/tables/nothing")

    assert (again.status_code, missing.status_code) == (409, 404)
    assert [event["type"] for event in events(catalog)] == ["catalog.created", "namespace.created"]


def test_an_event_names_member_credential_request_and_address(server, catalog, http, events):
    made = http.post(
        f"{catalog.base}/namespaces",
        json={"namespace": ["ns"]},
        headers={"X-Request-ID": "nightly-7"},
    )
    assert made.status_code == 200

    (event,) = events(catalog, type="namespace.created")

    assert event["member"]["name"] == "admin"
    assert event["credential_id"] == server.key.client_id
    assert (event["request_id"], event["address"]) == ("nightly-7", "127.0.0.1")
    assert (event["outcome"], event["allowed_by"], event["count"]) == (
        "succeeded",
        "role admin",
        1,
    )


def test_credentials_that_left_are_told_with_how_and_how_often_but_never_shown(
    catalog, http, events
):
    at = f"{catalog.base}/namespaces"
    http.post(at, json={"namespace": ["ns"]})
    http.post(f"{at}/ns/tables", json={"name": "t", "schema": SCHEMA})
    answers = [http.get(f"{at}/ns/tables/t", headers=VENDED) for _ in range(3)]
    config = answers[0].json()["storage-credentials"][0]["config"]

    told = events(catalog, type="table.credential_vended")

    assert sum(event["count"] for event in told) == 3
    assert {event["details"]["way"] for event in told} == {"session"}
    assert {event["details"]["access_key_id"] for event in told} == {config["s3.access-key-id"]}
    shown = json.dumps(told)
    assert config["s3.secret-access-key"] not in shown
    assert config["s3.session-token"] not in shown


def test_what_a_member_was_refused_is_told_with_the_reason(server, http):
    name = f"reader {uuid4().hex[:8]}"
    member = http.post("/api/v1/members", json={"name": name, "role": "user"}).json()
    key = http.post("/api/v1/keys", json={"name": "k", "member": member["id"]}).json()
    with server.http(key["credential"]) as theirs:
        assert theirs.post("/api/v1/catalogs", json={"name": "c"}).status_code == 403
        assert theirs.get("/api/v1/audit").status_code == 403
    server.services.audit.flush()

    told = http.get("/api/v1/audit", params={"member": name, "outcome": "denied"}).json()["items"]

    assert [event["subject"]["name"] for event in told] == [
        "GET /api/v1/audit?",
        "POST /api/v1/catalogs?",
    ]
    assert told[1]["details"]["reason"].startswith("members with the role user may not")


def test_the_log_is_exported_as_json_lines_and_as_csv_that_is_no_formula(catalog, http):
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["=1+1"]})
    asked = {"catalog": catalog.id}

    lines = http.get("/api/v1/audit/export", params=asked).text.splitlines()
    table = http.get("/api/v1/audit/export", params={**asked, "format": "csv"}).text
    rows = list(csv.DictReader(io.StringIO(table)))

    assert [json.loads(line)["subject"]["name"] for line in lines] == [catalog.name, "=1+1"]
    assert [row["subject_name"] for row in rows] == [catalog.name, "'=1+1"]
    assert [row["type"] for row in rows] == ["catalog.created", "namespace.created"]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"outcome": "maybe"}, "`outcome` must be succeeded or denied"),
        ({"since": "yesterday"}, "`since` must be a time with its zone"),
        ({"until": "2026-11-21T00:00:00"}, "`until` must be a time with its zone"),
        ({"limit": "0"}, "`limit` must be a number"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(http, asked, complaint):
    answer = http.get("/api/v1/audit", params=asked)

    assert answer.status_code == 400
    assert complaint in answer.json()["detail"]


def test_a_wrong_password_and_a_token_of_an_engine_are_told_of(server, http):
    wrong = server.http()
    wrong.headers.pop("Authorization")
    name = f"nobody {uuid4().hex[:8]}"
    refused = wrong.post("/api/v1/session", json={"name": name, "password": "not this one 123"})
    client_id, _, secret = server.key.credential.partition(":")
    grant = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    issued = wrong.post("/catalog/v1/oauth/tokens", data=grant)
    server.services.audit.flush()

    denied = http.get("/api/v1/audit", params={"member": name}).json()["items"]
    tokens = http.get("/api/v1/audit", params={"type": "session.token_issued"}).json()["items"]

    assert (refused.status_code, issued.status_code) == (401, 200)
    assert [event["type"] for event in denied] == ["session.denied"]
    assert (tokens[0]["credential_id"], tokens[0]["address"]) == (client_id, "127.0.0.1")
