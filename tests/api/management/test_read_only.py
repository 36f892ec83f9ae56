"""A read-only integration: what is there is served, and not one byte is written or promised."""

import json

import boto3
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from graticule.iceberg import metadata
from graticule.services.planning import indexing
from support.parquet_files import point
from support.patience import until
from support.table_documents import schema

VENDED = {"X-Iceberg-Access-Delegation": "vended-credentials"}


@pytest.fixture
def lake(connect_folder):
    return connect_folder(read_only=True)


@pytest.fixture
def namespace(http, lake):
    """A namespace of a catalog on read-only storage, with the registered table `t`."""
    body = {"name": "frozen", "integration": lake.integration["id"]}
    made = http.post("/api/v1/catalogs", json=body)
    assert made.status_code == 201, made.text
    base = f"/catalog/v1/{made.json()['id']}/namespaces"
    assert http.post(base, json={"namespace": ["ns"]}).status_code == 200
    document = metadata.new_table(
        schema=schema(),
        partition_spec=None,
        sort_order=None,
        location=f"{lake.uri}/t",
        properties={},
        table_uuid="9c12d441-03fe-4693-9a96-a0705ddf69c1",
        now_ms=1_790_000_000_000,
    )
    at = lake.put("t/metadata/v1.metadata.json", json.dumps(document).encode())
    answer = http.post(f"{base}/ns/register", json={"name": "t", "metadata-location": at})
    assert answer.status_code == 200, answer.text
    return f"{base}/ns"


def test_a_registered_table_is_loaded_with_a_credential_that_only_reads(http, lake, namespace):
    loaded = http.get(f"{namespace}/tables/t", headers=VENDED).json()

    config = loaded["config"]

    assert loaded["metadata-location"] == f"{lake.uri}/t/metadata/v1.metadata.json"
    vended = _client_of(lake, config)

    key = f"{lake.folder}/t/metadata/v1.metadata.json"
    assert vended.get_object(Bucket="elsewhere", Key=key)["Body"].read()
    with pytest.raises(vended.exceptions.ClientError, match="AccessDenied"):
        vended.put_object(Bucket="elsewhere", Key=f"{lake.folder}/t/data/a", Body=b"x")


def _client_of(lake, config):
    return boto3.client(
        "s3",
        endpoint_url=lake.s3.meta.endpoint_url,
        region_name=config["s3.region"],
        aws_access_key_id=config["s3.access-key-id"],
        aws_secret_access_key=config["s3.secret-access-key"],
        aws_session_token=config["s3.session-token"],
    )


WRITES = {
    "create": ("POST", "/tables", {"name": "new", "schema": schema()}),
    "stage": ("POST", "/tables", {"name": "new", "schema": schema(), "stage-create": True}),
    "commit": (
        "POST",
        "/tables/t",
        {
            "requirements": [],
            "updates": [{"action": "set-properties", "updates": {"owner": "ana"}}],
        },
    ),
    "purge": ("DELETE", "/tables/t?purgeRequested=true", None),
    "view": (
        "POST",
        "/views",
        {
            "name": "v",
            "schema": schema(),
            "view-version": {
                "version-id": 1,
                "timestamp-ms": 1,
                "schema-id": 0,
                "summary": {},
                "representations": [{"type": "sql", "sql": "select 1", "dialect": "spark"}],
                "default-namespace": ["ns"],
            },
            "properties": {},
        },
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_write_is_refused_before_anything_is_written(http, lake, namespace, write):
    method, path, body = WRITES[write]
    before = lake.keys()

    refused = http.request(method, namespace + path, json=body)

    assert refused.status_code == 403, refused.text
    assert f"`{lake.integration['name']}` is read-only" in refused.json()["error"]["message"]
    assert lake.keys() == before
    assert http.get(f"{namespace}/tables").json()["identifiers"] == [
        {"namespace": ["ns"], "name": "t"}
    ]


def test_a_write_is_not_signed_either(http, lake, namespace):
    loaded = http.get(
        f"{namespace}/tables/t", headers={"X-Iceberg-Access-Delegation": "remote-signing"}
    ).json()
    endpoint = f"/catalog/{loaded['config']['s3.signer.endpoint']}"
    url = f"{lake.s3.meta.endpoint_url}/elsewhere/{lake.folder}/t/data/a"

    def sign(method):
        body = {"region": "us-east-1", "uri": url, "method": method, "headers": {}}
        return http.post(endpoint, json=body)

    assert sign("GET").status_code == 200
    assert sign("PUT").status_code == 403


def test_a_table_is_dropped_without_touching_its_files(http, lake, namespace):
    before = lake.keys()

    assert http.delete(f"{namespace}/tables/t").status_code == 204
    assert lake.keys() == before


def test_a_scan_is_shown_but_what_it_found_is_not_registered(http, lake, namespace):
    catalog = namespace.split("/")[3]
    scans = f"/api/v1/catalogs/{catalog}/scans"
    scan = http.post(scans, json={}).json()
    while scan["state"] == "running":
        scan = http.get(f"{scans}/{scan['id']}").json()
    assert scan["state"] == "proposed", scan

    refused = http.post(f"{scans}/{scan['id']}/register", json={"namespace": "ns", "tables": "all"})

    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:graticule:problem:read-only-storage"


def test_files_without_statistics_are_read_there_too_and_nothing_is_written(
    server, http, lake, namespace, tmp_path, monkeypatch
):
    """What the job finds is kept in the database, and once it is there, no job is ordered."""
    monkeypatch.setattr(indexing, "COMPARED_EVERY_S", 0.0)
    keys = server.store.admin_keys
    owner = SqlCatalog(
        "owner",
        uri=f"sqlite:///{tmp_path}/owner.db",
        **{
            "s3.endpoint": server.store.endpoint,
            "s3.access-key-id": keys.access_key_id,
            "s3.secret-access-key": keys.secret_access_key.reveal(),
        },
    )
    owner.create_namespace("ns")
    columns = pa.schema([("id", pa.int64()), ("geometry", pa.binary())])
    geo = {"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}}
    table = owner.create_table(
        "ns.w", columns, location=f"{lake.uri}/w", properties={"geo": json.dumps(geo)}
    )
    for x in (1, 30):
        table.append(pa.table([[x], [point(x, 0)]], schema=columns))
    body = {"name": "w", "metadata-location": table.metadata_location}
    assert http.post(f"{namespace}/register", json=body).status_code == 200
    owner.close()
    keys_before, jobs_before = lake.keys(), {job["id"] for job in _box_jobs(http)}
    catalog = namespace.split("/")[3]
    path = f"/api/v1/catalogs/{catalog}/namespaces/ns/tables/w/files"

    def kept():
        return http.get(path, params={"bbox": "29,-1,31,1"}).json()["totals"]["files_kept"]

    def over():
        jobs = [job for job in _box_jobs(http) if job["id"] not in jobs_before]
        is_over = all(job["state"] == "succeeded" for job in jobs)
        return is_over and [(job["result"]["files"], job["result"]["read"]) for job in jobs]

    assert kept() in {1, 2}
    until(lambda: kept() == 1)
    assert until(over) == [(2, 2)]
    server.services.indexing._kept.clear()  # as another process would ask
    assert kept() == 1
    assert until(over) == [(2, 2)]
    assert lake.keys() == keys_before


def _box_jobs(http):
    return http.get("/api/v1/jobs", params={"kind": "boxes", "limit": 100}).json()["items"]
