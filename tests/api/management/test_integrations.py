"""Integrations and catalogs over HTTP, on a live server and an enforcing store."""

import json
from uuid import uuid4

import pytest

from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client
from support.hostile import hostile, says_nothing

ROLE = "arn:aws:iam::123456789012:role/lake"


@pytest.fixture
def connect(server, http):
    """Connects a bucket that need not exist, under a name of its own; deleted at the end."""
    made = []

    def post(**changes):
        unique = uuid4().hex[:10]
        body = {
            "name": f"i {unique}",
            "path": f"s3://bucket-{unique}/raw",
            "access_key_id": "AKIAEXAMPLE1234",
            "secret_access_key": "the secret",
            "endpoint": server.store.endpoint,
            **changes,
        }
        answer = http.post(
            "/api/v1/integrations", json={k: v for k, v in body.items() if v is not ...}
        )
        if answer.status_code == 201:
            made.append(answer.json()["id"])
        return answer

    yield post
    for integration_id in made:
        http.delete(f"/api/v1/integrations/{integration_id}")


def problem(answer):
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == answer.status_code
    return body["detail"]


def test_a_created_integration_shows_everything_but_its_secret(server, http, connect):
    created = connect()

    body = created.json()
    assert created.headers["location"] == f"/api/v1/integrations/{body['id']}"
    assert body == {
        "id": body["id"],
        "name": body["name"],
        "path": body["path"],
        "region": "us-east-1",
        "endpoint": server.store.endpoint,
        "path_style": True,
        "role_arn": None,
        "access_key_id": "…1234",
        "anonymous": False,
        "external_id": body["external_id"],
        "kms_key_arn": None,
        "read_only": False,
        "requester_pays": False,
        "allow_static_credentials": False,
        "bucket_type": "unknown",
        "version": 1,
        "created_at": body["created_at"],
        "verified_at": None,
        "verification_status": "unverified",
    }
    assert http.get(f"/api/v1/integrations/{body['id']}").json() == {**body, "verification": None}
    assert http.get(f"/api/v1/integrations/{body['name']}").json()["id"] == body["id"]
    assert http.get("/api/v1/organisation").json()["external_id"] == body["external_id"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ...}, "`name` is missing"),
        ({"name": 5}, "`name` should be a valid string"),
        ({"name": "123"}, "must contain at least one letter"),
        ({"path": "s3://a.b"}, "must not contain periods"),
        ({"rolearn": "x"}, "`rolearn` is not a field of this request"),
        ({"role_arn": ROLE}, "either `role_arn`, or `access_key_id` and `secret_access_key`"),
        ({"secret_access_key": ...}, "belong together"),
        ({"access_key_id": ..., "secret_access_key": ...}, "either `role_arn`, or"),
        ({"endpoint": "https://u:p@host"}, "must not hold a user or password"),
        ({"endpoint": None}, "`region` `` is not an AWS region"),
        ({"kms_key_arn": "a b"}, "`kms_key_arn` may hold only"),
        ({"read_only": None}, "`read_only` should be a valid boolean"),
        ({"anonymous": True}, "or `anonymous`"),
        ({"path_style": "yes"}, "`path_style` should be a valid boolean"),
    ],
)
def test_a_wrong_field_is_named_and_the_secret_never(connect, changes, says):
    refused = connect(**changes)

    assert refused.status_code == 400
    assert says in problem(refused)
    assert "the secret" not in refused.text


def test_a_bucket_that_is_taken_conflicts(connect):
    first = connect().json()

    refused = connect(path=first["path"])

    assert refused.status_code == 409
    assert "one per bucket" in problem(refused)


def test_verifying_answers_with_a_report_and_keeps_it(server, http):
    verified = http.post(f"/api/v1/integrations/{server.integration}/verify", json={})

    assert verified.status_code == 200, verified.text
    report = verified.json()["verification"]
    assert {check["id"]: check["status"] for check in report["checks"]}["list"] == "pass"
    assert set(report) == {
        "id",
        "state",
        "trigger",
        "requested_by",
        "started_at",
        "verified_at",
        "passed",
        "waiting",
        "bucket_type",
        "checks",
    }
    assert (report["state"], report["passed"], report["trigger"]) == ("passed", True, "manual")
    assert report["checks"][0]["docs"].endswith("/docs/verify-access.md#path")
    shown = http.get(f"/api/v1/integrations/{server.integration}").json()
    assert shown == verified.json()
    assert shown["verification_status"] == "passed"
    assert http.get(verified.headers["location"]).json() == report
    history = http.get(f"/api/v1/integrations/{server.integration}/verifications?limit=1").json()
    assert history["items"] == [report]
    missing = http.get(f"/api/v1/integrations/{server.integration}/verifications/0198")
    assert missing.status_code == 404


