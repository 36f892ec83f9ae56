"""An unmodified PyIceberg that has every request signed and never holds a credential."""

import fsspec.config
import pyarrow as pa
import pytest
from pyiceberg.exceptions import SignError
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType

from support.server import LiveCatalog

pytestmark = [pytest.mark.client, pytest.mark.s3]

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "name", StringType(), required=False),
)
SIGNING = {"header.X-Iceberg-Access-Delegation": "remote-signing"}


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64()), "name": [f"n{i}" for i in ids]})


def ids_of(table) -> list[int]:
    return sorted(table.scan().to_arrow()["id"].to_pylist())


@pytest.fixture
def client(catalog: LiveCatalog, monkeypatch):
    """As the documentation says: `FSSPEC_S3_SKIP_INSTANCE_CACHE=true`.

    A file system that fsspec shares between threads loses its signer for a moment whenever
    PyIceberg opens it in another one, and what is sent just then is not signed.
    """
    monkeypatch.setitem(fsspec.config.conf, "s3", {"skip_instance_cache": True})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    client = catalog.pyiceberg(**SIGNING)
    client.create_namespace("ns")
    return client


def test_append_and_read_back_without_any_credential(client):
    table = client.create_table("ns.t", SCHEMA)
    table.append(rows(1, 2, 3))
    table.append(rows(4))
    loaded = client.load_table("ns.t")
    assert ids_of(loaded) == [1, 2, 3, 4]
    assert type(loaded.io).__name__ == "FsspecFileIO"
    assert not [name for name in loaded.io.properties if "access-key" in name]
    loaded.delete("id == 2")
    loaded.overwrite(rows(9))
    assert ids_of(client.load_table("ns.t")) == [9]


def test_two_tables_open_at_once_are_each_signed_as_themselves(client):
    one, two = client.create_table("ns.one", SCHEMA), client.create_table("ns.two", SCHEMA)
    one.append(rows(1))
    two.append(rows(2))
    one.append(rows(3))
    assert (ids_of(one), ids_of(two), ids_of(one)) == ([1, 3], [2], [1, 3])


def test_a_table_created_in_a_transaction_is_written_before_it_is_there(client):
    with client.create_table_transaction("ns.t", SCHEMA) as change:
        change.append(rows(1, 2))
    assert ids_of(client.load_table("ns.t")) == [1, 2]


def test_a_reader_reads_and_its_writes_are_not_signed(server, catalog, client):
    client.create_table("ns.t", SCHEMA).append(rows(1))
    with server.http() as http:
        key = http.post("/api/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()
    reader = catalog.pyiceberg(credential=f"{key['client_id']}:{key['client_secret']}", **SIGNING)
    table = reader.load_table("ns.t")
    assert ids_of(table) == [1]
    with pytest.raises(SignError, match="Failed to sign request 403"):
        table.append(rows(2))
    assert ids_of(client.load_table("ns.t")) == [1]
