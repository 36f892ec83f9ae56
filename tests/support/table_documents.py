"""Small table metadata documents and their parts, for tests of the metadata engine."""

from typing import Any

from graticule.iceberg import metadata, updates

Json = dict[str, Any]

NOW_MS = 1_760_000_000_000
UUID = "9c12d441-03fe-4693-9a96-a0705ddf69c1"
LOCATION = "s3://lake/tables/t"
FILE = f"{LOCATION}/metadata/00000-a.metadata.json"


def field(field_id: int, name: str, kind: Any = "long", **more: Any) -> Json:
    return {"id": field_id, "name": name, "required": False, "type": kind} | more


def schema(*fields: Json, **more: Any) -> Json:
    listed = list(fields) or [field(1, "id"), field(2, "name", "string")]
    return {"type": "struct", "schema-id": 0, "fields": listed} | more


def spec(*fields: Json, **more: Any) -> Json:
    return {"fields": list(fields)} | more


def part(source_id: int, name: str, transform: str = "identity", **more: Any) -> Json:
    return {"source-id": source_id, "name": name, "transform": transform} | more


def order(*source_ids: int) -> Json:
    fields = [
        {"source-id": i, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}
        for i in source_ids
    ]
    return {"order-id": 1 if fields else 0, "fields": fields}


def table(version: int = 2, **more: Any) -> Json:
    """A new table of two columns, with `more` members on top."""
    document = metadata.new_table(
        schema=schema(),
        partition_spec=None,
        sort_order=None,
        location=LOCATION,
        properties={"format-version": str(version)},
        table_uuid=UUID,
        now_ms=NOW_MS,
    )
    return document | more


def snapshot(snapshot_id: int, sequence_number: int | None = None, **more: Any) -> Json:
    number = snapshot_id if sequence_number is None else sequence_number
    return {
        "snapshot-id": snapshot_id,
        "sequence-number": number,
        "timestamp-ms": NOW_MS + number,
        "manifest-list": f"{LOCATION}/metadata/snap-{snapshot_id}.avro",
        "summary": {"operation": "append"},
        "schema-id": 0,
    } | more


def add(item: Json) -> Json:
    return {"action": "add-snapshot", "snapshot": item}


def point(name: str, snapshot_id: int, **more: Any) -> Json:
    ref = {"ref-name": name, "type": "branch", "snapshot-id": snapshot_id}
    return {"action": "set-snapshot-ref"} | ref | more


def append(snapshot_id: int, parent_id: int | None = None, **more: Any) -> list[Json]:
    """What an appending client sends; sequence numbers equal snapshot ids."""
    parent = {} if parent_id is None else {"parent-snapshot-id": parent_id}
    return [add(snapshot(snapshot_id, **parent, **more)), point("main", snapshot_id)]


def table_with_snapshots(*snapshot_ids: int, version: int = 2) -> Json:
    """Each snapshot a commit of its own, the last one current."""
    document = table(version)
    parent: int | None = None
    for snapshot_id in snapshot_ids:
        lineage = (
            {"first-row-id": document["next-row-id"], "added-rows": 10} if version == 3 else {}
        )
        document = apply(append(snapshot_id, parent, **lineage), document)
        parent = snapshot_id
    return document


def apply(changes: list[Json], document: Json | None, **more: Any) -> Json:
    return applied(changes, document, **more).document


def applied(
    changes: list[Json],
    document: Json | None,
    *,
    now_ms: int = NOW_MS + 1_000,
    file: str | None = None,
) -> updates.Applied:
    return updates.apply(changes, document, now_ms=now_ms, metadata_location=file)


def creation(version: int = 2, *more: Json) -> list[Json]:
    """What a client sends to create a table by commit."""
    return [
        {"action": "assign-uuid", "uuid": UUID},
        {"action": "upgrade-format-version", "format-version": version},
        {"action": "add-schema", "schema": schema()},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": spec()},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": order()},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": LOCATION},
        {"action": "set-properties", "updates": {"owner": "ana"}},
        *more,
    ]
