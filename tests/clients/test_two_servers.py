"""Two servers on one PostgreSQL: what either acknowledges, both have."""

import threading
from contextlib import ExitStack

import httpx2
import pyarrow as pa
import pytest

from graticule.access.keyring import new_key
from graticule.app import create_app
from graticule.db.upgrade import upgrade
from graticule.server import BackgroundServer
from graticule.settings import Settings
from graticule.wiring import open_services
from support.database import opened
from support.plans import PlannedTable
from support.points import COLUMNS, rows, window
from support.server import LiveCatalog, LiveServer, serving

pytestmark = [pytest.mark.client, pytest.mark.postgres]

WRITERS = 8
APPENDS_EACH = 3
COMMITS_EACH = 4


@pytest.fixture
def replicas(tmp_path, seaweedfs, postgres):
    """Two servers, two processes' worth of caches and pools, one database and one key ring.

    They have no folder in common, as if they ran on two machines.
    """
    shared = {"secret_keys": f"k1:{new_key()}"}
    with ExitStack() as stack:
        url = stack.enter_context(postgres.database())
        with opened(url) as engine:
            upgrade(engine)
        shared["database_url"] = url
        first = stack.enter_context(serving(tmp_path, seaweedfs, **shared))
        settings = Settings(
            data_dir=tmp_path / "second",
            sts_access_key_id=seaweedfs.catalog_keys.access_key_id,
            sts_secret_access_key=seaweedfs.catalog_keys.secret_access_key.reveal(),
            allow_private_endpoints=True,
            log_level="warning",
            **shared,
        )
        services = open_services(settings)
        assert services.organisations.bootstrap() is None
        running = stack.enter_context(BackgroundServer(create_app(services, settings)))
        yield first, LiveServer(running.url, first.key, services, seaweedfs, first.integration)


def test_writers_on_both_servers_lose_nothing(replicas):
    first, second = replicas
    catalog = first.new_catalog()
    elsewhere = LiveCatalog(second, catalog.name, catalog.id)
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    client.create_table(
        "ns.t",
        pa.schema([("id", pa.int64())]),
        properties={"commit.retry.num-retries": "50", "commit.retry.max-wait-ms": "500"},
    )
    failures = []

    def write(number: int) -> None:
        try:
            table = (catalog, elsewhere)[number % 2].pyiceberg().load_table("ns.t")
            for i in range(APPENDS_EACH):
                table.append(pa.table({"id": [number * 100 + i]}))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    expected = sorted(n * 100 + i for n in range(WRITERS) for i in range(APPENDS_EACH))
    for seen_from in (catalog, elsewhere):
        table = seen_from.pyiceberg().load_table("ns.t")
        assert sorted(table.scan().to_arrow()["id"].to_pylist()) == expected


def test_a_commit_on_one_server_is_seen_by_the_next_load_on_the_other(replicas):
    first, second = replicas
    catalog = first.new_catalog()
    schema = {
        "type": "struct",
        "fields": [{"id": 1, "name": "a", "type": "int", "required": False}],
    }
    with first.http() as here, second.http() as there:
        here.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
        url = f"{catalog.base}/namespaces/ns/tables"
        here.post(url, json={"name": "t", "schema": schema})
        for i in range(5):
            update = {"action": "set-properties", "updates": {"i": str(i)}}
            committed = here.post(f"{url}/t", json={"requirements": [], "updates": [update]})
            assert there.get(f"{url}/t").json()["metadata"] == committed.json()["metadata"]


def test_property_commits_on_both_servers_all_land_and_no_writer_is_sent_away(replicas):
    first, _ = replicas
    catalog = first.new_catalog()
    schema = {
        "type": "struct",
        "fields": [{"id": 1, "name": "a", "type": "int", "required": False}],
    }
    url = f"{catalog.base}/namespaces/ns/tables"
    with first.http() as http:
        http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
        http.post(url, json={"name": "t", "schema": schema})
    statuses: list[int] = []

    def write(server: LiveServer, name: str) -> None:
        with httpx2.Client(base_url=server.url, headers=server.http().headers, timeout=60) as http:
            for number in range(COMMITS_EACH):
                update = {"action": "set-properties", "updates": {f"{name}.{number}": "v"}}
                body = {"requirements": [], "updates": [update]}
                statuses.append(http.post(f"{url}/t", json=body).status_code)

    writers = [
        threading.Thread(target=write, args=(replicas[i % 2], f"k{i}")) for i in range(2 * WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with first.http() as http:
        properties = http.get(f"{url}/t").json()["metadata"]["properties"]
    landed = {name for name in properties if name.startswith("k")}
    assert statuses == [200] * (2 * WRITERS * COMMITS_EACH)
    assert landed == {f"k{i}.{n}" for i in range(2 * WRITERS) for n in range(COMMITS_EACH)}


def test_both_servers_meet_a_damaged_index_and_it_is_repaired_once(replicas):
    first, second = replicas
    catalog = first.new_catalog()
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    client.create_table("ns.t", COLUMNS).append(rows(1, 30))
    with first.http() as here, second.http() as there:
        on_both = [
            PlannedTable(catalog, here, "ns", "t"),
            PlannedTable(LiveCatalog(second, catalog.name, catalog.id), there, "ns", "t"),
        ]
        for table in on_both:
            table.files()
        expected = on_both[0].files(window(0, 2))
        [stored] = on_both[0].index_status()["indexes"]
        bucket, _, key = stored["location"].removeprefix("s3://").partition("/")
        on_both[0].s3.put_object(Bucket=bucket, Key=key, Body=b"something else")
        for table in on_both:
            table.forget_indexes()
            cache = table.catalog.server.services.indexing._stored._cache
            cache.drop(key.rpartition("/")[2])
        answers = []
        askers = [
            threading.Thread(target=lambda t=t: answers.append(t.files(window(0, 2))))
            for t in on_both * 3
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert answers == [expected] * 6
        on_both[1].await_sound_index()
        jobs = here.get("/api/v1/jobs", params={"kind": "index", "limit": 100}).json()["items"]
        assert ["repaired" in job["result"] for job in jobs if "repairs" in job["parameters"]] == [
            True
        ]
        for table in on_both:
            assert table.files(window(0, 2)) == expected
            kept = table.catalog.server.services.indexing._kept.values()
            assert [known.is_makeshift for known in kept] == [False] * len(kept)
