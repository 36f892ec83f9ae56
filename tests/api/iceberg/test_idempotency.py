"""`Idempotency-Key`: a change that is sent again happens once, and is answered as it was."""

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy import select

from graticule.app import create_app
from graticule.db.engine import read
from graticule.db.schema import idempotency_keys
from graticule.db.upgrade import upgrade
from graticule.domain.errors import StorageUnavailable
from graticule.server import BackgroundServer
from graticule.settings import Settings
from graticule.wiring import open_services
from support.database import opened
from support.server import LiveCatalog, LiveServer, serving

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}
UUID_TEXT = "c543652d-e62e-4cb9-b6e7-bf8388818889"
DELEGATE = {"X-Iceberg-Access-Delegation": "vended-credentials"}


def key():
    return {"Idempotency-Key": str(uuid4())}


def set_properties(**properties):
    return {"requirements": [], "updates": [{"action": "set-properties", "updates": properties}]}


def append(snapshot_id, uuid):
    snapshot = {
        "snapshot-id": snapshot_id,
        "sequence-number": 1,
        "timestamp-ms": 1_800_000_000_000,
        "manifest-list": f"s3://lake/none/snap-{snapshot_id}.avro",
        "summary": {"operation": "append"},
        "schema-id": 0,
    }
    ref = {"ref-name": "main", "type": "branch", "snapshot-id": snapshot_id}
    return {
        "requirements": [
            {"type": "assert-table-uuid", "uuid": uuid},
            {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": None},
        ],
        "updates": [
            {"action": "add-snapshot", "snapshot": snapshot},
            {"action": "set-snapshot-ref", **ref},
            {"action": "set-properties", "updates": {"written-by": str(snapshot_id)}},
        ],
    }


def versions(http, url):
    return len(http.get(url).json()["metadata"]["metadata-log"]) + 1


def error_of(answer):
    return answer.status_code, answer.json()["error"]["type"]


@pytest.fixture
def namespace(http, catalog: LiveCatalog):
    assert http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]}).status_code == 200
    return f"{catalog.base}/namespaces/ns"


@pytest.fixture
def table(http, namespace):
    made = http.post(f"{namespace}/tables", json={"name": "t", "schema": SCHEMA})
    assert made.status_code == 200, made.text
    return f"{namespace}/tables/t"


@pytest.fixture
def uuid(http, table):
    return http.get(table).json()["metadata"]["table-uuid"]


def test_the_lifetime_of_keys_is_advertised(http, catalog):
    config = http.get("/catalog/v1/config", params={"warehouse": catalog.name}).json()
    assert config["idempotency-key-lifetime"] == "PT30M"


@pytest.mark.parametrize("text", ["", "x", "0" * 36, UUID_TEXT[:-1], f"{{{UUID_TEXT}}}", "a" * 99])
def test_a_key_that_is_no_uuid_is_refused(http, catalog, text):
    answer = http.post(
        f"{catalog.base}/namespaces",
        json={"namespace": ["a"]},
        headers={"Idempotency-Key": text},
    )
    assert error_of(answer) == (400, "BadRequestException")
    assert http.head(f"{catalog.base}/namespaces/a").status_code == 404


def test_a_commit_sent_again_lands_once_and_succeeds_twice(http, table, uuid):
    headers, body = key(), append(7, uuid)

    first = http.post(table, json=body, headers=headers)
    again = http.post(table, json=body, headers=headers)

    assert first.status_code == 200, first.text
    assert (again.status_code, again.json()) == (200, first.json())
    assert versions(http, table) == 2


def test_a_commit_sent_again_after_others_is_answered_with_the_table_as_it_is_now(http, table):
    headers = key()
    http.post(table, json=set_properties(a="1"), headers=headers)
    later = http.post(table, json=set_properties(a="2")).json()

    again = http.post(table, json=set_properties(a="1"), headers=headers)

    assert (again.status_code, again.json()) == (200, later)
    assert http.get(table).json()["metadata"]["properties"]["a"] == "2"


