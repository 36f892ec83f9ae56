"""Tables in SQL, on both engines: what no two of them may share, and what goes with one."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from graticule.db import namespaces, table_files, tables
from graticule.db.engine import read, write
from graticule.db.schema import table_documents
from graticule.domain.errors import AlreadyExists, InvalidLocation, NoSuchNamespace
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from support.rows import CATALOG, INTEGRATION, NOW, record_at, with_catalog

T = record_at("t")


@pytest.fixture
def db(database):
    with_catalog(database)
    return database


def create(db, record, **kind):
    with write(db) as conn:
        tables.create(conn, record, b'{"a":1}', **kind)


def named(record, name):
    return replace(record, identifier=TableIdentifier(Namespace(("ns",)), name))


def test_a_table_is_found_by_its_id_whatever_it_is_called(db):
    create(db, T)
    with write(db) as conn:
        to = TableIdentifier(Namespace(("ns",)), "u")
        assert tables.rename(conn, "t", namespace_id="n", to=to, now_ms=NOW + 1)
        assert tables.load_by_id(conn, "t") == replace(T, identifier=to, updated_at_ms=NOW + 1)
        assert tables.load_by_id(conn, "none") is None


@pytest.mark.parametrize("kind", ["table", "view"])
def test_a_name_is_taken_by_tables_and_views_alike(db, kind):
    create(db, T)
    with pytest.raises(AlreadyExists, match=rf"^{kind.capitalize()} already exists: ns\.t$"):
        create(db, named(record_at("u"), "t"), kind=kind)


def test_a_uuid_belongs_to_one_table_of_a_catalog(db):
    create(db, T)
    with pytest.raises(AlreadyExists, match="the UUID `uuid of t`"):
        create(db, replace(record_at("u"), table_uuid=T.table_uuid))


def test_a_table_cannot_come_into_a_namespace_that_just_went(db):
    with write(db) as conn:
        namespaces.drop(conn, CATALOG, Namespace(("ns",)))
    with pytest.raises(NoSuchNamespace, match="Namespace does not exist: ns"):
        create(db, T)


@pytest.mark.parametrize("key", ["t", "t/below", "", "t/a/b/c"])
def test_locations_do_not_overlap(db, key):
    create(db, T)
    location = Location("lake", f"{CATALOG}/{key}".rstrip("/"))
    with pytest.raises(InvalidLocation, match="overlaps that of another table or view"):
        create(db, replace(record_at("u"), location=location))


@pytest.mark.parametrize("key", ["t1", "u", "T"])
def test_neighbours_do_not_overlap(db, key):
    create(db, T)
    create(db, replace(record_at("u"), location=Location("lake", f"{CATALOG}/{key}")))


@pytest.mark.postgres
def test_two_overlapping_locations_cannot_be_taken_at_once(postgres_database):
    """Neither transaction sees the other's row; the second waits for the first to end."""
    db = postgres_database
    with_catalog(db)
    inner = replace(record_at("u"), location=T.location.join("below"))
    outcome = []

    def second():
        try:
            create(db, inner)
            outcome.append("made")
        except InvalidLocation:
            outcome.append("refused")

    thread = threading.Thread(target=second)
    with write(db) as conn:
        tables.create(conn, T, b"{}")
        thread.start()
        thread.join(0.2)  # long enough to be seen waiting
        assert outcome == []
    thread.join()
    assert outcome == ["refused"]


@pytest.mark.parametrize(
    ("source", "key", "is_free"),
    [
        ("raw/places/", "raw/places", False),
        ("raw/places/", "raw/places/t", False),
        ("raw/places/", "raw", False),
        ("raw/places/", "raw/places2", True),
        ("raw/a.parquet", "raw", False),
        ("raw/a.parquet", "raw/a.parquet2", True),
        ("raw/a.parquet", "raw/b", True),
    ],
)
def test_a_location_keeps_off_what_another_table_reads_in_place(db, source, key, is_free):
    create(db, record_at("t", sources=(f"s3://lake/{source}",)))
    with read(db) as conn:
        if is_free:
            tables.refuse_sources(conn, INTEGRATION, Location("lake", key))
        else:
            with pytest.raises(InvalidLocation, match="registered in place"):
                tables.refuse_sources(conn, INTEGRATION, Location("lake", key))
        tables.refuse_sources(conn, "another", Location("lake", key))


def test_a_drop_of_a_version_that_is_not_the_current_one_drops_nothing(db):
    create(db, T)
    with write(db) as conn:
        assert not tables.drop(conn, "t", expected="s3://lake/other.json")
        assert tables.load_by_id(conn, "t") == T
        assert tables.drop(conn, "t", expected=T.metadata_location)
        assert not tables.drop(conn, "t")


def test_the_copy_of_the_document_goes_with_the_table(db):
    create(db, T)
    with write(db) as conn:
        assert tables.read_document(conn, "t", T.metadata_location) == b'{"a":1}'
        tables.drop(conn, "t")
        assert conn.execute(select(func.count()).select_from(table_documents)).scalar() == 0


def test_the_copy_of_the_document_is_that_of_the_current_file_whatever_its_size(db):
    sizes = [10, tables.PACKED_FROM_BYTES, tables.PACKED_FROM_BYTES + 1]
    documents = [
        *(b'{"a":"' + b"x" * (size - 8) + b'"}' for size in sizes),
        b" {}",  # as another catalog may have written it
        b"{" + b" " * tables.DOCUMENT_COPY_BYTES_MAX + b"}",  # too large to be kept
        b'{"a":2}',
    ]
    create(db, T)
    at, found = T.metadata_location, []
    for number, document in enumerate(documents):
        swap = tables.Swap("t", at, f"s3://lake/{number}.json", document)
        with write(db) as conn:
            assert tables.swap_metadata_location(conn, swap, now_ms=NOW)
            assert not tables.swap_metadata_location(conn, swap, now_ms=NOW)
            assert tables.read_document(conn, "t", at) is None
            found.append(tables.read_document(conn, "t", swap.metadata_location))
        at = swap.metadata_location

    assert found == [*documents[:4], None, documents[5]]


@pytest.mark.parametrize(
    ("source", "key", "is_read"),
    [
        ("raw/a/", "raw/a/b/c.parquet", True),
        ("raw/a/", "raw/ab/c.parquet", False),
        ("raw/a/", "raw/A/c.parquet", False),
        ("raw/a.parquet", "raw/a.parquet", True),
        ("raw/a.parquet", "raw/a.parquet.bak", False),
        ("raw/50% _x/", "raw/50% _x/f", True),
        ("raw/50% _x/", "raw/50abyx/f", False),
        ("raw/a/", f"{CATALOG}/t/data/f", True),
        ("raw/a/", f"{CATALOG}/tt/data/f", False),
    ],
)
def test_the_tables_that_may_read_an_object_are_found(db, source, key, is_read):
    create(db, record_at("t", sources=(f"s3://lake/{source}", "s3://lake/other/")))
    create(db, record_at("u"))

    with read(db) as conn:
        found = table_files.tables_of(conn, INTEGRATION, f"s3://lake/{key}")
        elsewhere = table_files.tables_of(conn, "another", f"s3://lake/{key}")

    assert found == ([(CATALOG, record_at("t").identifier)] if is_read else [])
    assert elsewhere == []
