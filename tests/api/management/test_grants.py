"""Roles, grants, who holds what, and why, over HTTP."""

from uuid import uuid4

import pytest

from support.people import grant, new_organisation, new_person, person_of


@pytest.fixture
def admin(server):
    return person_of(server.services, server.key.credential)


@pytest.fixture
def ben(server, admin):
    return new_person(server.services, admin)


@pytest.fixture
def as_ben(server, ben):
    with server.http(ben.credential) as http:
        yield http


@pytest.fixture
def closed(server):
    made = server.new_catalog(default_access="none")
    with server.http() as http:
        body = {"namespace": ["a"]}
        assert http.post(f"{made.base}/namespaces", json=body).is_success
    return made


@pytest.fixture
def role(http):
    name = f"role {uuid4().hex[:8]}"
    return http.post("/api/v1/roles", json={"name": name}).json()


# Roles


def test_a_role_is_made_renamed_given_and_deleted(http, ben, role):
    path = f"/api/v1/roles/{role['id']}"
    renamed = http.put(path, json={"name": role["name"] + " too"})
    assert renamed.json() == {**role, "name": role["name"] + " too"}
    assert http.get(f"/api/v1/roles/{role['name']} too").json() == renamed.json()

    for _ in range(2):  # to give it twice is fine
        assert http.put(f"{path}/members/{ben.name}").status_code == 204
    assert [m["id"] for m in http.get(f"{path}/members").json()["items"]] == [ben.id]
    assert http.delete(f"{path}/members/{ben.id}").status_code == 204
    assert http.delete(f"{path}/members/{ben.id}").status_code == 404
    assert http.delete(path).status_code == 204
    assert http.get(path).status_code == 404


def test_everyone_is_a_role_that_all_have_and_nobody_changes(http, as_ben, ben):
    (built_in,) = [r for r in as_ben.get("/api/v1/roles").json()["items"] if r["built_in"]]
    assert (built_in["name"], built_in["created_at"]) == ("everyone", None)
    members = http.get("/api/v1/roles/everyone/members?limit=1000").json()["items"]
    assert ben.id in [member["id"] for member in members]
    refusals = [
        http.put("/api/v1/roles/everyone", json={"name": "x"}),
        http.delete("/api/v1/roles/everyone"),
        http.put(f"/api/v1/roles/everyone/members/{ben.id}"),
        http.delete(f"/api/v1/roles/everyone/members/{ben.id}"),
    ]
    assert [answer.status_code for answer in refusals] == [400] * 4
    assert http.post("/api/v1/roles", json={"name": "everyone"}).status_code == 409


def test_roles_of_two_organisations_have_nothing_to_do_with_each_other(server, http, role):
    other = new_organisation(server.services, f"org {uuid4().hex[:8]}")
    with server.http(other.credential) as zoe:
        assert zoe.post("/api/v1/roles", json={"name": role["name"]}).status_code == 201
        assert zoe.get(f"/api/v1/roles/{role['id']}").status_code == 404
        assert zoe.delete(f"/api/v1/roles/{role['id']}").status_code == 404
        assert len(zoe.get("/api/v1/roles").json()["items"]) == 2
    assert http.post("/api/v1/roles", json={"name": role["name"]}).status_code == 409


# Grants


def test_default_access_is_what_everyone_gets_and_its_maker_manages_the_catalog(server, http):
    for asked, expected in (("none", []), ("browse", ["browse"]), ("write", ["write"])):
        made = server.new_catalog(default_access=asked)
        found = http.get("/api/v1/grants", params={"object": made.name}).json()["items"]
        shown = [(g["grantee"]["name"], g["privilege"]) for g in found]
        assert shown == [("admin", "manage"), *(("everyone", p) for p in expected)]
    refused = http.post(
        "/api/v1/catalogs",
        json={"name": "x", "integration": server.integration, "default_access": "manage"},
    )
    assert refused.status_code == 400


