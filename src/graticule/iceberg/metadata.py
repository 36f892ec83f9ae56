"""Table metadata documents: read them, make the first one of a table, spell them as bytes.

A document is the JSON object of the specification and nothing else, so members that this server
does not know survive.  Changes are made by `updates`.
Specification: format, "Table metadata and snapshots".

The readers take any document that `check_document` accepts, version 1 with its older spellings
included; none of them changes it.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from graticule.domain.errors import InvalidRequest
from graticule.domain.spliced import Content, Piece, Spliced
from graticule.iceberg import consistency, json_text, partitioning, sorting
from graticule.iceberg.entries import Entries
from graticule.iceberg.format_versions import (
    FORMAT_VERSION_DEFAULT,
    NO_SNAPSHOT,
    ROW_LINEAGE,
    SEQUENCE_NUMBERS,
    check_supported,
)
from graticule.iceberg.members import Json, as_array, as_text_map, check_nesting, stripped_location
from graticule.iceberg.properties import FORMAT_VERSION, check_properties, persisted_properties
from graticule.iceberg.schema import assign_fresh_ids, check_format_version, parse_schema
from graticule.iceberg.snapshots import BRANCH, MAIN

check_document: Final = consistency.check_document

LONG_BYTES: Final = 64 * 1024
"""Shorter documents are read whole, which is quicker then."""

_LONG_ARRAYS: Final = frozenset({"snapshots", "snapshot-log"})
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FILE_NAME: Final = re.compile(r"v?(\d{1,9})(?:-[^/]*)?(?:\.gz)?\.metadata\.json(?:\.gz)?")


# Bytes.


def encode(document: Json) -> bytes:
    """Compact UTF-8, but for long arrays that nobody looked into, which stay as they were written.

    Raises:
        InvalidRequest: not a number, an infinity, or too deep.
    """
    if not _is_long(document):
        return json_text.write(document)
    parts: list[memoryview | bytes] = []
    size, found = 0, []
    for key, value in document.items():
        opening = b"%s%s:" % (b"," if parts else b"{", json_text.write(key))
        if isinstance(value, Entries):
            texts = value.pieces
            found.append((value, size + len(opening), sum(map(len, texts))))
        else:
            texts = (json_text.write(value),)
        parts += [opening, *texts]
        size += len(opening) + sum(map(len, texts))
    encoded = b"".join([*parts, b"}"])
    for entries, begin, length in found:
        entries.is_found_in(memoryview(encoded)[begin : begin + length])
    return encoded


def spliced(document: Json) -> Content:
    """As `encode`, in pieces: long arrays that nobody looked into are not copied.

    Raises:
        InvalidRequest: as there.
    """
    if not _is_long(document):
        return json_text.write(document)
    parts: list[Piece] = []
    for key, value in document.items():
        parts.append(b"%s%s:" % (b"," if parts else b"{", json_text.write(key)))
        parts += value.pieces if isinstance(value, Entries) else (json_text.write(value),)
    return Spliced([*parts, b"}"])


def decode(data: bytes) -> Json:
    """The document in `data`, integers exact.  Of a long one not everything is looked at yet.

    Raises:
        InvalidRequest: not one JSON object, or with a number that JSON does not know.
    """
    if len(data) >= LONG_BYTES:
        with suppress(msgspec.MsgspecError, RecursionError):
            return {key: _member(key, text) for key, text in _MEMBERS.decode(data).items()}
    document = json_text.read(data)
    if not isinstance(document, dict):
        raise InvalidRequest("the metadata file is not a JSON object")
    return document


def _is_long(document: Json) -> bool:
    return any(type(document.get(key)) is Entries for key in _LONG_ARRAYS)


def _member(key: str, text: msgspec.Raw) -> Any:
    view = memoryview(text)
    is_long = key in _LONG_ARRAYS and view[0] == ord("[")
    return Entries(view) if is_long else json_text.read(view.tobytes())


def next_metadata_file_name(previous_location: str | None, *, uuid: str, gzip: bool) -> str:
    """The name that follows `previous_location`: `00001-<uuid>.metadata.json`.

    Counts on from any name that begins with a number, Hadoop's `v7` included; else from 0.
    """
    name = (previous_location or "").rpartition("/")[2]
    match = _FILE_NAME.fullmatch(name)
    version = int(match[1]) + 1 if match else 0
    return f"{version:05d}-{uuid}{'.gz' if gzip else ''}.metadata.json"


# Readers.


def format_version(document: Json) -> int:
    return int(document["format-version"])


def table_uuid(document: Json) -> str | None:
    """None only for version 1, where it is optional."""
    return document.get("table-uuid")


def location(document: Json) -> str:
    return str(document["location"])


def properties(document: Json) -> Mapping[str, str]:
    return document.get("properties") or {}


def schemas(document: Json) -> Sequence[Json]:
    """All schemas; an early version 1 document has a single one, whose id may be missing."""
    if document.get("schemas"):
        return document["schemas"]  # type: ignore[no-any-return]
    only: Json | None = document.get("schema")
    return [] if only is None else [only | {"schema-id": only.get("schema-id") or 0}]


def current_schema_id(document: Json) -> int:
    if document.get("schemas"):
        return int(document["current-schema-id"])
    return int(schemas(document)[0]["schema-id"])


def schema_by_id(document: Json, schema_id: int) -> Json | None:
    return _by_id(schemas(document), "schema-id", schema_id)


def current_schema(document: Json) -> Json:
    return _current(schemas(document), "schema-id", current_schema_id(document))


def schema_of(document: Json, snapshot: Json) -> Json:
    """The schema that a snapshot was written in; the current one if that is not known."""
    schema_id = snapshot.get("schema-id")
    found = schema_by_id(document, schema_id) if isinstance(schema_id, int) else None
    return current_schema(document) if found is None else found


def partition_specs(document: Json) -> Sequence[Json]:
    """All specs, each field with its id; an early version 1 document has one list of fields."""
    if document.get("partition-specs"):
        return document["partition-specs"]  # type: ignore[no-any-return]
    fields = [
        {"field-id": partitioning.FIRST_FIELD_ID + position} | field
        for position, field in enumerate(document.get("partition-spec") or [])
    ]
    return [{"spec-id": 0, "fields": fields}]


def default_spec_id(document: Json) -> int:
    return int(document["default-spec-id"]) if document.get("partition-specs") else 0


def partition_spec_by_id(document: Json, spec_id: int) -> Json | None:
    return _by_id(partition_specs(document), "spec-id", spec_id)


def default_partition_spec(document: Json) -> Json:
    return _current(partition_specs(document), "spec-id", default_spec_id(document))


def last_partition_id(document: Json) -> int:
    stored = document.get("last-partition-id")
    if stored is not None:
        return int(stored)
    return max(partitioning.last_field_id(spec) for spec in partition_specs(document))


def sort_orders(document: Json) -> Sequence[Json]:
    stored: Sequence[Json] = document.get("sort-orders") or []
    return stored or [{"order-id": sorting.UNSORTED_ORDER_ID, "fields": []}]


def default_sort_order_id(document: Json) -> int:
    if document.get("sort-orders"):
        return int(document["default-sort-order-id"])
    return sorting.UNSORTED_ORDER_ID


def sort_order_by_id(document: Json, order_id: int) -> Json | None:
    return _by_id(sort_orders(document), "order-id", order_id)


def default_sort_order(document: Json) -> Json:
    return _current(sort_orders(document), "order-id", default_sort_order_id(document))


def snapshots(document: Json) -> Sequence[Json]:
    return document.get("snapshots") or []


def snapshot_by_id(document: Json, snapshot_id: int) -> Json | None:
    return _by_id(snapshots(document), "snapshot-id", snapshot_id)


def current_snapshot_id(document: Json) -> int | None:
    stored = document.get("current-snapshot-id")
    return None if stored is None or stored == NO_SNAPSHOT else int(stored)


def current_snapshot(document: Json) -> Json | None:
    """None for a table that nothing has been written to."""
    current = current_snapshot_id(document)
    return None if current is None else snapshot_by_id(document, current)


def refs(document: Json) -> Mapping[str, Json]:
    """Branches and tags by name; without refs in the document, `main` is the current snapshot."""
    stored: Mapping[str, Json] | None = document.get("refs")
    if stored is not None:
        return stored
    current = current_snapshot_id(document)
    return {} if current is None else {MAIN: {"snapshot-id": current, "type": BRANCH}}


def snapshot_for_ref(document: Json, ref: str) -> Json | None:
    """The snapshot that the branch or tag points at; None if there is no such ref."""
    target = refs(document).get(ref)
    return None if target is None else snapshot_by_id(document, target["snapshot-id"])


# Views.


def refs_only(document: Json) -> Json:
    """The document with only those snapshots that a ref points at; all else, logs too, as it is."""
    wanted = {ref["snapshot-id"] for ref in refs(document).values()}
    kept = [item for item in snapshots(document) if item["snapshot-id"] in wanted]
    return document | {"snapshots": kept}


def with_canonical_types(document: Json) -> Json:
    """The document with every type string in the spelling that most clients read.

    For documents that another catalog wrote; ours are canonical already.
    """
    canonical: Json = {}
    if document.get("schemas"):
        schemas_ = as_array(document["schemas"], "`schemas`")
        canonical["schemas"] = [parse_schema(schema).document for schema in schemas_]
    if document.get("schema") is not None:
        canonical["schema"] = parse_schema(document["schema"]).document
    return document | canonical


def with_derived_members(document: Json) -> Json:
    """The document with what its format version repeats or spells in its own way."""
    version, current = format_version(document), current_snapshot_id(document)
    derived = dict(document)
    if version < SEQUENCE_NUMBERS:
        derived["schema"] = current_schema(document)
        derived["partition-spec"] = default_partition_spec(document)["fields"]
        derived.pop("last-sequence-number", None)
    else:
        derived.pop("schema", None)
        derived.pop("partition-spec", None)
    if current is None:
        derived["current-snapshot-id"] = None if version >= ROW_LINEAGE else NO_SNAPSHOT
    if version >= ROW_LINEAGE and derived.get("next-row-id") is None:
        derived["next-row-id"] = 0
    return derived


# The first document of a table.


def empty_table(*, format_version: int, now_ms: int) -> Json:
    """What a table begins from: no schema, no spec, no sort order, no location yet."""
    document: Json = {
        "format-version": check_supported(format_version),
        "last-sequence-number": 0,
        "last-updated-ms": now_ms,
        "last-column-id": 0,
        "current-schema-id": 0,
        "schemas": [],
        "default-spec-id": 0,
        "partition-specs": [],
        "last-partition-id": partitioning.UNPARTITIONED_LAST_FIELD_ID,
        "default-sort-order-id": 0,
        "sort-orders": [],
        "properties": {},
        "current-snapshot-id": None,
        "refs": {},
        "snapshots": [],
        "statistics": [],
        "partition-statistics": [],
        "snapshot-log": [],
        "metadata-log": [],
    }
    return document


def new_table(
    *,
    schema: object,
    partition_spec: object | None,
    sort_order: object | None,
    location: str,
    properties: Mapping[str, str],
    table_uuid: str,
    now_ms: int,
) -> Json:
    """The first document of a table, as a create request describes it.

    Field ids are given anew from 1, the fields of a struct before what they contain, as the
    reference implementation does; partition field ids from 1000.  The request's own ids serve only
    to find the source columns of the spec and the sort order, and may begin at 0.

    Raises:
        InvalidRequest: the schema, spec, order, location or format version is not legal.
        InvalidUpdate: a property is refused.
    """
    for part in (schema, partition_spec, sort_order):
        check_nesting(part)
    checked = as_text_map(properties, "`properties`")
    check_properties(checked)
    version = _requested_version(checked)
    requested = parse_schema(schema)
    check_format_version(requested, version)
    document, fresh_ids = assign_fresh_ids(requested)
    fresh = parse_schema(document)
    spec = partitioning.fresh_spec(
        partitioning.parse_spec({"fields": []} if partition_spec is None else partition_spec),
        fresh_ids,
    )
    partitioning.check_spec(spec, fresh)
    order = sorting.fresh_order(
        sorting.parse_order({"fields": []} if sort_order is None else sort_order), fresh_ids
    )
    sorting.check_order(order, fresh)
    return with_derived_members(
        {"format-version": version, "table-uuid": table_uuid}
        | {"location": stripped_location(location)}
        | empty_table(format_version=version, now_ms=now_ms)
        | {
            "last-column-id": fresh.highest_field_id,
            "schemas": [document],
            "partition-specs": [spec],
            "last-partition-id": partitioning.last_field_id(spec),
            "sort-orders": [order],
            "default-sort-order-id": order["order-id"],
            "properties": persisted_properties(checked),
        }
    )


def _requested_version(properties: Mapping[str, str]) -> int:
    text = properties.get(FORMAT_VERSION, str(FORMAT_VERSION_DEFAULT)).strip()
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise InvalidRequest(f"the property `{FORMAT_VERSION}` must be 1, 2 or 3")
    return check_supported(int(text))


def _by_id(items: Sequence[Json], key: str, wanted: int) -> Json | None:
    return next((item for item in items if item.get(key) == wanted), None)


def _current(items: Sequence[Json], key: str, wanted: int) -> Json:
    found = _by_id(items, key, wanted)
    if found is None:
        raise InvalidRequest(f"the table metadata has no `{key}` {wanted}, which it calls current")
    return found
