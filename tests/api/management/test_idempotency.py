"""A management change that is sent twice happens once, and is answered alike: but for secrets."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from support.openapi import PROBLEM

FUNCTION = {
    "parameters": [{"name": "x", "type": "long"}],
    "return-type": "long",
    "representations": [{"type": "sql", "dialect": "spark", "sql": "x + 1"}],
}


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def name() -> str:
    return f"n{uuid4().hex[:10]}"


def events(http, type_: str, subject: str) -> int:
    found = http.get("/api/v1/audit", params={"type": type_, "subject": subject, "limit": 1000})
    return len(found.json()["items"])


def changes(server, catalog, http):
    """Every kind of change: what it needs, then the request that is sent twice, and its event."""
    a, b, c, d = name(), name(), name(), name()
    member = http.post("/api/v1/members", json={"name": a}).json()["id"]
    role = http.post("/api/v1/roles", json={"name": b}).json()["id"]
    integration = {
        "name": c,
        "path": f"s3://{c}/x",
        "role_arn": f"arn:aws:iam::123456789012:role/{c}",
        "endpoint": server.store.endpoint,
        "region": "us-east-1",
    }
    functions = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/functions"
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    grant = {"object": catalog.id, "privilege": "manage", "member": member}
    yield "POST", "/api/v1/members", {"name": d}, "member.created", d
    yield "PATCH", f"/api/v1/members/{a}", {"name": f"{a}x"}, "member.updated", member
    yield "POST", "/api/v1/roles", {"name": d}, "role.created", d
    yield "PUT", f"/api/v1/roles/{b}", {"name": f"{b}x"}, "role.updated", role
    yield "POST", "/api/v1/grants", grant, "grant.created", None
    yield "POST", "/api/v1/integrations", integration, "integration.created", c
    change = {"read_only": True}
    yield "PATCH", f"/api/v1/integrations/{c}", change, "integration.updated", c
    new = {"name": d, "integration": c}
    yield "POST", "/api/v1/catalogs", new, "catalog.created", d
    yield "POST", functions, {"name": d, "definitions": [FUNCTION]}, "function.created", None
    again = {"version": 1, "definitions": [FUNCTION], "doc": "better"}
    yield "PUT", f"{functions}/{d}", again, "function.replaced", None
    yield "POST", f"/api/v1/catalogs/{catalog.id}/scans", {}, "scan.started", None
    yield "DELETE", f"{functions}/{d}", None, "function.dropped", None
    yield "DELETE", f"/api/v1/catalogs/{d}", None, "catalog.deleted", d
    yield "DELETE", f"/api/v1/integrations/{c}", None, "integration.deleted", c
    yield "PUT", f"/api/v1/roles/{role}/members/{member}", None, "role.updated", None
    yield "DELETE", f"/api/v1/roles/{role}/members/{member}", None, "role.updated", None
    yield "DELETE", f"/api/v1/roles/{role}", None, "role.deleted", role
    yield "DELETE", f"/api/v1/members/{member}", None, "member.deleted", member


def test_every_change_happens_once_and_is_answered_alike(server, catalog, http):
    for method, path, body, type_, subject in changes(server, catalog, http):
        headers = key()
        first = http.request(method, path, json=body, headers=headers)
        assert first.is_success, first.text
        told = events(http, type_, subject or "")
        again = http.request(method, path, json=body, headers=headers)
        assert (again.status_code, again.headers.get("location")) == (
            first.status_code,
            first.headers.get("location"),
        ), (method, path, again.text)
        moving = {"progress", "state", "report", "finished_at", "warning"}
        if first.content:
            before, after = first.json(), again.json()
            assert {k: v for k, v in after.items() if k not in moving} == {
                k: v for k, v in before.items() if k not in moving
            }
        assert events(http, type_, subject or "") == told


@pytest.mark.parametrize(
    ("path", "body", "secrets"),
    [
        ("/api/v1/keys", {}, {"client_secret", "credential"}),
        ("/api/v1/webhooks", {"url": "http://127.0.0.1:9/hook"}, {"secret"}),
    ],
)
def test_a_secret_is_in_the_first_answer_only(http, path, body, secrets):
    headers, wanted = key(), {"name": name(), **body}
    first = http.post(path, json=wanted, headers=headers)
    again = http.post(path, json=wanted, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json().keys() - again.json().keys() == secrets
    assert again.json().items() <= first.json().items()
    assert again.headers["cache-control"] == "no-store"


def test_the_same_request_sent_at_once_is_carried_out_once(server):
    wanted, headers = {"name": name()}, key()

    def create(_number: int) -> tuple[int, dict]:
        with server.http() as http:
            answer = http.post("/api/v1/members", json=wanted, headers=headers)
            return answer.status_code, answer.json()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(create, range(6)))
    assert [status for status, _ in answers] == [201] * 6
    assert len({body["id"] for _, body in answers}) == 1


def test_one_key_for_two_requests_is_refused(http):
    headers = key()
    assert http.post("/api/v1/roles", json={"name": name()}, headers=headers).status_code == 201
    other = http.post("/api/v1/roles", json={"name": name()}, headers=headers)
    assert other.status_code == 422
    assert other.json()["type"] == "urn:graticule:problem:idempotency-key-reused"


def test_a_key_belongs_to_its_member(server, http):
    headers, mine, theirs = key(), name(), name()
    member = http.post("/api/v1/members", json={"name": name(), "role": "admin"}).json()
    made = http.post("/api/v1/keys", json={"name": name(), "member": member["id"]}).json()
    assert http.post("/api/v1/roles", json={"name": mine}, headers=headers).status_code == 201
    with server.http(made["credential"]) as other:
        answer = other.post("/api/v1/roles", json={"name": theirs}, headers=headers)
    assert (answer.status_code, answer.json()["name"]) == (201, theirs)


def test_a_final_refusal_is_given_again_also_when_it_would_be_granted_by_now(http):
    headers, wanted = key(), {"name": name()}
    made = http.post("/api/v1/roles", json=wanted).json()
    first = http.post("/api/v1/roles", json=wanted, headers=headers)
    assert first.status_code == 409
    assert http.delete(f"/api/v1/roles/{made['id']}").status_code == 204
    again = http.post("/api/v1/roles", json=wanted, headers=headers)
    assert (again.status_code, again.json()) == (409, first.json())
    assert again.headers["content-type"] == PROBLEM


def test_what_is_forbidden_is_not_kept(server, http):
    headers, wanted = key(), {"name": name()}
    member = http.post("/api/v1/members", json={"name": name()}).json()
    made = http.post("/api/v1/keys", json={"name": name(), "member": member["id"]}).json()
    with server.http(made["credential"]) as other:
        assert other.post("/api/v1/roles", json=wanted, headers=headers).status_code == 403
        promoted = http.patch(f"/api/v1/members/{member['id']}", json={"role": "admin"})
        assert promoted.status_code == 200
        assert other.post("/api/v1/roles", json=wanted, headers=headers).status_code == 201


def test_what_was_made_and_is_gone_is_not_found(http):
    headers, wanted = key(), {"name": name()}
    made = http.post("/api/v1/roles", json=wanted, headers=headers).json()
    http.delete(f"/api/v1/roles/{made['id']}")
    assert http.post("/api/v1/roles", json=wanted, headers=headers).status_code == 404


@pytest.mark.parametrize("text", ["", "x", "1" * 36])
def test_a_key_that_is_no_uuid_is_refused(http, text):
    answer = http.post("/api/v1/roles", json={"name": name()}, headers={"Idempotency-Key": text})
    assert answer.status_code == 400