def test_a_commit_that_changed_nothing_is_not_carried_out_later(http, table):
    http.post(table, json=set_properties(a="1"))
    headers = key()
    assert http.post(table, json=set_properties(a="1"), headers=headers).status_code == 200
    http.post(table, json=set_properties(a="2"))

    assert http.post(table, json=set_properties(a="1"), headers=headers).status_code == 200
    assert http.get(table).json()["metadata"]["properties"]["a"] == "2"


def test_a_commit_to_a_renamed_table_is_still_known(http, catalog, namespace, table):
    headers = key()
    http.post(table, json=set_properties(a="1"), headers=headers)
    rename = {
        "source": {"namespace": ["ns"], "name": "t"},
        "destination": {"namespace": ["ns"], "name": "u"},
    }
    assert http.post(f"{catalog.base}/tables/rename", json=rename).status_code == 204

    again = http.post(table, json=set_properties(a="1"), headers=headers)

    assert (
        again.json()["metadata-location"]
        == (http.get(f"{namespace}/tables/u").json()["metadata-location"])
    )


def test_a_commit_to_a_table_that_is_gone_never_says_that_it_did_not_land(http, table):
    headers = key()
    http.post(table, json=set_properties(a="1"), headers=headers)
    http.delete(table)

    again = http.post(table, json=set_properties(a="1"), headers=headers)

    assert error_of(again) == (500, "CommitStateUnknownException")


def test_every_change_can_be_sent_again(http, catalog, namespace):
    """Each step, sent twice with one key, is answered twice alike and done once."""
    other = f"{catalog.base}/namespaces/other"
    table = {"name": "t", "schema": SCHEMA}
    rename = {
        "source": {"namespace": ["ns"], "name": "t"},
        "destination": {"namespace": ["other"], "name": "u"},
    }
    transaction = {
        "table-changes": [
            {"identifier": {"namespace": ["other"], "name": "u"}, **set_properties(a="1")},
            {"identifier": {"namespace": ["ns"], "name": "v"}, **set_properties(a="1")},
        ]
    }

    def twice(method, url, **request):
        headers = key()
        first = http.request(method, url, headers=headers, **request)
        again = http.request(method, url, headers=headers, **request)
        assert first.status_code in {200, 204}, first.text
        assert (again.status_code, again.content) == (first.status_code, first.content)
        return first

    twice("POST", f"{catalog.base}/namespaces", json={"namespace": ["other"]})
    changes = {"removals": ["none"], "updates": {"owner": "ana"}}
    twice("POST", f"{other}/properties", json=changes)
    twice("POST", f"{other}/properties", json={"removals": ["owner"], "updates": {}})
    twice("POST", f"{namespace}/tables", json=table)
    twice("POST", f"{catalog.base}/tables/rename", json=rename)
    twice("POST", f"{namespace}/tables", json={**table, "name": "v"})
    twice("POST", f"{catalog.base}/transactions/commit", json=transaction)
    assert versions(http, f"{other}/tables/u") == versions(http, f"{namespace}/tables/v") == 2
    left = twice("POST", f"{other}/tables/u/unregister").json()
    register = {"name": "w", "metadata-location": left["metadata-location"]}
    twice("POST", f"{other}/register", json=register)
    twice("DELETE", f"{other}/tables/w")
    twice("DELETE", f"{namespace}/tables/v", params={"purgeRequested": "true"})
    twice("DELETE", other)


