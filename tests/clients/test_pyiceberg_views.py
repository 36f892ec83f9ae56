"""An unmodified PyIceberg and views: all it can do with them."""

import pytest
from pyiceberg.exceptions import NoSuchViewError, ViewAlreadyExistsError
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType
from pyiceberg.view.metadata import SQLViewRepresentation, ViewRepresentation, ViewVersion

from support.engine_list import PYICEBERG
from support.engine_matrix import Capability, proves
from support.server import LiveCatalog

pytestmark = pytest.mark.client

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "name", StringType(), required=False),
)


def version(sql: str = "select id, name from ns.t") -> ViewVersion:
    query = SQLViewRepresentation(type="sql", sql=sql, dialect="spark")
    return ViewVersion(
        schema_id=0,
        summary={"engine-name": "test"},
        representations=[ViewRepresentation(query)],
        default_namespace=("ns",),
    )


@pytest.fixture
def client(catalog: LiveCatalog):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    return client


@proves(PYICEBERG, Capability.VIEWS)
def test_create_load_list_and_drop(client):
    made = client.create_view("ns.v", SCHEMA, version(), properties={"comment": "x"})
    loaded = client.load_view("ns.v")
    assert loaded.metadata == made.metadata
    assert loaded.metadata.current_version_id == 1
    assert loaded.metadata.properties == {"comment": "x"}
    [representation] = loaded.metadata.versions[0].representations
    assert representation.root.sql == "select id, name from ns.t"
    assert client.view_exists("ns.v")
    assert client.list_views("ns") == [("ns", "v")]
    assert client.list_tables("ns") == []
    client.drop_view("ns.v")
    assert not client.view_exists("ns.v")
    assert client.list_views("ns") == []


def test_what_is_not_there_and_what_is_there_already(client):
    with pytest.raises(NoSuchViewError):
        client.load_view("ns.absent")
    with pytest.raises(NoSuchViewError):
        client.load_view("absent.v")
    with pytest.raises(NoSuchViewError):
        client.drop_view("ns.absent")
    assert not client.view_exists("absent.v")
    client.create_view("ns.v", SCHEMA, version())
    with pytest.raises(ViewAlreadyExistsError):
        client.create_view("ns.v", SCHEMA, version())
    client.create_table("ns.t", SCHEMA)
    with pytest.raises(ViewAlreadyExistsError, match="Table with same name already exists"):
        client.create_view("ns.t", SCHEMA, version())


def test_a_dropped_view_is_registered_again(client, http, catalog):
    made = client.create_view("ns.v", SCHEMA, version())
    answer = http.get(f"{catalog.base}/namespaces/ns/views/v").json()
    client.drop_view("ns.v")
    registered = client.register_view("ns.w", answer["metadata-location"])
    assert registered.metadata == made.metadata
    assert client.list_views("ns") == [("ns", "w")]


def test_many_views_are_listed_in_pages(client):
    for number in range(5):
        client.create_view(f"ns.v{number}", SCHEMA, version())
    assert len(client.list_views("ns")) == 5
