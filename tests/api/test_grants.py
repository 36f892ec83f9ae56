"""What grants let a member see and do, over HTTP: hidden is as absent, seen is not yet allowed."""

from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from support.bodies import SCHEMA, VIEW_VERSION
from support.people import grant, new_person, person_of


@pytest.fixture
def services(server):
    return server.services


@pytest.fixture
def admin(server, services):
    return person_of(services, server.key.credential)


@pytest.fixture
def closed(server):
    """A catalog that only admins see: `a` with tables t, u and view v, `a.b` with table t."""
    made = server.new_catalog(default_access="none")
    with server.http() as http:
        for levels in (["a"], ["a", "b"], ["other"]):
            assert http.post(f"{made.base}/namespaces", json={"namespace": levels}).is_success
        for path, name in (("a", "t"), ("a", "u"), ("a%1Fb", "t")):
            body = {"name": name, "schema": SCHEMA}
            assert http.post(f"{made.base}/namespaces/{path}/tables", json=body).is_success
        body = {"name": "v", "schema": SCHEMA, "view-version": VIEW_VERSION}
        assert http.post(f"{made.base}/namespaces/a/views", json=body).is_success
    return made


@pytest.fixture
def ben(services, admin):
    return new_person(services, admin)


@pytest.fixture
def as_ben(server, ben):
    with server.http(ben.credential) as http:
        yield http


def names(answer):
    return [identifier["name"] for identifier in answer.json()["identifiers"]]


def without_ids(answer, *texts):
    """Status and body, with what the request itself named taken out."""
    body = answer.text
    for text in texts:
        body = body.replace(text, "…")
    if answer.headers["content-type"] == "application/problem+json":
        body = body.replace(answer.json()["request_id"], "")
    return answer.status_code, body


def test_a_catalog_without_a_grant_is_as_absent_as_none(as_ben, closed):
    for path in ("/namespaces", "/namespaces/a", "/namespaces/a/tables", "/namespaces/a/tables/t"):
        hidden = as_ben.get(closed.base + path)
        absent = as_ben.get("/catalog/v1/never" + path)
        assert hidden.status_code == 404
        assert without_ids(hidden, closed.id) == without_ids(absent, "never")
    named = as_ben.get("/catalog/v1/config", params={"warehouse": closed.name})
    never = as_ben.get("/catalog/v1/config", params={"warehouse": "never"})
    assert without_ids(named, closed.name) == without_ids(never, "never")
    assert closed.id not in as_ben.get("/api/v1/catalogs?limit=1000").text
    shown = as_ben.get(f"/api/v1/catalogs/{closed.id}")
    assert without_ids(shown, closed.id) == without_ids(
        as_ben.get("/api/v1/catalogs/never"), "never"
    )


def test_a_grant_on_a_deep_table_shows_the_way_to_it_and_nothing_else(
    as_ben, services, admin, ben, closed
):
    grant(services, admin, "read", to=ben, catalog=closed.name, namespace=("a", "b"), name="t")

    base = closed.base
    config = as_ben.get("/catalog/v1/config", params={"warehouse": closed.name})
    assert config.json()["overrides"] == {"prefix": closed.id}
    assert as_ben.get(f"{base}/namespaces").json()["namespaces"] == [["a"]]
    children = as_ben.get(f"{base}/namespaces", params={"parent": "a"})
    assert children.json()["namespaces"] == [["a", "b"]]
    assert as_ben.get(f"{base}/namespaces/a").json() == {"namespace": ["a"], "properties": {}}
    assert names(as_ben.get(f"{base}/namespaces/a/tables")) == []
    assert names(as_ben.get(f"{base}/namespaces/a/views")) == []
    assert names(as_ben.get(f"{base}/namespaces/a%1Fb/tables")) == ["t"]
    assert as_ben.get(f"{base}/namespaces/a%1Fb/tables/t").status_code == 200
    for hidden in ("/namespaces/other", "/namespaces/a/tables/t", "/namespaces/a/views/v"):
        absent = hidden.replace("other", "never")[:-1] + "x"
        found, missing = as_ben.get(base + hidden), as_ben.get(base + absent)
        assert found.status_code == 404
        assert found.json()["error"]["type"] == missing.json()["error"]["type"]


def test_what_is_seen_but_not_allowed_is_forbidden_with_the_missing_privilege(
    as_ben, services, admin, ben, closed
):
    grant(services, admin, "browse", to=ben, catalog=closed.name, namespace=("a",))

    table = f"{closed.base}/namespaces/a/tables/t"
    assert as_ben.head(table).status_code == 204
    assert names(as_ben.get(f"{closed.base}/namespaces/a/tables")) == ["t", "u"]
    refused = {
        "read": as_ben.get(table),
        "write": as_ben.post(table, json={"requirements": [], "updates": []}),
        "manage": as_ben.delete(table),
    }
    for privilege, answer in refused.items():
        assert answer.status_code == 403
        assert f"the privilege {privilege} on table `a.t`" in answer.json()["error"]["message"]


