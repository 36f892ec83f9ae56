"""Requests far beyond what any client sends: refused clearly, soon, and in bounded memory."""

import json
import resource
import time
from collections.abc import Iterator

import pytest

from support import openapi

ANSWER_S_MAX = 30.0
MEMORY_MIB_MAX = 400
"""How much the whole test process, with the server in it, may grow over one of these requests."""
SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [{"id": 1, "name": "id", "type": "long", "required": False}],
}
JSON_BODY = {"Content-Type": "application/json"}
WITH_BODIES = [o for o in openapi.CATALOG.operations if o.request is not None]


@pytest.fixture
def table(http, catalog):
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    made = http.post(f"{catalog.base}/namespaces/ns/tables", json={"name": "t", "schema": SCHEMA})
    assert made.status_code == 200, made.text
    return f"{catalog.base}/namespaces/ns/tables/t"


def memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(http, method, path, **options):
    before, started = memory_mib(), time.monotonic()
    answer = http.request(method, path, **options)
    assert time.monotonic() - started < ANSWER_S_MAX
    assert memory_mib() - before < MEMORY_MIB_MAX
    assert answer.status_code < 500, answer.text
    return answer


@pytest.mark.parametrize("operation", WITH_BODIES, ids=lambda operation: operation.name)
def test_a_body_of_24_mib_is_too_large_for_every_operation(http, catalog, operation):
    path = operation.template.replace("{prefix}", catalog.id)
    for name in ("namespace", "table", "view"):
        path = path.replace(f"{{{name}}}", "x")
    body = b'{"name": "' + b"x" * (24 << 20) + b'"}'
    headers = {"Content-Type": operation.request_media}
    answer = timed(http, "POST", f"/catalog{path}", content=body, headers=headers)
    assert answer.status_code == 413


def test_a_body_of_100_mb_that_does_not_say_its_length_is_refused_at_the_limit(http, catalog):
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000_000

    answer = timed(http, "POST", f"{catalog.base}/namespaces", content=endless(), headers=JSON_BODY)
    assert answer.status_code == 413


UPDATES = {
    "set-properties": {"action": "set-properties", "updates": {"k": "v"}},
    "add-schema": {"action": "add-schema", "schema": SCHEMA},
    "remove-snapshots": {"action": "remove-snapshots", "snapshot-ids": [1]},
    "unknown": {"action": "x"},
}


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_100_000_updates_are_refused_and_change_nothing(http, table, update):
    before = http.get(table).json()["metadata-location"]
    body = json.dumps({"requirements": [], "updates": [update] * 100_000})
    answer = timed(http, "POST", table, content=body, headers=JSON_BODY)
    assert answer.status_code == 400
    assert http.get(table).json()["metadata-location"] == before


def test_10_000_updates_are_carried_out(http, table):
    updates = [
        {"action": "set-properties", "updates": {f"k{number}": "v"}} for number in range(10_000)
    ]
    answer = timed(http, "POST", table, json={"requirements": [], "updates": updates})
    assert len(answer.json()["metadata"]["properties"]) >= 10_000


def test_100_000_requirements_are_refused(http, table):
    requirement = {"type": "assert-ref-snapshot-id", "ref": "main"}
    body = {"requirements": [requirement] * 100_000, "updates": []}
    assert timed(http, "POST", table, json=body).status_code == 400


def test_a_transaction_over_10_000_tables_is_refused(http, catalog, table):
    changes = [
        {
            "identifier": {"namespace": ["ns"], "name": f"t{number}"},
            "requirements": [],
            "updates": [],
        }
        for number in range(10_000)
    ]
    answer = timed(
        http, "POST", f"{catalog.base}/transactions/commit", json={"table-changes": changes}
    )
    assert answer.status_code == 400


def test_a_schema_of_100_000_columns_is_refused(http, catalog, table):
    fields = [
        {"id": number, "name": f"c{number}", "type": "long", "required": False}
        for number in range(1, 100_001)
    ]
    body = {"name": "wide", "schema": {"type": "struct", "fields": fields}}
    answer = timed(http, "POST", table.rpartition("/")[0], json=body)
    assert answer.status_code == 400


@pytest.mark.parametrize("wrap", ["list", "struct"])
def test_a_schema_of_5_000_levels_is_refused(http, table, wrap):
    kind = '"long"'
    for number in range(5_000):
        if wrap == "list":
            kind = (
                f'{{"type": "list", "element-id": {number}, "element-required": false, '
                f'"element": {kind}}}'
            )
        else:
            kind = (
                f'{{"type": "struct", "fields": [{{"id": {number}, "name": "f", '
                f'"required": false, "type": {kind}}}]}}'
            )
    field = f'{{"id": 1, "name": "a", "required": false, "type": {kind}}}'
    body = f'{{"name": "deep", "schema": {{"type": "struct", "fields": [{field}]}}}}'
    answer = timed(http, "POST", table.rpartition("/")[0], content=body.encode(), headers=JSON_BODY)
    assert answer.status_code == 400


@pytest.mark.parametrize("negations", [5_000, 100_000])
def test_a_filter_of_thousands_of_levels_is_refused(http, table, negations):
    body = '{"filter": ' + '{"type": "not", "child": ' * negations + "true" + "}" * negations + "}"
    answer = timed(http, "POST", f"{table}/plan", content=body.encode(), headers=JSON_BODY)
    assert answer.status_code == 400


def test_a_namespace_of_10_000_levels_is_refused_wherever_it_stands(http, catalog, table):
    levels = ["n"] * 10_000
    made = timed(http, "POST", f"{catalog.base}/namespaces", json={"namespace": levels})
    assert made.status_code == 400
    listed = timed(
        http, "GET", f"{catalog.base}/namespaces", params={"parent": "\x1f".join(levels)}
    )
    assert listed.status_code == 400
    renamed = timed(
        http,
        "POST",
        f"{catalog.base}/tables/rename",
        json={
            "source": {"namespace": levels, "name": "t"},
            "destination": {"namespace": ["ns"], "name": "u"},
        },
    )
    assert renamed.status_code in {400, 404}
    in_path = timed(http, "GET", f"{catalog.base}/namespaces/{'%1F'.join(levels)}")
    assert in_path.status_code == 404
    table_in_path = timed(http, "GET", f"{catalog.base}/namespaces/{'%1F'.join(levels)}/tables/t")
    assert table_in_path.status_code == 404


def test_the_longest_legal_names_can_be_used_in_paths(http, catalog):
    """Sixteen levels of 255 characters of four bytes each take 49 kB, percent-encoded."""
    levels = []
    for _ in range(16):
        levels.append("𝄞" * 255)
        made = http.post(f"{catalog.base}/namespaces", json={"namespace": levels})
        assert made.status_code == 200, made.text
    path = "%1F".join("%F0%9D%84%9E" * 255 for _ in levels)
    loaded = http.get(f"{catalog.base}/namespaces/{path}")
    assert loaded.json()["namespace"] == levels


def test_properties_of_a_namespace_are_bounded(http, catalog):
    body = {"namespace": ["a"], "properties": {f"k{n}": "v" * 100 for n in range(100_000)}}
    answer = timed(http, "POST", f"{catalog.base}/namespaces", json=body)
    assert answer.status_code == 400


def test_a_filter_with_100_000_values_is_planned(http, table):
    body = {"filter": {"type": "in", "term": "id", "values": list(range(100_000))}}
    assert timed(http, "POST", f"{table}/plan", json=body).status_code == 200
