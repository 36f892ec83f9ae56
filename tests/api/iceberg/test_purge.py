"""Dropping with purge: the table's own files go, and nothing else does."""

import threading

import boto3
import pyarrow as pa
import pytest
from pyiceberg.io import load_file_io
from sqlalchemy import select

from graticule.db.engine import read
from graticule.db.schema import purges
from graticule.domain.errors import StorageUnavailable
from graticule.services.maintenance import purging
from support.patience import until
from support.server import LiveCatalog, LiveServer


class Bucket:
    """The bucket `lake` as its owner sees it."""

    def __init__(self, server: LiveServer) -> None:
        keys = server.store.admin_keys
        self.io = load_file_io(
            {
                "s3.endpoint": server.store.endpoint,
                "s3.region": server.store.region,
                "s3.access-key-id": keys.access_key_id,
                "s3.secret-access-key": keys.secret_access_key.reveal(),
            }
        )
        self.s3 = boto3.client(
            "s3",
            endpoint_url=server.store.endpoint,
            region_name=server.store.region,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key.reveal(),
        )

    def files(self, uri):
        prefix = uri.removeprefix("s3://lake/").rstrip("/") + "/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
        return sorted(row["Key"] for page in pages for row in page.get("Contents", []))

    def put(self, uri, data=b"x"):
        self.s3.put_object(Bucket="lake", Key=uri.removeprefix("s3://lake/"), Body=data)

    def delete(self, uri):
        self.s3.delete_object(Bucket="lake", Key=uri.removeprefix("s3://lake/"))


@pytest.fixture
def bucket(server):
    return Bucket(server)


@pytest.fixture
def client(catalog: LiveCatalog):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    return client


@pytest.fixture
def namespace(catalog, client):
    return f"{catalog.base}/namespaces/ns"


def written_table(client, name="ns.t", **properties):
    """A table with several snapshots, a deleted row, and older metadata files."""
    table = client.create_table(name, pa.schema([("id", pa.int64())]), properties=properties)
    for number in range(3):
        table.append(pa.table({"id": [number, number + 10]}))
    table.delete("id == 1")
    return table


def pending(server, location):
    with read(server.services.engine) as conn:
        query = select(purges).where(purges.c.location == location.rstrip("/") + "/")
        return conn.execute(query).one_or_none()


def finish(server, location):
    """Let purges run until this one is done, here or in the server's own thread."""

    def is_done():
        server.services.purging.run_due(threading.Event())
        return pending(server, location) is None

    until(is_done, told=lambda: pending(server, location))


def purge(http, url):
    answer = http.delete(url, params={"purgeRequested": "true"})
    assert answer.status_code == 204, answer.text


def test_a_purged_table_leaves_no_file(http, server, namespace, client, bucket):
    location = written_table(client).location()
    assert len(bucket.files(location)) > 10

    purge(http, f"{namespace}/tables/t")

    assert http.head(f"{namespace}/tables/t").status_code == 404
    finish(server, location)
    assert bucket.files(location) == []


def test_pyiceberg_purges(server, client, bucket):
    location = written_table(client).location()
    client.purge_table("ns.t")
    finish(server, location)
    assert bucket.files(location) == []


def test_the_server_purges_by_itself_soon_after(http, namespace, client, bucket):
    location = written_table(client).location()
    purge(http, f"{namespace}/tables/t")
    until(lambda: not bucket.files(location), told=lambda: bucket.files(location))


@pytest.mark.parametrize("flag", ["false", "False", ""])
def test_a_drop_without_purge_leaves_every_file(http, server, namespace, client, bucket, flag):
    location = written_table(client).location()
    before = bucket.files(location)
    http.delete(f"{namespace}/tables/t", params={"purgeRequested": flag})
    assert pending(server, location) is None
    assert bucket.files(location) == before


def test_our_own_index_files_go_too(http, server, namespace, client, bucket):
    location = written_table(client).location()
    at = f"{location}/metadata/{purging.GEO_FOLDER}/1-columns-1-2-x.arrow"
    bucket.put(at)
    purge(http, f"{namespace}/tables/t")
    finish(server, location)
    assert bucket.files(location) == []


def test_what_the_table_does_not_name_stays(http, server, namespace, client, bucket):
    location = written_table(client).location()
    bucket.put(f"{location}/data/notes.txt")
    bucket.put(f"{location}2/data/neighbour.txt")

    purge(http, f"{namespace}/tables/t")
    finish(server, location)

    assert bucket.files(location) == [f"{location.removeprefix('s3://lake/')}/data/notes.txt"]
    assert len(bucket.files(f"{location}2")) == 1


def test_files_that_lie_elsewhere_stay_although_the_table_names_them(
    http, server, catalog, namespace, client, bucket
):
    """Files added in place, and another table's statistics: named, and not the table's own."""
    theirs = written_table(client, "ns.theirs")
    data = theirs.inspect.files()["file_path"].to_pylist()
    table = written_table(client, "ns.t")
    table.io = bucket.io  # its own credential does not open them
    table.add_files(data)
    outside = f"s3://lake/{catalog.id}/stray/x.puffin"
    bucket.put(outside)
    snapshot_id = client.load_table("ns.t").current_snapshot().snapshot_id
    statistics = {
        "snapshot-id": snapshot_id,
        "statistics-path": outside,
        "file-size-in-bytes": 1,
        "file-footer-size-in-bytes": 1,
        "blob-metadata": [],
    }
    body = {
        "requirements": [],
        "updates": [
            {"action": "set-statistics", "snapshot-id": snapshot_id, "statistics": statistics}
        ],
    }
    assert http.post(f"{namespace}/tables/t", json=body).status_code == 200
    before = client.load_table("ns.theirs").scan().to_arrow().num_rows

    purge(http, f"{namespace}/tables/t")
    finish(server, table.location())

    assert bucket.files(table.location()) == []
    assert client.load_table("ns.theirs").scan().to_arrow().num_rows == before
    assert bucket.files(f"s3://lake/{catalog.id}/stray") != []


