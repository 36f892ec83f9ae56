"""Transforms of partition and sort fields: canonical spelling, and which types each one takes.

Specification: format, "Partition transforms".
"""

import re
from collections.abc import Mapping
from typing import Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.members import INT_MAX
from graticule.iceberg.schema import Schema
from graticule.iceberg.types import type_name

_PARAMETERISED: Final = re.compile(r"(bucket|truncate)\[(\d{1,10})\]")
_TIMESTAMPS: Final = frozenset({"timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"})
_DATES: Final = _TIMESTAMPS | {"date"}
_BUCKETED: Final = _DATES | {"int", "long", "decimal", "time", "string", "uuid", "fixed", "binary"}
_IDENTITY: Final = _BUCKETED | {"boolean", "float", "double", "unknown"}

SOURCE_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "identity": _IDENTITY,
    "bucket": _BUCKETED,
    "truncate": frozenset({"int", "long", "decimal", "string", "binary"}),
    "year": _DATES,
    "month": _DATES,
    "day": _DATES,
    "hour": _TIMESTAMPS,
}
VOID: Final = "void"


def canonical_transform(text: str) -> str:
    """The canonical spelling of a transform.

    Raises:
        InvalidRequest: unknown, so that no table could be written with it.
    """
    lower = text.strip().lower()
    if lower == VOID or (lower in SOURCE_TYPES and lower not in {"bucket", "truncate"}):
        return lower
    match = _PARAMETERISED.fullmatch(lower)
    if match and 1 <= int(match[2]) <= INT_MAX:
        return f"{match[1]}[{int(match[2])}]"
    raise InvalidRequest(f"unknown transform `{text[:100]}`")


def check_source(transform: str, source_id: int, schema: Schema, *, of: str) -> None:
    """Check that `transform` may be applied to a column of `schema`; `of` names what asks.

    Raises:
        InvalidRequest: the column is absent, nested in a list or map, or of a type that the
            transform does not take, which geometry and geography always are.
    """
    if transform == VOID:
        # A dropped partition field of a version 1 table outlives its column.
        return
    source = schema.fields.get(source_id)
    if source is None:
        raise InvalidRequest(f"Cannot find source column for {of}: {source_id}")
    if not source.is_primitive:
        raise InvalidRequest(
            f"{of} needs a primitive source column, but `{source.name}` is {source.type}"
        )
    if any(parent.type != "struct" for parent in source.ancestors()):
        raise InvalidRequest(
            f"{of} must not have the source column `{source.name}`: it lies in a list or a map"
        )
    takes = SOURCE_TYPES.get(type_name(transform))
    if takes is not None and type_name(source.type) not in takes:
        raise InvalidRequest(
            f"Invalid source type {source.type} for transform: {transform} ({of}, `{source.name}`)"
        )
