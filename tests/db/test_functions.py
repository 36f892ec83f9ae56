from dataclasses import replace

import pytest

from graticule.db import functions, namespaces
from graticule.db.engine import read, write
from graticule.domain.errors import AlreadyExists, NamespaceNotEmpty
from graticule.domain.function import FunctionRecord
from graticule.domain.identifiers import Namespace

NOW = 1_790_000_000_000


def function(name="f", function_id="01", **changes):
    return replace(
        FunctionRecord(
            id=function_id,
            catalog_id="c",
            namespace_id="n",
            namespace=Namespace(("a", "b")),
            name=name,
            document={"function-uuid": "u", "of-the-future": [1, "ö"]},
            version=1,
            created_at_ms=NOW,
            updated_at_ms=NOW,
        ),
        **changes,
    )


@pytest.fixture
def db(database, namespace):
    with write(database) as conn:
        functions.create(conn, function())
    return database


def test_a_function_comes_back_as_it_was_kept(db):
    with read(db) as conn:
        assert functions.load(conn, "n", "f") == function()
        assert functions.load(conn, "n", "g") is None
        assert functions.load(conn, "p", "f") is None


def test_a_name_is_taken_in_its_own_namespace_only(db):
    with pytest.raises(AlreadyExists, match=r"Function already exists: a\.b\.f"), write(db) as conn:
        functions.create(conn, function(function_id="02"))
    with write(db) as conn:
        functions.create(
            conn, function(function_id="02", namespace_id="p", namespace=Namespace(("a",)))
        )


def test_lists_are_ordered_and_go_on_where_they_stopped(db):
    with write(db) as conn:
        for number, name in enumerate(("B", "ä", "a"), start=2):
            functions.create(conn, function(name, f"0{number}"))
    with read(db) as conn:
        assert functions.list_names(conn, "n", after="", limit=None) == ["B", "a", "f", "ä"]
        assert functions.list_names(conn, "n", after="a", limit=1) == ["f"]
        made = functions.page(conn, "n", after="01", limit=2)
        assert [record.name for record in made] == ["B", "ä"]
        assert functions.page(conn, "p", after=None, limit=2) == []


def test_only_the_expected_version_is_replaced(db):
    changed = function(document={"function-uuid": "u"}, version=2, updated_at_ms=NOW + 1)
    with write(db) as conn:
        assert functions.replace(conn, changed, expected_version=1)
        assert not functions.replace(conn, function(version=3), expected_version=1)
    with read(db) as conn:
        assert functions.load(conn, "n", "f") == changed


def test_only_the_expected_version_is_dropped(db):
    with write(db) as conn:
        assert not functions.drop(conn, "01", expected_version=2)
        assert functions.drop(conn, "01", expected_version=1)
        assert not functions.drop(conn, "01", expected_version=1)


def test_a_namespace_with_a_function_is_not_dropped(db):
    with pytest.raises(NamespaceNotEmpty), write(db) as conn:
        namespaces.drop(conn, "c", Namespace(("a", "b")))
    with write(db) as conn:
        functions.drop(conn, "01", expected_version=1)
        namespaces.drop(conn, "c", Namespace(("a", "b")))
