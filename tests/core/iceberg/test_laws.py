"""What holds for every input: totality, losslessness, and that nothing is changed in place."""

import copy
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graticule.domain.errors import CatalogError
from graticule.iceberg import metadata, updates
from graticule.iceberg.requirements import REQUIREMENTS, check_all, is_create
from graticule.iceberg.updates import UPDATES
from support.table_documents import (
    FILE,
    NOW_MS,
    add,
    append,
    apply,
    creation,
    field,
    order,
    part,
    point,
    schema,
    snapshot,
    spec,
    table,
    table_with_snapshots,
)

LAWS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

keys = st.one_of(
    st.sampled_from(
        ["type", "fields", "id", "name", "snapshot-id", "schema-id", "source-id", "a", ""]
    ),
    st.text(max_size=3),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-2, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["struct", "list", "long", "geometry", "main", "branch", "identity"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)

TABLES = [
    None,
    table(1),
    table_with_snapshots(1, 2),
    table_with_snapshots(1, 2, version=3),
]

WELL_FORMED = [
    *creation(3),
    *append(3, 2, **{"first-row-id": 20, "added-rows": 1}),
    add(snapshot(4)),
    point("b", 1),
    point("main", 1),
    {"action": "add-schema", "schema": schema(field(1, "id"), field(9, "g", "geometry"))},
    {"action": "add-spec", "spec": spec(part(1, "id"))},
    {"action": "set-default-spec", "spec-id": 1},
    {"action": "add-sort-order", "sort-order": order(1)},
    {"action": "set-default-sort-order", "sort-order-id": 1},
    {"action": "remove-schemas", "schema-ids": [1]},
    {"action": "remove-partition-specs", "spec-ids": [1]},
    {"action": "remove-snapshots", "snapshot-ids": [1]},
    {"action": "remove-snapshot-ref", "ref-name": "main"},
    {"action": "remove-properties", "removals": ["owner"]},
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
    {"action": "remove-statistics", "snapshot-id": 1},
    {
        "action": "set-partition-statistics",
        "partition-statistics": {
            "snapshot-id": 1,
            "statistics-path": "s",
            "file-size-in-bytes": 1,
        },
    },
    {"action": "remove-partition-statistics", "snapshot-id": 1},
    {
        "action": "add-encryption-key",
        "encryption-key": {"key-id": "k", "encrypted-key-metadata": "a2V5"},
    },
    {"action": "remove-encryption-key", "key-id": "k"},
]


def paths_in(value, prefix=()):
    """Every place in a JSON value, the value itself included."""
    yield prefix
    if isinstance(value, dict):
        for key, member in value.items():
            yield from paths_in(member, (*prefix, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from paths_in(member, (*prefix, index))


def replaced(value, path, new):
    if not path:
        return new
    key, rest = path[0], path[1:]
    changed = copy.copy(value)
    changed[key] = replaced(value[key], rest, new)
    return changed


@st.composite
def damaged(draw, wholes):
    """A well-formed value with one place in it replaced by anything."""
    whole = draw(st.sampled_from(wholes))
    return replaced(whole, draw(st.sampled_from(list(paths_in(whole)))), draw(json_values))


update_members = [
    *("schema", "spec", "sort-order", "snapshot", "snapshot-id", "schema-id", "updates"),
    *("removals", "statistics", "ref-name", "type", "uuid", "location", "format-version"),
]
shaped_updates = st.builds(
    lambda action, body: {"action": action} | body,
    st.sampled_from(sorted(UPDATES)),
    st.dictionaries(st.sampled_from(update_members), json_values),
)
any_updates = st.one_of(
    json_values,
    st.lists(
        json_values | shaped_updates | damaged(WELL_FORMED) | st.sampled_from(WELL_FORMED),
        max_size=5,
    ),
)


def applied_or_none(changes, base):
    try:
        return updates.apply(changes, base, now_ms=NOW_MS, metadata_location=FILE).document
    except CatalogError:
        return None


@LAWS
@given(any_updates, st.sampled_from(TABLES))
def test_any_json_at_all_is_applied_or_refused_as_a_catalog_error(changes, base):
    before = copy.deepcopy((changes, base))
    result = applied_or_none(changes, base)
    if result is not None:
        metadata.check_document(metadata.decode(metadata.encode(result)))
    assert (changes, base) == before


@pytest.mark.parametrize("base", TABLES)
@LAWS
@given(data=st.data())
def test_every_action_with_one_damaged_place_is_applied_or_refused(base, data):
    prefix = creation(3) if base is None else []
    changes = [*prefix, data.draw(damaged(WELL_FORMED))]
    result = applied_or_none(changes, base)
    if result is not None:
        metadata.check_document(result)


shaped_requirements = st.builds(
    lambda kind, body: {"type": kind} | body,
    st.sampled_from(sorted(REQUIREMENTS)),
    st.dictionaries(
        st.sampled_from(["uuid", "ref", "snapshot-id", "current-schema-id", "default-spec-id"]),
        json_values,
    ),
)


@LAWS
@given(json_values | st.lists(json_values | shaped_requirements), st.sampled_from(TABLES))
def test_requirements_hold_or_fail_as_a_catalog_error(requirements, base):
    with suppress(CatalogError):
        check_all(requirements, base)
    if isinstance(requirements, list):
        is_create(requirements)


RICH = apply(
    [
        u
        for u in WELL_FORMED
        if u["action"] in {"set-statistics", "set-partition-statistics", "add-encryption-key"}
    ],
    table_with_snapshots(1, 2, version=3),
    file=FILE,
)
EARLY = {k: v for k, v in table(1).items() if k not in {"schemas", "partition-specs", "refs"}}


@LAWS
@given(damaged([RICH, EARLY, table_with_snapshots(1, 2)]), st.sampled_from(WELL_FORMED))
def test_whatever_document_passes_the_check_can_be_read_and_changed(document, change):
    with suppress(CatalogError):
        metadata.check_document(document)
        metadata.refs_only(document)
        metadata.with_canonical_types(document)
        metadata.current_snapshot(document)
        check_all([{"type": kind, "uuid": "x", "ref": "main"} for kind in REQUIREMENTS], document)
    with suppress(CatalogError):
        metadata.check_document(document)
        updates.apply([change], document, now_ms=NOW_MS, metadata_location=FILE)


@LAWS
@given(json_values, json_values, json_values)
def test_any_json_at_all_makes_a_new_table_or_is_refused(columns, partition_spec, sort_order):
    with suppress(CatalogError):
        metadata.new_table(
            schema={"type": "struct", "fields": columns},
            partition_spec=partition_spec,
            sort_order=sort_order,
            location="s3://b/t",
            properties={},
            table_uuid="u",
            now_ms=NOW_MS,
        )


@LAWS
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_printing_and_parsing_a_document_is_the_identity(document):
    assert metadata.decode(metadata.encode(document)) == document


@LAWS
@given(json_values)
def test_members_that_nobody_knows_survive_a_commit_wherever_they_are(anything):
    strange = {"x-future": anything}
    base = table_with_snapshots(1, 2, version=3) | strange
    base["schemas"] = [base["schemas"][0] | strange]
    base["snapshots"] = [item | strange for item in base["snapshots"]]
    base["refs"] = {"main": base["refs"]["main"] | strange}
    base["snapshot-log"] = [entry | strange for entry in base["snapshot-log"]]
    lineage = {"first-row-id": 20, "added-rows": 1}
    after = apply(
        [
            {"action": "add-schema", "schema": schema(field(1, "id", **strange)) | strange},
            {"action": "add-spec", "spec": spec(part(1, "id", **strange)) | strange},
            {"action": "add-sort-order", "sort-order": order(1) | strange},
            add(snapshot(3, **lineage) | strange),
            point("b", 3) | strange,
        ],
        base,
        file=FILE,
    )
    holders = [
        after,
        *after["schemas"],
        after["schemas"][1]["fields"][0],
        after["partition-specs"][1],
        after["partition-specs"][1]["fields"][0],
        after["sort-orders"][1],
        *after["snapshots"],
        *after["refs"].values(),
        *after["snapshot-log"],
    ]
    assert [holder.get("x-future") for holder in holders] == [anything] * len(holders)


@LAWS
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(-(10**9), 10**9), st.booleans()), max_size=12)
)
def test_no_mix_of_commits_and_clocks_makes_a_table_that_clients_refuse(steps):
    document = table_with_snapshots(100)
    for number, (snapshot_id, skew_ms, removes) in enumerate(steps):
        changes = (
            [{"action": "remove-snapshots", "snapshot-ids": [snapshot_id]}]
            if removes
            else [
                add(snapshot(snapshot_id, 101 + number, **{"timestamp-ms": NOW_MS + skew_ms})),
                point("main", snapshot_id),
            ]
        )
        with suppress(CatalogError):
            document = apply(changes, document, now_ms=NOW_MS + number, file=FILE)
        metadata.check_document(document)
