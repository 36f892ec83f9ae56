"""The columns and partition specs of a table as planning sees them, from its metadata document."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from graticule.iceberg import metadata
from graticule.planning.partition_fields import PartitionField
from graticule.planning.pruning import Column

Json = dict[str, Any]

NO_COLUMN: Final = -1
_VOID: Final = "void"


def columns_of(schema: Json) -> dict[str, Column]:
    """The columns that a filter can name, by full name."""
    return {
        name: Column(int(field["id"]), field["type"], is_nested=name != field["name"])
        for name, field in fields_by_name(schema)
    }


def ids_of(schema: Json, names: Collection[str], *, case_sensitive: bool) -> frozenset[int]:
    """The fields that a client names, wherever they are; those that are none are left out."""
    wanted = set(names) if case_sensitive else {name.lower() for name in names}
    return frozenset(
        field_id
        for name, field_id in _all_ids(schema, "")
        if (name if case_sensitive else name.lower()) in wanted
    )


def _all_ids(kind: Any, prefix: str) -> Iterator[tuple[str, int]]:
    """Every field of a type by full name, as `a.b`, `list.element`, `map.key`."""
    if not isinstance(kind, dict):
        return
    parts = [(field["name"], field["id"], field.get("type")) for field in kind.get("fields") or []]
    parts += [
        (name, kind[f"{name}-id"], kind.get(name))
        for name in ("element", "key", "value")
        if f"{name}-id" in kind
    ]
    for name, field_id, inner in parts:
        yield f"{prefix}{name}", int(field_id)
        yield from _all_ids(inner, f"{prefix}{name}.")


def fields_by_name(schema: Json) -> Iterator[tuple[str, Json]]:
    """Primitive fields outside of lists and maps, by full name."""
    yield from _fields(schema.get("fields"), "")


def _fields(fields: Any, prefix: str) -> Iterator[tuple[str, Json]]:
    for item in fields or []:
        name, kind = f"{prefix}{item['name']}", item.get("type")
        if isinstance(kind, str):
            yield name, item
        elif isinstance(kind, dict) and kind.get("type") == "struct":
            yield from _fields(kind.get("fields"), f"{name}.")


def unpartitioned(specs: Mapping[int, Sequence[PartitionField]]) -> frozenset[int]:
    """The specs whose fields say nothing about a row, if they have any left."""
    return frozenset(
        spec_id
        for spec_id, fields in specs.items()
        if all(field.transform.lower() == _VOID for field in fields)
    )


def source_of(field: Json) -> int:
    """The column that a partition field is made from; `NO_COLUMN` when there are several.

    Version 3 of the format allows `source-ids`, for one column as well.
    """
    ids = [field["source-id"]] if "source-id" in field else field.get("source-ids") or []
    return int(ids[0]) if len(ids) == 1 else NO_COLUMN


def specs_of(document: Json) -> dict[int, Sequence[PartitionField]]:
    """The fields of all partition specs, by id."""
    return {
        int(spec["spec-id"]): [
            PartitionField(source_of(f), f["transform"]) for f in spec.get("fields") or []
        ]
        for spec in metadata.partition_specs(document)
    }
