"""Several processes on one port answer as one: what either acknowledges, all of them have."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from graticule.access.keyring import new_key
from graticule.db.upgrade import upgrade
from support.database import opened
from support.patience import until
from support.process import Serving, serve
from support.seaweedfs import BUCKET

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "a", "type": "int", "required": False}]}
DELEGATE = {"X-Iceberg-Access-Delegation": "vended-credentials"}
WORKERS = 2
COMMITS = 20


@pytest.fixture
def clients(tmp_path, seaweedfs, empty_database_url) -> Iterator[list[httpx2.Client]]:
    """Clients with a connection each, evenly spread over the processes of one server."""
    with opened(empty_database_url) as engine:
        upgrade(engine)
    environment = {
        "GRATICULE_DATABASE_URL": empty_database_url,
        "GRATICULE_SECRET_KEYS": f"k1:{new_key()}",
        "GRATICULE_STS_ACCESS_KEY_ID": seaweedfs.catalog_keys.access_key_id,
        "GRATICULE_STS_SECRET_ACCESS_KEY": seaweedfs.catalog_keys.secret_access_key.reveal(),
        "GRATICULE_ALLOW_PRIVATE_ENDPOINTS": "true",
        "GRATICULE_WORKERS": str(WORKERS),
    }
    with ExitStack() as stack:
        server = stack.enter_context(serve(tmp_path, **environment))
        _until_all_serve(server)
        headers = {"Authorization": f"Bearer {server.credential.replace(':', '.', 1)}"}
        yield [
            stack.enter_context(httpx2.Client(base_url=server.url, headers=headers, timeout=60))
            for _ in range(2 * WORKERS)
        ]


def _until_all_serve(server: Serving) -> None:
    until(
        lambda: server.printed.count("Application startup complete") == WORKERS,
        told=lambda: server.printed,
    )


@pytest.fixture
def namespace(clients, seaweedfs) -> str:
    integration = {
        "name": "lake",
        "path": f"s3://{BUCKET}",
        "role_arn": seaweedfs.role_arn,
        "endpoint": seaweedfs.endpoint,
        "region": seaweedfs.region,
        "path_style": True,
    }
    one, other, *_ = clients
    assert one.post("/api/v1/integrations", json=integration).status_code == 201
    made = other.post("/api/v1/catalogs", json={"name": "places", "integration": "lake"})
    base = f"/catalog/v1/{made.json()['id']}/namespaces"
    one.post(base, json={"namespace": ["ns"]})
    return f"{base}/ns"


def test_a_commit_through_one_process_is_in_the_next_load_through_any(clients, namespace):
    tables, t = f"{namespace}/tables", f"{namespace}/tables/t"
    made = clients[0].post(tables, json={"name": "t", "schema": SCHEMA})
    etag = made.headers["ETag"]
    for number in range(COMMITS):
        before = [client.get(t).headers["ETag"] for client in clients]
        assert before == [etag] * len(clients)
        update = {"action": "set-properties", "updates": {"number": str(number)}}
        committer = clients[number % len(clients)]
        committed = committer.post(t, json={"requirements": [], "updates": [update]})
        for client in clients:
            loaded = client.get(t, headers={"If-None-Match": etag})
            assert loaded.status_code == 200  # what it knows is not the newest any more
            assert loaded.json()["metadata"] == committed.json()["metadata"]
            etag = committed.headers["ETag"]
            assert client.get(t, headers={"If-None-Match": etag}).status_code == 304
            etag = before[0]
        etag = committed.headers["ETag"]


def test_what_one_process_renamed_or_dropped_no_other_still_serves(clients, namespace):
    tables = f"{namespace}/tables"
    one, other, *_ = clients
    for name in ("t", "u"):
        one.post(tables, json={"name": name, "schema": SCHEMA})
        for client in clients:
            assert client.get(f"{tables}/{name}", headers=DELEGATE).status_code == 200
    destination = {"namespace": ["ns"], "name": "renamed"}
    source = {"namespace": ["ns"], "name": "t"}
    path = namespace.partition("/namespaces")[0]
    one.post(f"{path}/tables/rename", json={"source": source, "destination": destination})
    other.delete(f"{tables}/u")
    for client in clients:
        statuses = [client.head(f"{tables}/{name}").status_code for name in ("t", "u", "renamed")]
        assert statuses == [404, 404, 204]
        assert client.get(f"{tables}/u", headers=DELEGATE).status_code == 404
