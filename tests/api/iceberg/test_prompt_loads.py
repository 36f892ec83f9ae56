"""Loads that need not wait are answered on the event loop, all others in a thread."""

import threading

import pytest

from support.server import LiveCatalog

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "a", "type": "int", "required": False}]}
DELEGATE = {"X-Iceberg-Access-Delegation": "vended-credentials"}


@pytest.fixture
def table(http, catalog: LiveCatalog) -> str:
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    http.post(f"{catalog.base}/namespaces/ns/tables", json={"name": "t", "schema": SCHEMA})
    return f"{catalog.base}/namespaces/ns/tables/t"


@pytest.fixture
def began(server, monkeypatch) -> list[bool]:
    """For every time that a load began: whether it was on the event loop."""
    seen: list[bool] = []
    load = server.services.tables.load

    def watched(*args, **options):
        seen.append("quick thread" not in threading.current_thread().name)
        return load(*args, **options)

    monkeypatch.setattr(server.services.tables, "load", watched)
    return seen


def test_a_known_table_is_loaded_on_the_event_loop(http, table, began):
    assert http.get(table).status_code == 200
    assert http.get(table).status_code == 200
    assert began[-1:] == [True]


def test_a_credential_that_has_to_be_asked_for_is_asked_for_in_a_thread(http, table, began):
    http.get(table)
    began.clear()
    first = http.get(table, headers=DELEGATE)
    assert began == [True, False]
    assert http.get(table, headers=DELEGATE).json() == first.json()
    assert began == [True, False, True]


def test_a_document_that_has_to_be_read_is_read_in_a_thread(http, table, began):
    whole = http.get(table).json()
    began.clear()
    refs_only = http.get(f"{table}?snapshots=refs")
    assert began == [True, False]
    assert refs_only.json() == whole
    assert http.get(f"{table}?snapshots=refs").content == refs_only.content
    assert began == [True, False, True]


def test_a_load_after_a_commit_has_the_commit(http, table, began):
    for number in range(10):
        update = {"action": "set-properties", "updates": {"number": str(number)}}
        committed = http.post(table, json={"requirements": [], "updates": [update]})
        loaded = http.get(table)
        assert loaded.json()["metadata"] == committed.json()["metadata"]
        assert loaded.headers["ETag"] == committed.headers["ETag"]
        assert http.get(table, headers={"If-None-Match": loaded.headers["ETag"]}).status_code == 304
    assert began[-1:] == [True]
