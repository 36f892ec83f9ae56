"""Long lists pass through a commit as text, and nobody can tell but by the clock."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.domain.errors import CatalogError, InvalidRequest
from graticule.iceberg import entries, metadata, updates
from graticule.iceberg.entries import Entries
from support.table_documents import (
    FILE,
    NOW_MS,
    add,
    append,
    point,
    snapshot,
    table,
    table_with_snapshots,
)

UPDATES = [
    add(snapshot(3)),
    add(snapshot(4)),
    add(snapshot(5, **{"parent-snapshot-id": 4})),
    *append(6, 6),
    point("main", 1),
    point("main", 3),
    point("b", 2),
    {"action": "remove-snapshots", "snapshot-ids": [1]},
    {"action": "remove-snapshots", "snapshot-ids": [2, 3]},
    {"action": "remove-snapshot-ref", "ref-name": "main"},
    {"action": "set-properties", "updates": {"k": "v"}},
    {
        "action": "set-statistics",
        "statistics": {
            "snapshot-id": 1,
            "statistics-path": "s",
            "file-size-in-bytes": 1,
            "file-footer-size-in-bytes": 1,
            "blob-metadata": [],
        },
    },
]


@pytest.fixture(autouse=True)
def every_document_is_long(monkeypatch):
    monkeypatch.setattr(metadata, "LONG_BYTES", 0)
    monkeypatch.setattr(entries, "SHORT_BYTES", 300)


def commit(document, changes, number):
    try:
        return updates.apply(
            changes, document, now_ms=NOW_MS + number, metadata_location=FILE
        ).document
    except CatalogError as error:
        return str(error)


@pytest.mark.parametrize(
    "first", [table(1), table(2), table_with_snapshots(1, 2)], ids=["v1", "empty", "two"]
)
@settings(max_examples=200, deadline=None)
@given(
    commits=st.lists(
        st.tuples(st.lists(st.sampled_from(UPDATES), max_size=5), st.booleans()), max_size=6
    )
)
def test_commits_on_text_are_commits_on_what_it_says(first, commits):
    whole, as_text = first, metadata.decode(json.dumps(first, indent=1).encode())
    for number, (changes, is_read_again) in enumerate(commits):
        after = commit(whole, changes, number), commit(as_text, changes, number)
        if isinstance(after[0], str):
            assert after[1] == after[0]
            continue
        whole, as_text = after
        in_pieces = bytes(metadata.spliced(as_text))
        encoded = metadata.encode(as_text)
        assert in_pieces == encoded
        assert json.loads(encoded) == whole
        assert list(as_text["snapshots"]) == whole["snapshots"]
        assert len(as_text["snapshot-log"]) == len(whole["snapshot-log"])
        if is_read_again:
            as_text = metadata.decode(encoded)


def test_what_no_commit_touches_stays_byte_for_byte():
    odd = rb'[ {"snapshot-id":1, "new":1.0e2,"n":[123456789012345678901234567890, "\u00fc"]} ]'
    document = json.dumps(table_with_snapshots(1) | {"snapshots": "HERE"}).encode()
    read = metadata.decode(document.replace(b'"HERE"', odd))

    changed = commit(read, [add(snapshot(2)), point("main", 2)], 1)

    assert odd[:-2] in metadata.encode(changed)
    assert metadata.encode(metadata.decode(metadata.encode(changed))) == metadata.encode(changed)


@pytest.mark.parametrize("empty", ["[]", "[ ]", "[\n]", "null"])
def test_a_list_may_begin_empty(empty):
    document = json.dumps(table(2) | {"snapshots": "HERE", "snapshot-log": []}).encode()
    read = metadata.decode(document.replace(b'"HERE"', empty.encode()))

    changed = commit(read, [add(snapshot(1)), point("main", 1)], 1)

    assert json.loads(metadata.encode(changed))["snapshots"] == [snapshot(1)]


def test_the_members_that_grow_are_not_read():
    read = metadata.decode(json.dumps(table_with_snapshots(1, 2)).encode())

    assert [key for key in read if isinstance(read[key], Entries)] == ["snapshots", "snapshot-log"]


@pytest.mark.parametrize(
    "text", [b"[1]", b'[{"snapshot-id":"1"}]', b"[{}]", b'[{"snapshot-id":1,"a":1e999}]']
)
def test_a_list_of_something_else_is_found_out_when_it_is_looked_at(text):
    document = json.dumps(table_with_snapshots(1) | {"snapshots": "HERE"}).encode()
    read = metadata.decode(document.replace(b'"HERE"', text))

    with pytest.raises(InvalidRequest):
        metadata.check_document(read)


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b'{"a":', b'{"a":NaN}', b'{"snapshots":[1e999'])
def test_what_is_no_document_is_refused(data):
    with pytest.raises(InvalidRequest):
        metadata.decode(data)