def test_a_create_sent_again_gives_the_same_table_with_a_live_credential(http, server, namespace):
    headers = {**key(), **DELEGATE}
    body = {"name": "t", "schema": SCHEMA}

    first = http.post(f"{namespace}/tables", json=body, headers=headers).json()
    again = http.post(f"{namespace}/tables", json=body, headers=headers).json()

    assert again["metadata-location"] == first["metadata-location"]
    assert "s3.session-token" in again["config"]
    with read(server.services.engine) as conn:
        row = conn.execute(
            select(idempotency_keys).where(idempotency_keys.c.key == headers["Idempotency-Key"])
        ).one()
    kept = zlib.decompress(row.body)
    assert (row.status, list(json.loads(kept))) == (None, ["table"])


def test_a_refusal_is_given_again_even_when_it_would_not_be_refused_now(http, namespace, table):
    headers, body = key(), {"name": "t", "schema": SCHEMA}
    first = http.post(f"{namespace}/tables", json=body, headers=headers)
    assert error_of(first) == (409, "AlreadyExistsException")
    http.delete(table)

    again = http.post(f"{namespace}/tables", json=body, headers=headers)

    assert (again.status_code, again.json()) == (409, first.json())
    assert http.head(table).status_code == 404


def test_a_commit_refused_once_stays_refused(http, table, uuid):
    wrong = {**append(7, uuid), "requirements": [{"type": "assert-table-uuid", "uuid": "other"}]}
    headers = key()
    answers = [http.post(table, json=wrong, headers=headers) for _ in range(2)]
    assert [error_of(answer) for answer in answers] == [(409, "CommitFailedException")] * 2
    assert answers[0].json() == answers[1].json()


def test_a_key_used_for_another_request_is_unprocessable(http, catalog, table):
    headers = key()
    assert http.post(table, json=set_properties(a="1"), headers=headers).status_code == 200
    for answer in (
        http.post(table, json=set_properties(a="2"), headers=headers),
        http.delete(table, headers=headers),
        http.post(f"{catalog.base}/namespaces", json={"namespace": ["a"]}, headers=headers),
    ):
        assert error_of(answer) == (422, "UnprocessableEntityException")
        assert "was used for another request" in answer.json()["error"]["message"]
    assert http.get(table).json()["metadata"]["properties"]["a"] == "1"


def test_the_query_is_part_of_a_request(http, table):
    headers = key()
    assert http.delete(table, headers=headers).status_code == 204
    answer = http.delete(table, headers=headers, params={"purgeRequested": "true"})
    assert answer.status_code == 422


def test_a_failure_of_the_server_is_not_kept(http, server, table, monkeypatch):
    files = server.services.commits._files

    def fail(*_):
        raise StorageUnavailable("the store is away")

    headers = key()
    with monkeypatch.context() as patch:
        patch.setattr(files, "write", fail)
        assert http.post(table, json=set_properties(a="1"), headers=headers).status_code == 503
    assert http.post(table, json=set_properties(a="1"), headers=headers).status_code == 200
    assert versions(http, table) == 2


def test_a_commit_whose_answer_was_lost_in_a_crash_is_answered_later(
    http, server, table, uuid, monkeypatch
):
    """The process dies right after the database said yes."""
    headers, body = key(), append(7, uuid)

    def die(*_):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(server.services.commits, "_finish", die)
        assert http.post(table, json=body, headers=headers).status_code == 500

    again = http.post(table, json=body, headers=headers)
    assert again.status_code == 200, again.text
    assert again.json()["metadata"]["current-snapshot-id"] == 7
    assert versions(http, table) == 2


def test_two_members_may_choose_the_same_key(http, server, catalog):
    made = http.post("/api/v1/members", json={"name": f"bob {uuid4()}", "role": "user"}).json()
    bobs = http.post("/api/v1/keys", json={"name": f"k {uuid4()}", "member": made["id"]}).json()
    headers, body = key(), {"namespace": ["a"]}
    assert http.post(f"{catalog.base}/namespaces", json=body, headers=headers).status_code == 200

    with server.http(bobs["credential"]) as bob:
        answer = bob.post(f"{catalog.base}/namespaces", json=body, headers=headers)

    assert error_of(answer) == (409, "AlreadyExistsException")