def test_a_privilege_on_a_namespace_reaches_everything_below_it(
    as_ben, services, admin, ben, closed
):
    grant(services, admin, "read", to=ben, catalog=closed.name, namespace=("a",))

    base = closed.base
    assert as_ben.get(f"{base}/namespaces/a%1Fb/tables/t").status_code == 200
    assert as_ben.get(f"{base}/namespaces/a/views/v").status_code == 200
    assert as_ben.get(f"{base}/namespaces").json()["namespaces"] == [["a"]]
    body = {"name": "mine", "schema": SCHEMA}
    assert as_ben.post(f"{base}/namespaces/a/tables", json=body).status_code == 403
    assert as_ben.post(f"{base}/namespaces/other/tables", json=body).status_code == 404


def test_whoever_makes_something_manages_it_and_nothing_beside_it(
    as_ben, services, admin, ben, closed
):
    grant(services, admin, "write", to=ben, catalog=closed.name, namespace=("a",))

    base = closed.base
    body = {"name": "mine", "schema": SCHEMA}
    assert as_ben.post(f"{base}/namespaces/a/tables", json=body).is_success
    view = {"name": "my view", "schema": SCHEMA, "view-version": VIEW_VERSION}
    assert as_ben.post(f"{base}/namespaces/a/views", json=view).is_success
    assert as_ben.post(f"{base}/namespaces", json={"namespace": ["a", "c"]}).is_success

    assert as_ben.delete(f"{base}/namespaces/a/tables/t").status_code == 403
    assert as_ben.delete(f"{base}/namespaces/a/views/v").status_code == 403
    assert as_ben.delete(f"{base}/namespaces/a%1Fb").status_code == 403
    assert as_ben.delete(f"{base}/namespaces/a/tables/mine").status_code == 204
    assert as_ben.delete(f"{base}/namespaces/a/views/my%20view").status_code == 204
    assert as_ben.delete(f"{base}/namespaces/a%1Fc").status_code == 204


def test_a_rename_tells_nothing_of_what_is_hidden_where_it_goes(
    as_ben, services, admin, ben, closed
):
    grant(services, admin, "manage", to=ben, catalog=closed.name, namespace=("a",), name="t")
    grant(services, admin, "write", to=ben, catalog=closed.name, namespace=("a", "b"))

    def rename(source, *destination):
        body = {
            "source": {"namespace": source[:-1], "name": source[-1]},
            "destination": {"namespace": destination[:-1], "name": destination[-1]},
        }
        answer = as_ben.post(f"{closed.base}/tables/rename", json=body)
        return answer.status_code, answer.json()["error"]["type"] if answer.content else None

    hidden = (404, "NoSuchNamespaceException")
    assert rename(["a", "t"], "other", "t") == rename(["a", "t"], "never", "t") == hidden
    # Its namespace is seen on the way to the table: a taken name and a free one are refused alike.
    assert rename(["a", "t"], "a", "u")[0] == rename(["a", "t"], "a", "free")[0] == 403
    assert rename(["a", "u"], "a", "b", "u") == (404, "NoSuchTableException")
    assert rename(["a", "t"], "a", "b", "t") == (409, "AlreadyExistsException")
    assert rename(["a", "t"], "a", "b", "moved") == (204, None)
    # The grant went along.
    assert as_ben.get(f"{closed.base}/namespaces/a%1Fb/tables/moved").status_code == 200
    assert names(as_ben.get(f"{closed.base}/namespaces/a/tables")) == []


def test_a_reader_of_a_table_gets_credentials_that_read_and_a_writer_those_that_write(
    server, as_ben, services, admin, ben, closed
):
    table = f"{closed.base}/namespaces/a/tables/t"

    def written():
        """What becomes of putting a file into the table's location, and of having that signed."""
        loaded = as_ben.get(table, headers={"X-Iceberg-Access-Delegation": "vended-credentials"})
        config = loaded.json()["config"]
        bucket, _, key = loaded.json()["metadata"]["location"].removeprefix("s3://").partition("/")
        s3 = boto3.client(
            "s3",
            aws_access_key_id=config["s3.access-key-id"],
            aws_secret_access_key=config["s3.secret-access-key"],
            aws_session_token=config["s3.session-token"],
            endpoint_url=config["s3.endpoint"],
            region_name=server.store.region,
        )
        try:
            s3.put_object(Bucket=bucket, Key=f"{key}/data/{uuid4()}", Body=b"x")
        except ClientError as error:
            put = error.response["Error"]["Code"]
        else:
            put = "done"
        request = {
            "method": "PUT",
            "region": server.store.region,
            "uri": f"{config['s3.endpoint']}/{bucket}/{key}/data/x",
            "headers": {},
        }
        signed = as_ben.post(f"{table}/sign", json=request)
        return put, signed.status_code

    given = grant(services, admin, "read", to=ben, catalog=closed.name, namespace=("a",), name="t")
    assert written() == ("AccessDenied", 403)
    grant(services, admin, "write", to=ben, catalog=closed.name, namespace=("a",), name="t")
    assert written() == ("done", 200)
    services.grants.revoke(admin.principal, given)
    refused = as_ben.get(f"{table}/credentials")
    assert refused.status_code == 404


