"""Members, keys and what each may do over HTTP."""

from uuid import uuid4

import pytest


@pytest.fixture
def new_key(http):
    def post(**body):
        made = http.post("/api/v1/keys", json={"name": "a key", **body})
        assert made.status_code == 201, made.text
        return made.json()

    return post


@pytest.fixture
def new_member(http):
    def post(role):
        made = http.post("/api/v1/members", json={"name": f"m {uuid4().hex[:8]}", "role": role})
        assert made.status_code == 201, made.text
        return made.json()

    return post


def test_me_is_the_member_behind_the_key(server, new_key, new_member):
    member = new_member("user")
    key = new_key(member=member["id"], scopes=["read"])

    with server.http(key["credential"]) as http:
        me = http.get("/api/v1/me").json()

    assert me == {
        "member_id": member["id"],
        "name": member["name"],
        "role": "user",
        "organisation_id": me["organisation_id"],
        "edition": "enterprise",
        "scopes": ["read"],
        "credential": "api_key",
        "key_id": key["client_id"],
    }


def test_a_secret_is_shown_once_and_not_to_be_cached(http):
    made = http.post("/api/v1/keys", json={"name": "once", "lifetime_s": 3600})

    body = made.json()
    assert made.headers["cache-control"] == "no-store"
    assert body["credential"] == f"{body['client_id']}:{body['client_secret']}"
    listed = http.get("/api/v1/keys?limit=1000")
    (shown,) = [key for key in listed.json()["items"] if key["client_id"] == body["client_id"]]
    assert body == {
        **shown,
        "credential": body["credential"],
        "client_secret": body["client_secret"],
    }
    assert body["client_secret"] not in listed.text


def test_a_revoked_key_is_refused_at_once(server, http, new_key):
    key = new_key()
    with server.http(key["credential"]) as other:
        assert other.get("/api/v1/me").status_code == 200
        assert http.delete(f"/api/v1/keys/{key['client_id']}").status_code == 204
        refused = other.get("/api/v1/me")

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert http.delete(f"/api/v1/keys/{key['client_id']}").status_code == 404


ADMINS_ONLY = [
    ("POST", "/api/v1/integrations", {"name": "x", "path": "s3://xyz", "role_arn": "x"}),
    ("POST", "/api/v1/integrations/lake/verify", {}),
    ("DELETE", "/api/v1/integrations/lake", None),
    ("GET", "/api/v1/integrations/lake/policies", None),
    ("GET", "/api/v1/policies?path=s3://xyz", None),
    ("POST", "/api/v1/catalogs", {"name": "x", "integration": "lake"}),
    ("DELETE", "/api/v1/catalogs/x", None),
    ("GET", "/api/v1/keys?member=admin", None),
    ("POST", "/api/v1/keys", {"name": "x", "member": "admin"}),
    ("GET", "/api/v1/members", None),
    ("POST", "/api/v1/members", {"name": "x"}),
    ("GET", "/api/v1/members/admin", None),
    ("PATCH", "/api/v1/members/admin", {"role": "user"}),
    ("DELETE", "/api/v1/members/admin", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ADMINS_ONLY)
def test_users_may_not_manage(server, new_key, new_member, method, path, body):
    key = new_key(member=new_member("user")["id"])

    with server.http(key["credential"]) as http:
        refused = http.request(method, path, json=body)

    assert refused.status_code == 403
    assert "ask an admin" in refused.json()["detail"]


@pytest.mark.parametrize(("method", "path", "body"), ADMINS_ONLY)
def test_an_admins_key_without_the_manage_scope_may_not_manage(server, new_key, method, path, body):
    key = new_key(scopes=["read", "write"])

    with server.http(key["credential"]) as http:
        refused = http.request(method, path, json=body)

    assert refused.status_code == 403
    assert "use one with more scopes" in refused.json()["detail"]


@pytest.mark.parametrize(
    "path", ["me", "organisation", "integrations", "integrations/lake", "catalogs"]
)
def test_users_see_what_they_use(server, new_key, new_member, path):
    key = new_key(member=new_member("user")["id"], scopes=["read"])

    with server.http(key["credential"]) as http:
        assert http.get(f"/api/v1/{path}").status_code == 200


@pytest.mark.parametrize("scopes", [[], ["root"], "read", [1]])
def test_unknown_scopes_are_refused(http, scopes):
    refused = http.post("/api/v1/keys", json={"name": "x", "scopes": scopes})

    assert refused.status_code == 400
    assert "scope" in refused.json()["detail"]


def test_an_unknown_role_or_member_is_refused(http):
    role = http.post("/api/v1/members", json={"name": "x", "role": "root"})
    member = http.post("/api/v1/keys", json={"name": "x", "member": "nobody at all"})

    assert (role.status_code, member.status_code) == (400, 404)
    assert role.json()["detail"] == "`role` should be 'admin' or 'user'"


def test_a_user_makes_sees_and_revokes_its_own_keys(server, new_key, new_member):
    member = new_member("user")
    key = new_key(member=member["id"])

    with server.http(key["credential"]) as http:
        made = http.post("/api/v1/keys", json={"name": "mine", "scopes": ["read"]})
        listed = http.get("/api/v1/keys").json()["items"]
        revoked = http.delete(f"/api/v1/keys/{made.json()['client_id']}")

    assert (made.status_code, revoked.status_code) == (201, 204)
    assert {item["client_id"] for item in listed} == {key["client_id"], made.json()["client_id"]}
    assert {item["member_id"] for item in listed} == {member["id"]}


def test_a_member_is_shown_changed_and_deleted(server, http, new_key, new_member):
    member = new_member("user")
    url = f"/api/v1/members/{member['id']}"
    key = new_key(member=member["id"])
    with server.http(key["credential"]) as other:
        assert http.patch(url, json={"role": "admin"}).json() == {**member, "role": "admin"}
        assert other.get("/api/v1/me").json()["role"] == "admin"
        disabled = http.patch(url, json={"disabled": True}).json()
        assert disabled["disabled_at"] is not None
        assert http.get(url).json() == disabled
        assert other.get("/api/v1/me").status_code == 401
        enabled = http.patch(url, json={"disabled": False, "name": f"x {member['name']}"}).json()
        assert enabled == {**member, "role": "admin", "name": f"x {member['name']}"}
        assert other.get("/api/v1/me").json()["name"] == enabled["name"]
        assert http.delete(url).status_code == 204
        assert other.get("/api/v1/me").status_code == 401
    assert http.get(url).status_code == http.delete(url).status_code == 404


def test_members_are_listed_by_kind(http, new_member):
    made = new_member("user")

    users = http.get("/api/v1/members?kind=user&limit=1000").json()["items"]
    services = http.get("/api/v1/members?kind=service_account&limit=1000").json()["items"]
    assert {member["kind"] for member in users} == {"user"}
    assert made in services
    assert http.get("/api/v1/members?kind=robot").status_code == 400


def test_the_last_admin_cannot_be_taken_away(http):
    admins = [
        member
        for member in http.get("/api/v1/members?limit=1000").json()["items"]
        if member["role"] == "admin" and member["name"] != "admin"
    ]
    for member in admins:
        http.delete(f"/api/v1/members/{member['id']}")

    refused = http.patch("/api/v1/members/admin", json={"role": "user"})

    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:graticule:problem:last-admin"
