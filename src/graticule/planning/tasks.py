"""Scan tasks as JSON: the content-file form that Java and PyIceberg read.  Nothing is chosen here.

The forms are those of the clients where the specification's schema differs: bounds are upper-case
hex of the binary form, and a residual is never left out, since without one Java fails on
partitioned tables and PyIceberg counts too many rows.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from graticule.iceberg import metadata
from graticule.iceberg.values import to_json_value
from graticule.planning.columns import source_of
from graticule.planning.files import DATA, EQUALITY_DELETES, DataFileEntry
from graticule.planning.partition_fields import result_type

Json = dict[str, Any]


def content_file(
    entry: DataFileEntry,
    *,
    partition_types: Sequence[str | None],
    stats_fields: Collection[int] = (),
) -> Json:
    """A data or delete file.

    `partition_types` are the result types of the transforms of the file's spec, None where nobody
    knows it any more; `stats_fields` the ids of the columns whose metrics were asked for.

    Raises:
        InvalidRequest: a partition value that is not of its type.
        ValueError: another number of partition values than of types.
    """
    document: Json = {
        "spec-id": entry.spec_id,
        "content": entry.content,
        "file-path": entry.path,
        "file-format": entry.file_format.lower(),
        "partition": [
            None if type_ is None else to_json_value(type_, value)
            for type_, value in zip(partition_types, entry.partition, strict=True)
        ],
        "file-size-in-bytes": entry.size_bytes,
        "record-count": entry.record_count,
    }
    if stats_fields:
        document |= _metrics(entry, frozenset(stats_fields))
    optional = {
        "key-metadata": entry.key_metadata.hex().upper() if entry.key_metadata else None,
        "split-offsets": list(entry.split_offsets) or None,
        "sort-order-id": entry.sort_order_id,
    }
    if entry.content == DATA:
        optional["first-row-id"] = entry.first_row_id
    else:
        optional["referenced-data-file"] = entry.referenced_data_file
        optional["content-offset"] = entry.content_offset
        optional["content-size-in-bytes"] = entry.content_size_bytes
    if entry.content == EQUALITY_DELETES:
        optional["equality-ids"] = list(entry.equality_ids)
    # Absent, not null: older clients refuse an explicit null.
    return document | {name: value for name, value in optional.items() if value is not None}


def file_scan_task(
    entry: DataFileEntry,
    residual: Any,
    *,
    partition_types: Sequence[str | None],
    stats_fields: Collection[int] = (),
    delete_file_references: Sequence[int] = (),
) -> Json:
    """A task that reads one data file.

    `residual` is an expression as JSON, one that clients can read: see `expressions.weakened`.
    `delete_file_references` are places in the `delete-files` of the same answer.
    """
    task: Json = {
        "data-file": content_file(entry, partition_types=partition_types, stats_fields=stats_fields)
    }
    if delete_file_references:
        task["delete-file-references"] = list(delete_file_references)
    task["residual-filter"] = residual
    return task


def _metrics(entry: DataFileEntry, fields: frozenset[int]) -> Json:
    counts = {
        "column-sizes": entry.column_sizes,
        "value-counts": entry.value_counts,
        "null-value-counts": entry.null_value_counts,
        "nan-value-counts": entry.nan_value_counts,
    }
    bounds = {
        name: {key: data.hex().upper() for key, data in of.items()}
        for name, of in (
            ("lower-bounds", entry.lower_bounds),
            ("upper-bounds", entry.upper_bounds),
        )
    }
    kept = {name: _keyed(metric, fields) for name, metric in (counts | bounds).items()}
    return {name: metric for name, metric in kept.items() if metric["keys"]}


def _keyed(metric: Mapping[int, Any], fields: frozenset[int]) -> Json:
    keys = sorted(fields & metric.keys())
    return {"keys": keys, "values": [metric[key] for key in keys]}


def partition_types(document: Json) -> dict[int, list[str | None]]:
    """The types of the partition values of each of a table's specs, by the spec's id.

    A column that was dropped keeps its type only as long as a schema that has it is kept.
    """
    types = {
        int(field["id"]): str(field["type"])
        for schema in metadata.schemas(document)
        for field in _leaf_fields(schema.get("fields"))
    }
    return {
        int(spec["spec-id"]): [
            result_type(field["transform"], types.get(source_of(field)))
            for field in spec.get("fields") or []
        ]
        for spec in metadata.partition_specs(document)
    }


def _leaf_fields(fields: Any) -> Iterator[Json]:
    for field in fields or []:
        kind = field.get("type")
        if isinstance(kind, str):
            yield field
        elif isinstance(kind, dict) and kind.get("type") == "struct":
            yield from _leaf_fields(kind.get("fields"))