def test_whoever_does_not_wait_is_told_where_to_look(http, connect):
    with hostile(says_nothing) as store:
        created = connect(endpoint=store.endpoint).json()
        begun = http.post(f"/api/v1/integrations/{created['id']}/verify?wait_s=0")
        assert begun.status_code == 202
        verification = http.get(begun.headers["location"]).json()
        assert (verification["state"], verification["passed"]) == ("running", None)
        again = http.post(f"/api/v1/integrations/{created['id']}/verify?wait_s=0")
        assert again.headers["location"] == begun.headers["location"]

    ended = http.post(f"/api/v1/integrations/{created['id']}/verify?wait_s=60").json()
    assert ended["verification_status"] == "failed"
    listed = http.get("/api/v1/integrations?limit=1000").json()["items"]
    status = {item["id"]: item["verification_status"] for item in listed}
    assert status[created["id"]] == "failed"


@pytest.mark.parametrize("query", ["wait_s=61", "wait_s=x", "retry_s=181", "retry_s=-1"])
def test_nobody_waits_for_ever(server, http, query):
    refused = http.post(f"/api/v1/integrations/{server.integration}/verify?{query}")

    assert refused.status_code == 400
    assert "seconds from 0 to" in problem(refused)


def test_a_draft_is_verified_and_neither_kept_nor_left_in_the_bucket(server, http):
    keys = server.store.admin_keys
    draft = {
        "name": "draft",
        "path": "s3://elsewhere/draft",
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key.reveal(),
        "endpoint": server.store.endpoint,
    }

    tried = http.post("/api/v1/integrations/verify", json=draft)
    wrong = http.post(
        "/api/v1/integrations/verify", json={**draft, "secret_access_key": "not the 5ecret"}
    )

    assert tried.status_code == wrong.status_code == 200
    report = tried.json()["verification"]
    assert {check["id"]: check["status"] for check in report["checks"]}["write"] == "pass"
    assert wrong.json()["verification"]["passed"] is False
    assert "5ecret" not in wrong.text
    names = [item["name"] for item in http.get("/api/v1/integrations?limit=1000").json()["items"]]
    assert "draft" not in names
    s3 = s3_client(
        keys,
        region=server.store.region,
        endpoint=server.store.endpoint,
        path_style=True,
        outbound=ANYWHERE,
    )
    assert s3.list_objects_v2(Bucket="elsewhere", Prefix="draft/")["KeyCount"] == 0


def test_changes_are_verified_before_they_are_made(server, http):
    path = f"/api/v1/integrations/{server.integration}"
    before = http.get(path).json()

    tried = http.post(f"{path}/verify", json={"read_only": True}).json()["verification"]
    unknown = http.post(f"{path}/verify", json={"readonly": True})

    statuses = {check["id"]: check["status"] for check in tried["checks"]}
    assert (statuses["write"], statuses["read_only_enforced"]) == ("skip", "pass")
    assert http.get(path).json() == before
    assert unknown.status_code == 400


def test_a_failed_verification_is_an_answer_with_remedies(http, connect):
    created = connect().json()

    verified = http.post(f"/api/v1/integrations/{created['id']}/verify", json={})

    assert verified.status_code == 200
    report = verified.json()["verification"]
    assert report["passed"] is False
    assert any(check["remedy"] for check in report["checks"] if check["status"] == "fail")
    assert "the secret" not in verified.text


def test_policies_come_before_and_after_the_integration(server, http):
    before = http.get("/api/v1/policies", params={"path": "s3://lake", "mode": "read"})
    after = http.get(f"/api/v1/integrations/{server.integration}/policies", params={"mode": "read"})

    assert before.status_code == after.status_code == 200
    assert before.json()["role_policy"] == after.json()["role_policy"]
    assert before.json()["external_id"] == after.json()["external_id"]
    assert http.get("/api/v1/policies").status_code == 400
    for refused in ("mode=own", "format=yaml", "identity=group", "requester_pays=yes"):
        assert http.get(f"/api/v1/policies?path=s3://lake&{refused}").status_code == 400


def test_policies_come_as_scripts_that_hold_the_same_documents(server, http):
    where = f"/api/v1/integrations/{server.integration}/policies"
    policies = http.get(where).json()
    scripts = {form: http.get(where, params={"format": form}) for form in ("terraform", "cli")}

    assert policies["principal_arn"] == server.store.arn_of("catalog")
    for script in scripts.values():
        assert script.headers["content-type"] == "text/plain; charset=utf-8"
        for document in ("role_policy", "trust_policy"):
            assert json.dumps(policies[document], indent=2) in script.text
    assert scripts["terraform"].text.startswith('resource "aws_iam_role"')
    assert "aws iam create-role" in scripts["cli"].text


def test_policies_before_the_integration_say_everything_that_they_depend_on(http):
    key = "arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd"
    asked = {
        "path": "s3://lake/raw",
        "kms_key_arn": key,
        "requester_pays": "true",
        "identity": "user",
        "name": "lake-reader",
        "mode": "read",
    }
    found = http.get("/api/v1/policies", params=asked).json()

    assert (found["mode"], found["name"], found["partition"]) == ("read", "lake-reader", "aws-cn")
    assert (found["role_policy"], found["trust_policy"]) == (None, None)
    assert [one["Sid"] for one in found["user_policy"]["Statement"]] == [
        "ReadObjects",
        "ListFolder",
        "BucketFacts",
        "Encryption",
        "NarrowedSessions",
    ]
    assert len(found["notes"]) == 2