def test_a_table_that_shares_its_files_is_not_purged(http, namespace, client, bucket):
    location = written_table(client, **{"gc.enabled": "False"}).location()
    before = bucket.files(location)

    answer = http.delete(f"{namespace}/tables/t", params={"purgeRequested": "TRUE"})

    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        "Cannot purge table: GC is disabled (deleting files may corrupt other tables)",
    )
    assert http.head(f"{namespace}/tables/t").status_code == 204
    assert bucket.files(location) == before


def test_dropping_a_renamed_table_does_not_corrupt_the_one_that_has_its_name(
    http, server, namespace, client
):
    first = written_table(client)
    client.rename_table("ns.t", "ns.renamed")
    second = written_table(client)

    purge(http, f"{namespace}/tables/renamed")
    finish(server, first.location())

    assert sorted(client.load_table("ns.t").scan().to_arrow()["id"].to_pylist()) == [
        0,
        2,
        10,
        11,
        12,
    ]
    assert second.location() != first.location()


def test_a_purge_that_was_cut_short_goes_on(http, server, namespace, client, bucket, monkeypatch):
    """The store fails at each delete in turn; every attempt begins where files are still named."""
    location = written_table(client).location()
    monkeypatch.setattr(server.services.upkeep, "wake", lambda: None)
    monkeypatch.setattr(purging, "RETRY_S", 0)
    monkeypatch.setattr(purging, "ATTEMPTS_MAX", 100)
    delete = purging.ObjectStore.delete
    purge(http, f"{namespace}/tables/t")

    attempts = 0
    while pending(server, location) is not None:
        stopping, left = threading.Event(), [attempts]

        def failing(store, uris, stopping=stopping, left=left):
            if not left[0]:
                stopping.set()
                raise StorageUnavailable("the store is away")
            left[0] -= 1
            delete(store, uris)

        monkeypatch.setattr(purging.ObjectStore, "delete", failing)
        server.services.purging.run_due(stopping)
        attempts += 1
        assert attempts < 30
    assert attempts > 5
    assert bucket.files(location) == []


def test_a_failing_purge_waits_longer_each_time_and_says_why(
    http, server, namespace, client, monkeypatch
):
    location = written_table(client).location()
    monkeypatch.setattr(server.services.upkeep, "wake", lambda: None)
    with monkeypatch.context() as patch:

        def away(*_):
            raise StorageUnavailable("the store is away")

        patch.setattr(purging.ObjectStore, "delete", away)
        purge(http, f"{namespace}/tables/t")
        server.services.purging.run_due(threading.Event())
        row = pending(server, location)
        assert (row.attempts, row.error) == (1, "the store is away")
        assert row.not_before_ms >= row.requested_at_ms + purging.RETRY_S * 1000
        assert http.delete(f"/api/v1/catalogs/{namespace.split('/')[3]}").status_code == 409


def test_a_table_whose_files_are_being_purged_cannot_come_back_meanwhile(
    http, server, namespace, client, monkeypatch
):
    table = written_table(client)
    monkeypatch.setattr(server.services.upkeep, "wake", lambda: None)
    with monkeypatch.context() as patch:

        def away(*_):
            raise StorageUnavailable("the store is away")

        patch.setattr(purging.ObjectStore, "delete", away)
        purge(http, f"{namespace}/tables/t")
        register = {"name": "t", "metadata-location": table.metadata_location}
        answer = http.post(f"{namespace}/register", json=register)
        assert answer.status_code == 400
        assert "still being deleted" in answer.json()["error"]["message"]
        made = {
            "name": "u",
            "location": f"{table.location()}/below",
            "schema": {"type": "struct", "fields": []},
        }
        assert http.post(f"{namespace}/tables", json=made).status_code == 400


def test_a_table_with_broken_or_missing_manifests_is_purged_as_far_as_they_tell(
    http, server, namespace, client, bucket
):
    table = written_table(client)
    location = table.location()
    lists = [snapshot.manifest_list for snapshot in table.snapshots()]
    manifests = [m.manifest_path for m in table.current_snapshot().manifests(table.io)]
    bucket.put(lists[0], b"not avro")
    bucket.delete(lists[1])
    bucket.put(manifests[0], b"not avro either")

    purge(http, f"{namespace}/tables/t")
    finish(server, location)

    left = bucket.files(location)
    assert all("/data/" in file for file in left), left


def test_a_purge_is_given_up_after_many_attempts(
    http, server, namespace, client, bucket, monkeypatch, caplog
):
    location = written_table(client).location()
    monkeypatch.setattr(server.services.upkeep, "wake", lambda: None)
    with monkeypatch.context() as patch:

        def away(*_):
            raise StorageUnavailable("the store is away")

        patch.setattr(purging.ObjectStore, "delete", away)
        patch.setattr(purging, "ATTEMPTS_MAX", 2)
        patch.setattr(purging, "RETRY_S", 0)
        purge(http, f"{namespace}/tables/t")
        server.services.purging.run_due(threading.Event())
    assert pending(server, location) is None
    assert bucket.files(location) != []
