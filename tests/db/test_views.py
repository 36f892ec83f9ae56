"""Views are rows of `tables`: one name space, one set of places, kinds that do not mix."""

from dataclasses import replace

import pytest

from graticule.db import namespaces, tables
from graticule.db.engine import read, write
from graticule.db.tables import TABLE, VIEW
from graticule.domain.catalog import TableRecord
from graticule.domain.errors import AlreadyExists, InvalidLocation, NamespaceNotEmpty
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location

NOW = 1_790_000_000_000


def identifier(name):
    return TableIdentifier(Namespace(("a", "b")), name)


def record(name="v", **changes):
    return replace(
        TableRecord(
            id=f"id of {name}",
            catalog_id="c",
            namespace_id="n",
            identifier=identifier(name),
            table_uuid=f"uuid of {name}",
            location=Location("lake", f"c/{name}"),
            metadata_location=f"s3://lake/c/{name}/metadata/0",
            version=0,
            created_at_ms=NOW,
            updated_at_ms=NOW,
        ),
        **changes,
    )


@pytest.fixture
def db(database, namespace):
    with write(database) as conn:
        tables.create(conn, record("v"), b"{}", kind=VIEW)
        tables.create(conn, record("t"), b"{}")
    return database


def test_a_view_is_loaded_as_a_view_only(db):
    with read(db) as conn:
        assert tables.load(conn, "c", identifier("v"), kind=VIEW) == record("v")
        assert tables.load(conn, "c", identifier("v")) is None
        assert tables.load(conn, "c", identifier("t"), kind=VIEW) is None
        kinds = [tables.kind_of(conn, "c", identifier(name)) for name in ("v", "t", "x")]
        assert kinds == [VIEW, TABLE, None]
        assert tables.read_document(conn, "id of v", "s3://lake/c/v/metadata/0") == b"{}"


def test_views_and_tables_are_listed_apart(db):
    with read(db) as conn:
        listed = [
            list(tables.list_names(conn, "n", kind=kind, after="", limit=None))
            for kind in (TABLE, VIEW)
        ]
    assert listed == [["t"], ["v"]]


@pytest.mark.parametrize(("kind", "name"), [(VIEW, "t"), (TABLE, "v"), (VIEW, "v")])
def test_a_name_is_taken_whichever_kind_has_it(db, kind, name):
    again = record(name, id="other", table_uuid="other", location=Location("lake", "c/other"))
    message = rf"{kind.capitalize()} already exists: a\.b\.{name}"
    with pytest.raises(AlreadyExists, match=message), write(db) as conn:
        tables.create(conn, again, b"{}", kind=kind)


@pytest.mark.parametrize("key", ["c/v", "c/v/below", "c"])
def test_a_view_holds_its_place_against_tables(db, key):
    with pytest.raises(InvalidLocation, match="table or view"), write(db) as conn:
        tables.create(conn, record("x", location=Location("lake", key)), b"{}")


def test_a_view_moves_and_goes_like_a_table(db):
    swap = tables.Swap(
        table_id="id of v",
        expected="s3://lake/c/v/metadata/0",
        metadata_location="s3://lake/c/v/metadata/1",
        document=b"[]",
        moves_to=Location("lake", "c/w"),
    )
    with write(db) as conn:
        assert tables.swap_metadata_location(conn, swap, now_ms=NOW + 1)
        assert not tables.swap_metadata_location(conn, swap, now_ms=NOW + 2)
    with read(db) as conn:
        moved = tables.load(conn, "c", identifier("v"), kind=VIEW)
    assert moved == record(
        location=Location("lake", "c/w"),
        metadata_location="s3://lake/c/v/metadata/1",
        version=1,
        updated_at_ms=NOW + 1,
    )
    with pytest.raises(NamespaceNotEmpty), write(db) as conn:
        namespaces.drop(conn, "c", Namespace(("a", "b")))
    with write(db) as conn:
        assert tables.drop(conn, "id of v")
        assert tables.kind_of(conn, "c", identifier("v")) is None