def test_lists_come_in_pages_until_next_is_null(http, connect):
    made = {connect().json()["id"] for _ in range(3)}

    found, after = [], None
    while True:
        page = http.get(
            "/api/v1/integrations", params={"limit": 2, **({"after": after} if after else {})}
        )
        assert page.status_code == 200
        found += [item["id"] for item in page.json()["items"]]
        assert len(page.json()["items"]) <= 2
        after = page.json()["next"]
        if after is None:
            break

    assert made <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "limit=-1", "after=%00"])
def test_a_senseless_page_is_refused(http, query):
    assert http.get(f"/api/v1/integrations?{query}").status_code == 400


def test_a_catalog_is_made_shown_listed_and_deleted(server, http):
    name = f"maps & more {uuid4().hex[:8]}"
    made = http.post("/api/v1/catalogs", json={"name": name, "integration": server.integration})

    body = made.json()
    assert made.status_code == 201
    assert body["location"] == f"s3://lake/{body['id']}"
    shown = http.get(made.headers["location"]).json()
    assert body == {**shown, "warning": body["warning"]}
    assert shown in http.get("/api/v1/catalogs?limit=1000").json()["items"]
    assert http.get(f"/catalog/v1/config?warehouse={body['id']}").status_code == 200
    assert http.delete(f"/api/v1/catalogs/{body['id']}").status_code == 204
    assert http.get(f"/api/v1/catalogs/{body['id']}").status_code == 404
    assert http.delete(f"/api/v1/catalogs/{body['id']}").status_code == 404


def test_an_integration_in_use_and_a_catalog_with_content_are_not_deleted(server, http, catalog):
    made = http.post(f"{catalog.base}/namespaces", json={"namespace": ["osm"]})
    assert made.status_code == 200

    for path in (f"integrations/{server.integration}", f"catalogs/{catalog.id}"):
        refused = http.delete(f"/api/v1/{path}")
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:graticule:problem:in-use"


def test_an_integration_is_changed_at_the_version_that_was_looked_at(http, connect):
    created = connect()
    at = f"/api/v1/integrations/{created.json()['id']}"
    assert created.headers["etag"] == http.get(at).headers["etag"] == '"1"'

    changed = http.patch(at, json={"read_only": True}, headers={"If-Match": '"1"'})

    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == '"2"'
    assert changed.json() == {**created.json(), "read_only": True, "version": 2}
    for late in (
        http.patch(at, json={"read_only": False}, headers={"If-Match": '"1"'}),
        http.patch(at, json={"read_only": False, "version": 1}),
    ):
        assert late.status_code == 412
        assert "is at version 2, not 1" in problem(late)
    assert http.patch(at, json={}, headers={"If-Match": "x"}).status_code == 400
    assert http.patch(at, json={"name": None}).status_code == 400
    assert http.patch(at, json={"secret_access_key": "the secret"}).status_code == 400


def test_a_change_is_seen_at_once_by_a_catalog_that_was_open(http, connect_folder):
    lake = connect_folder()
    made = http.post(
        "/api/v1/catalogs", json={"name": "frozen soon", "integration": lake.integration["id"]}
    )
    base = f"/catalog/v1/{made.json()['id']}/namespaces"
    http.post(base, json={"namespace": ["ns"]})
    table = {"name": "t", "schema": {"type": "struct", "fields": []}}
    assert http.post(f"{base}/ns/tables", json=table).status_code == 200

    assert http.patch(lake.api, json={"read_only": True}).status_code == 200

    refused = http.post(f"{base}/ns/tables", json={**table, "name": "u"})
    assert refused.status_code == 403
    assert "is read-only" in refused.json()["error"]["message"]


def test_keys_are_rotated_once_the_store_takes_the_new_ones(server, http, connect_folder):
    old, new = server.store.admin_keys, server.store.keys_of("keyuser")
    folder = connect_folder(
        role_arn=...,
        access_key_id=old.access_key_id,
        secret_access_key=old.secret_access_key.reveal(),
    )

    def rotate(secret, **more):
        return http.post(
            f"{folder.api}/rotate",
            json={"access_key_id": new.access_key_id, "secret_access_key": secret, **more},
        )

    wrong = rotate("not the secret of these keys")
    assert wrong.status_code == 400
    assert "keeps the old ones" in problem(wrong)
    assert "not the secret" not in wrong.text
    forced = rotate(new.secret_access_key.reveal(), force=True)
    assert forced.status_code == 200, forced.text
    assert forced.json()["access_key_id"] == f"…{new.access_key_id[-4:]}"
    assert forced.json()["version"] == 2


def test_an_integration_in_use_names_the_catalogs_that_use_it(http, connect_folder):
    lake = connect_folder()
    for name in ("zebra", "ape"):
        body = {"name": f"{lake.folder} {name}", "integration": lake.integration["id"]}
        assert http.post("/api/v1/catalogs", json=body).status_code == 201

    refused = http.delete(lake.api)

    assert refused.status_code == 409
    assert problem(refused).endswith(f": `{lake.folder} ape`, `{lake.folder} zebra`")
