import pytest

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import metadata
from support.table_documents import (
    LOCATION,
    NOW_MS,
    UUID,
    apply,
    field,
    order,
    part,
    point,
    schema,
    spec,
    table,
    table_with_snapshots,
)

REQUEST = {
    "schema": schema(),
    "partition_spec": None,
    "sort_order": None,
    "location": LOCATION,
    "properties": {},
    "table_uuid": UUID,
    "now_ms": NOW_MS,
}


def created(**more):
    return metadata.new_table(**(REQUEST | more))


def test_a_new_table_has_fresh_ids_and_its_spec_order_and_identifiers_follow_them():
    document = created(
        schema=schema(
            field(3, "a", required=True, colour="red"),
            field(0, "b", "string"),
            **{"schema-id": 5, "identifier-field-ids": [3]},
        ),
        partition_spec=spec(part(0, "b", **{"field-id": 77}), **{"spec-id": 4}),
        sort_order=order(3),
        location=LOCATION + "/",
        properties={"format-version": "2", "uuid": "x", "owner": "ana"},
    )
    assert document == {
        "format-version": 2,
        "table-uuid": UUID,
        "location": LOCATION,
        "last-sequence-number": 0,
        "last-updated-ms": NOW_MS,
        "last-column-id": 2,
        "current-schema-id": 0,
        "schemas": [
            {
                "type": "struct",
                "schema-id": 0,
                "fields": [
                    field(1, "a", required=True, colour="red"),
                    field(2, "b", "string"),
                ],
                "identifier-field-ids": [1],
            }
        ],
        "default-spec-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": [part(2, "b", **{"field-id": 1000})]}],
        "last-partition-id": 1000,
        "default-sort-order-id": 1,
        "sort-orders": [order(1)],
        "properties": {"write.parquet.compression-codec": "zstd", "owner": "ana"},
        "current-snapshot-id": -1,
        "refs": {},
        "snapshots": [],
        "statistics": [],
        "partition-statistics": [],
        "snapshot-log": [],
        "metadata-log": [],
    }


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_new_table_of_every_version_is_consistent(version):
    document = created(properties={"format-version": str(version)})
    metadata.check_document(document)
    assert ("schema" in document, "next-row-id" in document) == (version == 1, version == 3)


def test_the_clients_compression_codec_wins():
    document = created(properties={"write.parquet.compression-codec": "snappy"})
    assert document["properties"] == {"write.parquet.compression-codec": "snappy"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"properties": {"format-version": "4"}}, r"Unsupported format version: v4"),
        ({"properties": {"format-version": "two"}}, "must be 1, 2 or 3"),
        ({"properties": {"format-version": "²"}}, "must be 1, 2 or 3"),
        ({"properties": {"a": 1}}, "the value of `a` must be a text"),
        ({"properties": []}, "`properties` must be an object"),
        ({"properties": {"py-io-impl": "evil.IO"}}, "`py-io-impl` is refused"),
        ({"schema": None}, "a schema must be an object"),
        ({"schema": schema(field(1, "g", "geometry"))}, "not supported until v3"),
        ({"partition_spec": []}, "a partition spec must be an object"),
        ({"partition_spec": spec(part(9, "x"))}, "Cannot find source column"),
        ({"sort_order": order(9)}, "Cannot find source column"),
        ({"sort_order": 0}, "a sort order must be an object"),
        ({"location": "//"}, "`location`"),
    ],
)
def test_a_table_that_cannot_be_made_is_refused_with_the_reason(more, message):
    with pytest.raises(InvalidRequest, match=message):
        created(**more)


def test_a_geometry_column_is_stored_in_the_spelling_that_every_client_reads():
    document = created(
        schema=schema(field(1, "g", "geometry('OGC:CRS84')")),
        properties={"format-version": "3"},
    )
    assert document["schemas"][0]["fields"][0]["type"] == "geometry"


@pytest.mark.parametrize(
    ("previous", "gzip", "name"),
    [
        (None, False, "00000-u.metadata.json"),
        ("s3://b/t/metadata/00000-a.metadata.json", False, "00001-u.metadata.json"),
        ("s3://b/t/metadata/00041-a.gz.metadata.json", True, "00042-u.gz.metadata.json"),
        ("s3://b/t/metadata/99999-a.metadata.json", False, "100000-u.metadata.json"),
        ("s3://b/t/metadata/v7.metadata.json", False, "00008-u.metadata.json"),
        ("s3://b/t/metadata/v7.metadata.json.gz", False, "00008-u.metadata.json"),
        ("s3://b/t/metadata/latest.metadata.json", False, "00000-u.metadata.json"),
        ("s3://b/7/metadata.json", False, "00000-u.metadata.json"),
    ],
)
def test_metadata_file_names_count_up(previous, gzip, name):
    assert metadata.next_metadata_file_name(previous, uuid="u", gzip=gzip) == name


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff\xfe\xfa", b'{"a":NaN}', b'{"a":1e999}', b"[" * 100_000,
     b'{"a":' + b"9" * 5_000 + b"}"],
)  # fmt: skip
def test_bytes_that_are_no_document_are_refused(data):
    with pytest.raises(InvalidRequest):
        metadata.decode(data)


def test_a_document_that_json_cannot_say_is_refused():
    for bad in (
        {"a": float("nan")},
        {"a": None, "b": [{"c": float("inf")}]},
        {"a": object()},
        {"a": 10**5_000},
    ):
        with pytest.raises(InvalidRequest):
            metadata.encode(bad)


def test_bytes_are_compact_utf_8_with_exact_integers_and_half_surrogates_survive():
    assert metadata.encode({"ö": [2**63 - 1, 1.5]}) == '{"ö":[9223372036854775807,1.5]}'.encode()
    assert metadata.decode(metadata.encode({"a": "\ud800"})) == {"a": "\ud800"}
    assert metadata.encode({"a": [None, "null"]}) == b'{"a":[null,"null"]}'


def test_the_refs_view_keeps_referenced_snapshots_and_all_else():
    document = apply([point("tag", 2, type="tag")], table_with_snapshots(1, 2, 3, 4))
    view = metadata.refs_only(document)
    assert [item["snapshot-id"] for item in view["snapshots"]] == [2, 4]
    assert view | {"snapshots": document["snapshots"]} == document


def test_readers_find_what_is_current():
    document = apply([point("fork", 1)], table_with_snapshots(1, 2))
    fork, gone = (metadata.snapshot_for_ref(document, name) for name in ("fork", "gone"))
    assert (metadata.current_snapshot(document) or {})["snapshot-id"] == 2
    assert ((fork or {})["snapshot-id"], gone) == (1, None)
    assert metadata.current_snapshot(table(3)) is None
    assert metadata.current_schema(document) == schema()
    assert metadata.default_partition_spec(document) == {"spec-id": 0, "fields": []}
    assert metadata.default_sort_order(document) == order()
    assert metadata.schema_by_id(document, 9) is None


def test_a_foreign_document_can_be_respelt_for_clients():
    foreign = table(3) | {"schemas": [schema(field(1, "g", "geometry(OGC:CRS84)"))], "x": 1}
    respelt = metadata.with_canonical_types(foreign)
    assert respelt == foreign | {"schemas": [schema(field(1, "g", "geometry"))]}
