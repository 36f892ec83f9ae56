"""An unmodified PyIceberg against a live server, with nothing but vended credentials."""

import threading

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType

from support.engine_list import PYICEBERG
from support.engine_matrix import Capability, proves
from support.server import LiveCatalog

pytestmark = pytest.mark.client

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "name", StringType(), required=False),
)


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64()), "name": [f"n{i}" for i in ids]})


def ids_of(table) -> list[int]:
    return sorted(table.scan().to_arrow()["id"].to_pylist())


@pytest.fixture
def client(catalog: LiveCatalog):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    return client


@proves(PYICEBERG, Capability.CREATE, Capability.WRITE, Capability.ROW_DELETES)
def test_append_overwrite_delete_and_read_back(client):
    table = client.create_table("ns.t", SCHEMA)
    table.append(rows(1, 2, 3))
    table.append(rows(4))
    assert ids_of(client.load_table("ns.t")) == [1, 2, 3, 4]
    table.delete("id == 2")
    assert ids_of(client.load_table("ns.t")) == [1, 3, 4]
    table.overwrite(rows(9))
    assert ids_of(client.load_table("ns.t")) == [9]


@proves(PYICEBERG, Capability.SCHEMA)
def test_the_schema_evolves_and_old_rows_stay(client):
    table = client.create_table("ns.t", SCHEMA)
    table.append(rows(1))
    with table.update_schema() as update:
        update.add_column("extra", LongType())
        update.rename_column("name", "label")
    read = client.load_table("ns.t").scan().to_arrow()
    assert read.column_names == ["id", "label", "extra"]
    assert read.to_pylist() == [{"id": 1, "label": "n1", "extra": None}]


@proves(PYICEBERG, Capability.TIME_TRAVEL)
def test_partition_spec_tags_branches_and_properties(client):
    table = client.create_table("ns.t", SCHEMA, properties={"owner": "ana"})
    table.append(rows(1, 2))
    with table.update_spec() as update:
        update.add_identity("id")
    table.append(rows(3))
    first = table.history()[0].snapshot_id
    table.manage_snapshots().create_tag(first, "before").create_branch(first, "side").commit()
    loaded = client.load_table("ns.t")
    assert set(loaded.refs()) == {"main", "before", "side"}
    assert sorted(loaded.scan(snapshot_id=first).to_arrow()["id"].to_pylist()) == [1, 2]
    with loaded.transaction() as change:
        change.set_properties({"owner": "bo", "k": "v"})
        change.remove_properties("k")
    assert client.load_table("ns.t").properties["owner"] == "bo"


def test_a_table_created_in_a_transaction_arrives_whole(client):
    with client.create_table_transaction("ns.t", SCHEMA) as change:
        change.append(rows(1, 2))
        with pytest.raises(NoSuchTableError):
            client.load_table("ns.t")
    assert ids_of(client.load_table("ns.t")) == [1, 2]


@proves(PYICEBERG, Capability.DROP)
def test_list_rename_exists_drop(client):
    client.create_table("ns.a", SCHEMA)
    client.create_table("ns.b", SCHEMA)
    client.create_namespace("other")
    client.rename_table("ns.b", "other.c")
    assert client.list_tables("ns") == [("ns", "a")]
    assert client.table_exists("other.c")
    assert not client.table_exists("ns.b")
    client.drop_table("ns.a")
    client.drop_namespace("ns")
    assert client.list_namespaces() == [("other",)]


def test_names_with_spaces_dots_slashes_and_letters_of_all_kinds(client):
    levels = ("a b", "c/d", "é+1")
    for depth in range(1, 4):
        client.create_namespace(levels[:depth])
    table = client.create_table(("a b", "c/d", "é+1", "t x/ü"), SCHEMA)
    table.append(rows(1))
    assert client.list_tables(("a b", "c/d", "é+1")) == [("a b", "c/d", "é+1", "t x/ü")]
    assert ids_of(client.load_table(("a b", "c/d", "é+1", "t x/ü"))) == [1]


def test_two_racing_writers_lose_nothing(catalog, client):
    client.create_table("ns.t", SCHEMA, properties={"commit.retry.num-retries": "30"})
    failures: list[Exception] = []

    def write(start: int) -> None:
        try:
            mine = catalog.pyiceberg().load_table("ns.t")
            for i in range(start, start + 5):
                mine.append(rows(i))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    table = client.load_table("ns.t")
    assert failures == []
    assert ids_of(table) == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    assert len(table.history()) == 10


def test_a_commit_on_a_branch_that_moved_is_refused_and_changes_nothing(catalog, client):
    client.create_table("ns.t", SCHEMA, properties={"commit.retry.num-retries": "0"})
    stale = client.load_table("ns.t")
    client.load_table("ns.t").append(rows(1))
    with pytest.raises(CommitFailedException):
        stale.append(rows(2))
    assert ids_of(client.load_table("ns.t")) == [1]


@proves(PYICEBERG, Capability.VENDED)
def test_the_vended_credential_opens_this_table_and_not_its_neighbour(server, client):
    mine = client.create_table("ns.mine", SCHEMA)
    mine.append(rows(1))
    other = client.create_table("ns.other", SCHEMA)
    other.append(rows(2))
    mine, other = client.load_table("ns.mine"), client.load_table("ns.other")
    s3 = _s3(server, mine.io.properties)
    own = mine.metadata_location.removeprefix("s3://lake/")
    neighbours = other.metadata_location.removeprefix("s3://lake/")
    assert s3.get_object(Bucket="lake", Key=own)["ResponseMetadata"]["HTTPStatusCode"] == 200
    for forbidden in (
        lambda: s3.get_object(Bucket="lake", Key=neighbours),
        lambda: s3.put_object(Bucket="lake", Key=neighbours + "x", Body=b""),
        lambda: s3.list_objects_v2(Bucket="lake"),
    ):
        with pytest.raises(ClientError) as refused:
            forbidden()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_reader_gets_credentials_that_cannot_write(server, catalog, client):
    client.create_table("ns.t", SCHEMA).append(rows(1))
    with server.http() as http:
        key = http.post("/api/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()
    reader = catalog.pyiceberg(credential=f"{key['client_id']}:{key['client_secret']}")
    table = reader.load_table("ns.t")
    assert ids_of(table) == [1]
    s3 = _s3(server, table.io.properties)
    with pytest.raises(ClientError):
        s3.put_object(Bucket="lake", Key=f"{table.location()[len('s3://lake/') :]}/x", Body=b"")
    with pytest.raises(Exception, match=r"Forbidden|AccessDenied|ACCESS_DENIED|403"):
        table.append(rows(2))


def _s3(server, properties):
    return boto3.client(
        "s3",
        endpoint_url=properties["s3.endpoint"],
        region_name=properties["client.region"],
        aws_access_key_id=properties["s3.access-key-id"],
        aws_secret_access_key=properties["s3.secret-access-key"],
        aws_session_token=properties["s3.session-token"],
    )
