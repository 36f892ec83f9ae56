"""A bucket whose requesters pay, from verification to an unmodified PyIceberg that reads it.

Neither store at hand enforces the rule, so a proxy does: 403 for every request that does not say,
in a signed header, that it pays.
"""

import fsspec.config
import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField

import graticule.client
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client
from support.faults import faulty
from support.lake import RawFolder, cities
from support.seaweedfs import OTHER_BUCKET
from support.server import LiveCatalog
from support.strict_stores import RequesterPays

pytestmark = [pytest.mark.client, pytest.mark.s3]

PARIS, LIMA, TOKYO = (1, 2.35, 48.86), (2, -77.03, -12.05), (3, 139.69, 35.69)
SCHEMA = Schema(NestedField(1, "id", LongType(), required=False))


@pytest.fixture
def rule():
    return RequesterPays()


@pytest.fixture
def proxy(seaweedfs, rule):
    with faulty(seaweedfs.endpoint, rule) as proxy:
        yield proxy


@pytest.fixture
def lake(connect_folder, proxy):
    return connect_folder(endpoint=proxy.endpoint, requester_pays=True)


@pytest.fixture
def paying(server, http, lake) -> LiveCatalog:
    made = http.post(
        "/api/v1/catalogs",
        json={"name": lake.folder, "integration": lake.integration["id"], "force": True},
    )
    assert made.status_code == 201, made.text
    return LiveCatalog(server, lake.folder, made.json()["id"])


@pytest.fixture
def client(paying, monkeypatch):
    monkeypatch.setitem(fsspec.config.conf, "s3", {"skip_instance_cache": True})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    # Nothing but the address and a credential: the server's defaults say what is accepted.
    client = paying.pyiceberg()
    client.create_namespace("ns")
    return client


def test_the_bucket_refuses_its_very_owner_who_does_not_say_that_he_pays(server, lake, rule):
    lake.put("a")
    for pays in (False, True):
        store = s3_client(
            server.store.admin_keys,
            region=server.store.region,
            endpoint=lake.integration["endpoint"],
            path_style=True,
            outbound=ANYWHERE,
            requester_pays=pays,
        )
        request = {"Bucket": OTHER_BUCKET, "Key": f"{lake.folder}/a"}
        if pays:
            assert store.get_object(**request)["Body"].read() == b"x"
        else:
            with pytest.raises(store.exceptions.ClientError, match="AccessDenied"):
                store.get_object(**request)
    assert rule.refusals == 1


def test_credentials_are_not_sent_to_clients_that_could_not_use_them(http, client, paying):
    client.create_table("ns.t", SCHEMA)

    answer = http.get(
        f"{paying.base}/namespaces/ns/tables/t",
        headers={"X-Iceberg-Access-Delegation": "vended-credentials"},
    )

    assert answer.status_code == 400
    assert "paid by the requester" in answer.json()["error"]["message"]


def test_a_verification_learns_it_and_says_so(http, connect_folder, proxy, rule):
    lake = connect_folder(endpoint=proxy.endpoint)

    verified = http.post(f"{lake.api}/verify").json()

    statuses = {check["id"]: check["status"] for check in verified["verification"]["checks"]}
    assert (statuses["list"], statuses["session_policy_enforced"]) == ("pass", "pass")
    assert verified["bucket_type"] == "requester_pays"
    assert http.get(lake.api).json()["requester_pays"] is True
    assert rule.refusals > 0


def test_pyiceberg_reads_and_writes_a_table_and_the_server_agrees_to_pay(client, rule):
    table = client.create_table("ns.t", SCHEMA)
    table.append(pa.table({"id": pa.array([1, 2], pa.int64())}))
    loaded = client.load_table("ns.t")

    assert sorted(loaded.scan().to_arrow()["id"].to_pylist()) == [1, 2]
    assert loaded.io.properties["s3.remote-signing-enabled"] == "true"
    assert rule.refusals == 0


def test_data_found_there_is_registered_in_place_planned_and_read(
    server, http, paying, lake, client, rule
):
    for name, city in (("a", PARIS), ("b", LIMA), ("c", TOKYO)):
        lake.put(f"cities/{name}.parquet", cities(city))
    raw = RawFolder(server, paying, http, f"{lake.folder}/")
    started = http.post(raw.scans, json={"prefix": f"{lake.uri}/"})
    assert started.status_code == 202, started.text
    scan = raw.finished(started.json()["id"])
    assert raw.register(scan).status_code == 200

    rows = client.load_table("found.cities").scan(selected_fields=("id",)).to_arrow()

    assert sorted(rows["id"].to_pylist()) == [1, 2, 3]
    table = graticule.client.open(
        f"{paying.name}.found.cities", uri=server.url, credential=server.key.credential
    )
    assert table.within((2, 48, 3, 49)).to_arrow(["id"])["id"].to_pylist() == [1]
    assert rule.refusals == 0