def test_a_transaction_over_one_hidden_table_changes_none(as_ben, services, admin, ben, closed):
    grant(services, admin, "write", to=ben, catalog=closed.name, namespace=("a",), name="t")
    table = f"{closed.base}/namespaces/a/tables/t"
    before = as_ben.get(table).json()["metadata-location"]

    def commit(name):
        update = {"action": "set-properties", "updates": {"k": "v"}}
        changes = [
            {
                "identifier": {"namespace": ["a"], "name": each},
                "requirements": [],
                "updates": [update],
            }
            for each in ("t", name)
        ]
        answer = as_ben.post(f"{closed.base}/transactions/commit", json={"table-changes": changes})
        return answer.status_code, answer.text.replace(f"a.{name}", "…")

    assert commit("u") == commit("never")
    assert commit("u")[0] == 404
    assert as_ben.get(table).json()["metadata-location"] == before


def test_a_create_by_commit_tells_nothing_of_a_hidden_table(as_ben, services, admin, ben, closed):
    grant(services, admin, "read", to=ben, catalog=closed.name, namespace=("a",), name="t")

    def create(name):
        body = {"requirements": [{"type": "assert-create"}], "updates": []}
        answer = as_ben.post(f"{closed.base}/namespaces/a/tables/{name}", json=body)
        return answer.status_code, answer.text

    assert create("u") == create("x")  # the answer names the namespace alone
    assert create("u")[0] == 403


def test_an_answer_that_was_lost_is_not_given_again_to_who_may_not_read_it_any_more(
    as_ben, services, admin, ben, closed
):
    given = grant(services, admin, "write", to=ben, catalog=closed.name, namespace=("a",))
    key = {"Idempotency-Key": str(uuid4())}
    tables = f"{closed.base}/namespaces/a/tables"
    body = {"name": "mine", "schema": SCHEMA}
    assert as_ben.post(tables, json=body, headers=key).status_code == 200
    assert as_ben.post(tables, json=body, headers=key).status_code == 200
    services.grants.revoke(admin.principal, given)
    table = as_ben.get("/api/v1/grants", params={"member": ben.id}).json()["items"]
    for own in table:
        services.grants.revoke(admin.principal, own["id"])

    again = as_ben.post(tables, json=body, headers=key)

    assert again.status_code == 404
    assert "metadata" not in again.json()


def test_an_etag_opens_nothing_that_is_hidden(server, as_ben, closed):
    with server.http() as http:
        etag = http.get(f"{closed.base}/namespaces/a/tables/t").headers["etag"]
    for headers in ({}, {"If-None-Match": etag}):
        answer = as_ben.get(f"{closed.base}/namespaces/a/tables/t", headers=headers)
        assert answer.status_code == 404


def test_a_member_takes_roles_with_their_grants_and_loses_them_at_once(
    server, http, as_ben, ben, closed
):
    role = f"role {uuid4().hex[:8]}"
    made = http.post("/api/v1/roles", json={"name": role})
    assert made.status_code == 201
    given = http.post(
        "/api/v1/grants", json={"object": f"{closed.name}/a/t", "privilege": "read", "role": role}
    )
    assert given.status_code == 201
    table = f"{closed.base}/namespaces/a/tables/t"

    assert as_ben.get(table).status_code == 404
    assert http.put(f"/api/v1/roles/{role}/members/{ben.id}").status_code == 204
    assert as_ben.get(table).status_code == 200
    assert http.delete(f"/api/v1/roles/{role}/members/{ben.id}").status_code == 204
    assert as_ben.get(table).status_code == 404
    assert http.put(f"/api/v1/roles/{role}/members/{ben.id}").status_code == 204
    assert as_ben.get(table).status_code == 200
    assert http.delete(f"/api/v1/roles/{role}").status_code == 204
    assert as_ben.get(table).status_code == 404


def test_every_page_of_a_narrow_list_is_full_and_in_order(
    server, as_ben, services, admin, ben, closed
):
    granted = [f"t{number}" for number in range(0, 40, 4)]
    with_all = f"{closed.base}/namespaces/other/tables"
    with server.http() as http:
        for number in range(40):
            assert http.post(with_all, json={"name": f"t{number}", "schema": SCHEMA}).is_success
    for name in granted:
        grant(
            services, admin, "browse", to=ben, catalog=closed.name, namespace=("other",), name=name
        )
    # Twice over, by a role as well: nothing is listed twice.
    grant(
        services, admin, "read", to="everyone", catalog=closed.name, namespace=("other",), name="t0"
    )

    pages, token = [], ""
    while token is not None:
        answer = as_ben.get(with_all, params={"pageToken": token, "pageSize": "4"})
        pages.append(names(answer))
        token = answer.json().get("next-page-token")

    expected = sorted(granted)
    assert pages == [expected[:4], expected[4:8], expected[8:]]
    assert names(as_ben.get(with_all)) == expected
