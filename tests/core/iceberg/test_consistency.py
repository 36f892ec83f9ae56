import pytest

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.metadata import check_document
from support.table_documents import (
    NOW_MS,
    apply,
    creation,
    field,
    part,
    schema,
    table,
    table_with_snapshots,
)

BASE = table_with_snapshots(1, 2)


def without(document, *keys):
    return {k: v for k, v in document.items() if k not in keys}


def test_documents_of_every_version_and_future_members_pass():
    for version in (1, 2, 3):
        check_document(apply(creation(version), None) | {"future": {"a": None}})
    check_document(BASE)
    check_document(table_with_snapshots(1, 2, version=3))


def test_a_foreign_geometry_spelling_passes():
    check_document(table(3) | {"schemas": [schema(field(1, "g", "geometry(ogc:crs84)"))]})


def test_a_stored_spec_may_outlive_its_columns_and_use_transforms_to_come():
    spec = {"spec-id": 0, "fields": [part(99, "p", "zorder[3]", **{"field-id": 1000})]}
    check_document(BASE | {"partition-specs": [spec], "last-partition-id": 1000})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "must be an object"),
        ({}, "`format-version`"),
        (BASE | {"format-version": 4}, "Unsupported format version: v4"),
        (BASE | {"format-version": True}, "must be an integer"),
        (without(BASE, "table-uuid"), "`table-uuid`"),
        (without(BASE, "location"), "`location`"),
        (without(BASE, "last-updated-ms"), "`last-updated-ms`"),
        (without(BASE, "last-column-id"), "`last-column-id`"),
        (BASE | {"last-column-id": 1}, "field id 2 is larger"),
        (BASE | {"schemas": []}, "no schema"),
        (BASE | {"schemas": [schema()] * 2}, "repeats a `schema-id`"),
        (BASE | {"schemas": [schema(field(1, "a", "money"))]}, "Invalid type for a"),
        (BASE | {"current-schema-id": 3}, "`current-schema-id` 3"),
        (without(BASE, "current-schema-id"), "`current-schema-id`"),
        (BASE | {"partition-specs": None}, "no partition spec"),
        (BASE | {"partition-specs": [{"spec-id": 0, "fields": [{}]}]}, "`name`"),
        (BASE | {"default-spec-id": 3}, "`default-spec-id` 3"),
        (without(BASE, "last-partition-id"), "`last-partition-id`"),
        (BASE | {"sort-orders": []}, "no sort order"),
        (BASE | {"sort-orders": [{"order-id": 0, "fields": 3}]}, "`fields`"),
        (BASE | {"default-sort-order-id": 3}, "`default-sort-order-id` 3"),
        (BASE | {"properties": {"a": 1}}, "the value of `a`"),
        (BASE | {"snapshots": {}}, "must be an array"),
        (BASE | {"snapshots": BASE["snapshots"] * 2}, "snapshot 1 twice"),
        (BASE | {"last-sequence-number": 1}, "greater than last sequence number 1"),
        (BASE | {"current-snapshot-id": 9}, "Cannot find current version"),
        (BASE | {"current-snapshot-id": 1}, "does not match main branch"),
        (BASE | {"current-snapshot-id": -1}, "main branch exists"),
        (BASE | {"refs": {"b": {"type": "branch", "snapshot-id": 9}}}, "reference b does not"),
        (BASE | {"refs": {"b": {"type": "leaf", "snapshot-id": 1}}}, "`branch` or `tag`"),
        (BASE | {"refs": {"b": None}}, "ref `b`"),
        (BASE | {"snapshot-log": [{"timestamp-ms": 1}]}, "`snapshot-id`"),
        (
            BASE | {"snapshot-log": [{"timestamp-ms": NOW_MS + 10**6, "snapshot-id": 2}]},
            "Invalid update timestamp",
        ),
        (
            BASE
            | {
                "metadata-log": [
                    {"timestamp-ms": NOW_MS, "metadata-file": "a"},
                    {"timestamp-ms": NOW_MS - 60_001, "metadata-file": "b"},
                ]
            },
            "goes back in time",
        ),
        (BASE | {"statistics": [{}]}, "`snapshot-id`"),
        (BASE | {"partition-statistics": [1]}, "must be an object"),
        (BASE | {"encryption-keys": [{"key-id": 1}]}, "`key-id`"),
        (without(table(3), "next-row-id"), "`next-row-id`"),
        (table(1) | {"last-sequence-number": 1}, "must be 0 in v1"),
    ],
)
def test_a_contradictory_document_is_refused_with_the_reason(bad, message):
    with pytest.raises(InvalidRequest, match=message):
        check_document(bad)
