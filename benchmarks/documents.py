"""The tables that are measured: schemas and whole metadata documents, made by code."""

import json
import time
from typing import Any
from uuid import uuid4

SNAPSHOT_ID = 7_000_000_000_000_000_000
COLUMNS = 22
"""With so many a new table's metadata document has some 2 kB."""


def schema(columns: int = COLUMNS) -> dict[str, Any]:
    named = [
        "id",
        "name",
        "lon",
        "lat",
        *(f"measurement_{number}" for number in range(columns - 4)),
    ]
    types = ["long", "string", "double", "double"]
    fields = [
        {"id": at + 1, "name": name, "required": False, "type": types[at] if at < 4 else "double"}
        for at, name in enumerate(named)
    ]
    return {"type": "struct", "schema-id": 0, "fields": fields}


def snapshot(number: int, location: str, *, at_ms: int) -> dict[str, Any]:
    """What Spark writes for an append, some 900 bytes."""
    summary = {
        "operation": "append",
        "spark.app.id": "application_1700000000000_0001",
        "engine-name": "spark",
        "engine-version": "3.5.5",
        "app-id": "application_1700000000000_0001",
        "app-name": "nightly append of measurements",
        "iceberg-version": "Apache Iceberg 1.11.0 (commit 0123456789abcdef0123456789abcdef)",
        "added-data-files": "4",
        "added-records": "100000",
        "added-files-size": "12345678",
        "changed-partition-count": "4",
        "total-records": str(100_000 * (number + 1)),
        "total-files-size": str(12_345_678 * (number + 1)),
        "total-data-files": str(4 * (number + 1)),
        "total-delete-files": "0",
        "total-position-deletes": "0",
        "total-equality-deletes": "0",
    }
    made = {
        "sequence-number": number + 1,
        "snapshot-id": SNAPSHOT_ID + number,
        "timestamp-ms": at_ms,
        "summary": summary,
        "manifest-list": f"{location}/metadata/snap-{SNAPSHOT_ID + number}-1-{uuid4()}.avro",
        "schema-id": 0,
    }
    return made | ({"parent-snapshot-id": SNAPSHOT_ID + number - 1} if number else {})


def append_updates(number: int, location: str, *, count: int = 1) -> list[dict[str, Any]]:
    """A commit that appends snapshots `number` and on, and moves `main` to the last."""
    now_ms = int(time.time() * 1000)
    last = number + count - 1
    return [
        *(
            {
                "action": "add-snapshot",
                "snapshot": snapshot(at, location, at_ms=now_ms + at - number),
            }
            for at in range(number, number + count)
        ),
        {
            "action": "set-snapshot-ref",
            "ref-name": "main",
            "type": "branch",
            "snapshot-id": SNAPSHOT_ID + last,
        },
    ]


def metadata_document(location: str, snapshots: int, columns: int = COLUMNS) -> bytes:
    """A table of format version 2 with so many snapshots; 10,000 of them make 9 MB."""
    last = snapshots - 1
    first_ms = int(time.time() * 1000) - snapshots * 1000
    document = {
        "format-version": 2,
        "table-uuid": str(uuid4()),
        "location": location,
        "last-sequence-number": snapshots,
        "last-updated-ms": first_ms + last * 1000,
        "last-column-id": columns,
        "current-schema-id": 0,
        "schemas": [schema(columns)],
        "default-spec-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "last-partition-id": 999,
        "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {"write.parquet.compression-codec": "zstd"},
        "current-snapshot-id": SNAPSHOT_ID + last,
        "refs": {"main": {"snapshot-id": SNAPSHOT_ID + last, "type": "branch"}},
        "snapshots": [
            snapshot(number, location, at_ms=first_ms + number * 1000)
            for number in range(snapshots)
        ],
        "snapshot-log": [
            {"timestamp-ms": first_ms + number * 1000, "snapshot-id": SNAPSHOT_ID + number}
            for number in range(snapshots)
        ],
        "metadata-log": [],
        "statistics": [],
        "partition-statistics": [],
    }
    return json.dumps(document, separators=(",", ":")).encode()