def test_a_grant_is_given_replaced_shown_and_taken_back(http, closed, ben):
    body = {"object": f"{closed.name}/a", "member": ben.name, "privilege": "read"}
    given = http.post("/api/v1/grants", json=body)
    assert given.status_code == 201
    shown = given.json()
    assert {**shown, "id": "", "created_at": ""} == {
        "id": "",
        "object": {
            "kind": "namespace",
            "id": shown["object"]["id"],
            "catalog": closed.name,
            "namespace": ["a"],
            "name": None,
        },
        "grantee": {"kind": "member", "id": ben.id, "name": ben.name},
        "privilege": "read",
        "granted_by": "admin",
        "created_at": "",
    }
    assert http.get(given.headers["location"]).json() == shown
    more = http.post("/api/v1/grants", json={**body, "privilege": "write"}).json()
    assert (more["id"], more["privilege"]) == (shown["id"], "write")
    of_ben = http.get("/api/v1/grants", params={"member": ben.id}).json()["items"]
    assert of_ben == [more]
    assert http.delete(f"/api/v1/grants/{shown['id']}").status_code == 204
    assert http.get("/api/v1/grants", params={"member": ben.id}).json()["items"] == []
    assert http.delete(f"/api/v1/grants/{shown['id']}").status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"privilege": "own"}, 400),
        ({"member": None}, 400),
        ({"role": "everyone"}, 400),
        ({"object": ""}, 400),
        ({"object": "x//t"}, 400),
        ({"object": "never/a"}, 404),
        ({"member": "nobody at all"}, 404),
    ],
)
def test_what_cannot_be_granted_is_refused(http, closed, ben, change, status):
    body = {"object": closed.name, "member": ben.name, "privilege": "read", **change}
    assert http.post("/api/v1/grants", json=body).status_code == status


def test_who_manages_an_object_grants_it_and_who_does_not_may_not(
    server, as_ben, admin, ben, closed
):
    services = server.services
    ana = new_person(services, admin)
    body = {"object": f"{closed.name}/a", "member": ana.id, "privilege": "read"}
    reading = grant(services, admin, "read", to=ana, catalog=closed.name, namespace=("a",))
    paths = ["/api/v1/grants", "/api/v1/access"]

    def asked():
        answers = [as_ben.get(path, params={"object": body["object"]}) for path in paths]
        answers += [as_ben.post("/api/v1/grants", json=body)]
        answers += [as_ben.get(f"/api/v1/grants/{reading}")]
        return [answer.status_code for answer in answers]

    assert asked() == [404] * 4
    grant(services, admin, "write", to=ben, catalog=closed.name, namespace=("a",))
    assert asked() == [403] * 4
    assert as_ben.delete(f"/api/v1/grants/{reading}").status_code == 403
    grant(services, admin, "manage", to=ben, catalog=closed.name, namespace=("a",))
    assert asked() == [200, 200, 201, 200]
    assert as_ben.delete(f"/api/v1/grants/{reading}").status_code == 204
    above = {**body, "object": closed.name}
    assert as_ben.post("/api/v1/grants", json=above).status_code == 403


def test_grants_come_in_pages(http, closed, role, server, admin):
    for _ in range(3):
        person = new_person(server.services, admin)
        grant(server.services, admin, "read", to=person, catalog=closed.name)
    seen, after = [], None
    while True:
        params = {"object": closed.name, "limit": 2, **({"after": after} if after else {})}
        page = http.get("/api/v1/grants", params=params).json()
        seen += page["items"]
        after = page["next"]
        if after is None:
            break
    assert seen == http.get("/api/v1/grants", params={"object": closed.name}).json()["items"]
    assert len(seen) == 4


def test_a_member_that_is_deleted_leaves_no_grant_behind(server, http, admin, closed, role):
    person = new_person(server.services, admin)
    grant(server.services, admin, "read", to=person, catalog=closed.name)
    http.put(f"/api/v1/roles/{role['id']}/members/{person.id}")
    assert http.delete(f"/api/v1/members/{person.id}").status_code == 204

    left = http.get("/api/v1/grants", params={"object": closed.name}).json()["items"]
    assert [g["grantee"]["name"] for g in left] == ["admin"]
    assert http.get(f"/api/v1/roles/{role['id']}/members").json()["items"] == []