def test_a_staged_create_is_carried_out_each_time(http, namespace):
    headers = key()
    body = {"name": "t", "schema": SCHEMA, "stage-create": True}
    first, again = (
        http.post(f"{namespace}/tables", json=body, headers=headers).json() for _ in range(2)
    )
    assert first["metadata"]["location"] != again["metadata"]["location"]


def race(send, *, times=6):
    """Send the same request several times at once."""
    barrier = Barrier(times)

    def one(number):
        barrier.wait()
        return send(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_the_same_commit_sent_at_once_lands_once_and_succeeds_each_time(http, table, uuid):
    headers, body = key(), append(7, uuid)
    answers = race(lambda _: http.post(table, json=body, headers=headers))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.json()["metadata-location"] for answer in answers}) == 1
    assert versions(http, table) == 2


def test_the_same_create_sent_at_once_makes_one_table(http, namespace):
    headers, body = key(), {"name": "t", "schema": SCHEMA}
    answers = race(lambda _: http.post(f"{namespace}/tables", json=body, headers=headers))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.json()["metadata-location"] for answer in answers}) == 1


@pytest.fixture
def replicas(tmp_path, seaweedfs, postgres):
    """Two servers on one PostgreSQL."""
    with postgres.database() as url:
        with opened(url) as engine:
            upgrade(engine)
        shared = {"secret_keys": "k1:" + "a" * 43 + "=", "database_url": url}
        with serving(tmp_path, seaweedfs, **shared) as first:
            settings = Settings(
                data_dir=tmp_path / "second",
                sts_access_key_id=seaweedfs.catalog_keys.access_key_id,
                sts_secret_access_key=seaweedfs.catalog_keys.secret_access_key.reveal(),
                allow_private_endpoints=True,
                log_level="warning",
                **shared,
            )
            services = open_services(settings)
            with BackgroundServer(create_app(services, settings)) as running:
                yield first, LiveServer(running.url, first.key, services, seaweedfs, "lake")


@pytest.mark.postgres
def test_the_same_request_sent_to_two_replicas_at_once_is_carried_out_once(replicas):
    first, second = replicas
    catalog = first.new_catalog()
    with first.http() as one, second.http() as other:
        one.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
        tables = f"{catalog.base}/namespaces/ns/tables"
        for number in range(5):
            url, headers = f"{tables}/t{number}", key()
            body = {"name": f"t{number}", "schema": SCHEMA}
            made = race(
                lambda n, b=body, h=headers: (one, other)[n % 2].post(tables, json=b, headers=h)
            )
            assert [answer.status_code for answer in made] == [200] * 6
            assert len({answer.json()["metadata-location"] for answer in made}) == 1
            headers, body = key(), append(7, made[0].json()["metadata"]["table-uuid"])
            committed = race(
                lambda n, u=url, b=body, h=headers: (one, other)[n % 2].post(u, json=b, headers=h)
            )
            assert [answer.status_code for answer in committed] == [200] * 6
            assert versions(one, url) == 2


@pytest.mark.postgres
def test_so_is_a_management_change(replicas):
    first, second = replicas
    with first.http() as one, second.http() as other:
        for number in range(5):
            body, headers = {"name": f"role {number}"}, key()
            made = race(
                lambda n, b=body, h=headers: (one, other)[n % 2].post(
                    "/api/v1/roles", json=b, headers=h
                )
            )
            assert [answer.status_code for answer in made] == [201] * 6
            [role] = {answer.json()["id"] for answer in made}
            told = one.get("/api/v1/audit", params={"type": "role.created", "subject": role})
            assert len(told.json()["items"]) == 1
            headers = key()
            deleted = race(
                lambda n, r=role, h=headers: (one, other)[n % 2].delete(
                    f"/api/v1/roles/{r}", headers=h
                )
            )
            assert [answer.status_code for answer in deleted] == [204] * 6