# Who holds what, and why


def test_access_adds_up_grants_roles_and_inheritance(server, http, admin, ben, closed, role):
    services = server.services
    carla = new_person(services, admin)
    http.put(f"/api/v1/roles/{role['id']}/members/{ben.id}")
    grant(services, admin, "read", to=role["name"], catalog=closed.name)
    grant(services, admin, "browse", to=ben, catalog=closed.name, namespace=("a",))
    params = {"object": f"{closed.name}/a", "limit": 1000}

    def access():
        found = http.get("/api/v1/access", params=params).json()["items"]
        held = {item["member_id"]: item["privilege"] for item in found}
        return held[admin.id], held.get(ben.id), held.get(carla.id)

    assert access() == ("manage", "read", None)
    grant(services, admin, "write", to="everyone", catalog=closed.name, namespace=("a",))
    assert access() == ("manage", "write", "write")


def test_an_explanation_lists_the_facts_that_decide(server, http, as_ben, admin, ben, closed, role):
    services = server.services
    http.put(f"/api/v1/roles/{role['id']}/members/{ben.id}")
    grant(services, admin, "read", to=role["name"], catalog=closed.name)
    asked = {"action": "write", "object": f"{closed.name}/a"}

    told = as_ben.get("/api/v1/explain", params=asked).json()

    assert (told["allowed"], told["privilege"]) == (False, "read")
    assert told["member"] == {"id": ben.id, "name": ben.name, "role": "user"}
    facts = [(fact["kind"], fact["allows"], fact["detail"]) for fact in told["because"]]
    assert facts == [
        (
            "role",
            True,
            f"`{ben.name}` has the role user, which may change namespaces and tables",
        ),
        (
            "scope",
            True,
            "this credential has manage and read and write and may change namespaces and tables",
        ),
        (
            "grant",
            False,
            (
                f"the role `{role['name']}` has read on catalog `{closed.name}`, given by admin, "
                "which reaches down to namespace `a`"
            ),
        ),
        (
            "grant",
            False,
            f"grants give `{ben.name}` only read on namespace `a`, and write is needed",
        ),
    ]
    about = http.get("/api/v1/explain", params={**asked, "member": ben.name}).json()
    assert [fact["kind"] for fact in about["because"]] == ["role", "grant", "grant"]
    allowed = as_ben.get("/api/v1/explain", params={**asked, "action": "read"}).json()
    assert allowed["allowed"]


def test_what_may_not_be_seen_is_not_explained(server, http, as_ben, admin, ben, closed):
    asked = {"action": "read", "object": f"{closed.name}/a"}
    hidden = as_ben.get("/api/v1/explain", params=asked)
    never = as_ben.get("/api/v1/explain", params={**asked, "object": "never/a"})
    assert hidden.status_code == never.status_code == 404
    assert hidden.json()["detail"] == never.json()["detail"].replace("never", closed.name)
    assert http.get("/api/v1/explain", params={**asked, "member": ben.id}).status_code == 200
    grant(server.services, admin, "write", to=ben, catalog=closed.name)
    of_admin = as_ben.get("/api/v1/explain", params={**asked, "member": "admin"})
    assert of_admin.status_code == 403


def test_what_needs_no_object_is_explained_by_role_scope_and_edition(server, http, as_ben, ben):
    params = {"action": "create_integrations"}
    told = as_ben.get("/api/v1/explain", params=params).json()
    assert (told["allowed"], told["object"], told["privilege"]) == (False, None, None)
    assert [(fact["kind"], fact["allows"]) for fact in told["because"]] == [("role", False)]
    assert http.get("/api/v1/explain", params=params).json()["allowed"]
    assert as_ben.get("/api/v1/explain", params={**params, "member": "admin"}).status_code == 403
    assert http.get("/api/v1/explain", params={"action": "fly"}).status_code == 400
    assert http.get("/api/v1/explain", params={"action": "read"}).status_code == 400
