"""One schema for many files: which columns are the same, and what type can hold them all.

Only promotions that Iceberg's readers perform on unchanged files: int to long, float to double, a
wider decimal of the same scale.  Spec: https://iceberg.apache.org/spec/#schema-evolution.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Fields = Sequence[Mapping[str, Any]]

UNKNOWN_TYPE: Final = "unknown"
"""The type of a column that is null in all rows of a file: any other file may decide."""

FAMILY_OVERLAP_MIN: Final = 0.5
"""Files of one table share at least this part of the columns of the smaller one."""

_PROMOTIONS: Final = frozenset({("int", "long"), ("float", "double")})
_DECIMAL: Final = re.compile(r"decimal\((\d+), ?(\d+)\)")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A column that no type can hold, by its full name."""

    column: str
    one: str
    other: str

    def __str__(self) -> str:
        return f"column `{self.column}` is {self.one} in one file and {self.other} in another"


def merge_fields(one: Fields, other: Fields) -> tuple[dict[str, Any], ...] | Conflict:
    """Fields of both: the order of the first, then what only the second has."""
    return _merge(one, other, prefix="")


def _merge(one: Fields, other: Fields, *, prefix: str) -> tuple[dict[str, Any], ...] | Conflict:
    by_name = {field["name"]: field for field in other}
    merged: list[dict[str, Any]] = []
    for field in one:
        name = field["name"]
        partner = by_name.pop(name, None)
        type_ = field["type"]
        if partner is not None:
            type_ = _merge_types(type_, partner["type"], name=f"{prefix}{name}")
            if isinstance(type_, Conflict):
                return type_
        merged.append({**field, "type": type_})
    merged.extend(dict(field) for field in by_name.values())
    return tuple(merged)


def _merge_types(one: Any, other: Any, *, name: str) -> Any:
    if other in (one, UNKNOWN_TYPE):
        return one
    if one == UNKNOWN_TYPE:
        return other
    if isinstance(one, str) and isinstance(other, str):
        promoted = promote(one, other)
        return promoted if promoted is not None else Conflict(name, one, other)
    kinds = [type_ if isinstance(type_, str) else type_["type"] for type_ in (one, other)]
    if kinds[0] != kinds[1]:
        return Conflict(name, kinds[0], kinds[1])
    parts = {"struct": ("fields",), "list": ("element",), "map": ("key", "value")}[kinds[0]]
    merged = dict(one)
    for part in parts:
        if part == "fields":
            found: Any = _merge(one["fields"], other["fields"], prefix=f"{name}.")
        else:
            found = _merge_types(one[part], other[part], name=f"{name}.{part}")
        if isinstance(found, Conflict):
            return found
        merged[part] = list(found) if part == "fields" else found
    return merged


def promote(one: str, other: str) -> str | None:
    """The type that both can be read as; None if there is none."""
    if one == other:
        return one
    for narrow, wide in _PROMOTIONS:
        if {one, other} == {narrow, wide}:
            return wide
    decimals = _DECIMAL.fullmatch(one), _DECIMAL.fullmatch(other)
    if decimals[0] and decimals[1] and decimals[0][2] == decimals[1][2]:
        return one if int(decimals[0][1]) > int(decimals[1][1]) else other
    return None


Family = tuple[tuple[Mapping[str, Any], ...], list[int]]
"""The merged fields, and the positions of those that have them."""


def families(schemas: Sequence[Fields], counts: Sequence[int] | None = None) -> list[Family]:
    """Partition files by schema: the merged fields of each family, and the positions of its files.

    The most frequent schema founds the first family; a file joins the first family that it can be
    merged into and shares enough columns with.  `counts` are how many files are of each schema.
    """
    distinct: dict[str, list[int]] = {}
    for position, fields in enumerate(schemas):
        distinct.setdefault(repr(fields), []).append(position)
    weights = counts or [1] * len(schemas)
    by_frequency = sorted(
        distinct.values(),
        key=lambda members: (-sum(weights[member] for member in members), members[0]),
    )
    found: list[Family] = []
    for members in by_frequency:
        fields = schemas[members[0]]
        for at, (merged, positions) in enumerate(found):
            if not _overlap(merged, fields):
                continue
            both = merge_fields(merged, fields)
            if not isinstance(both, Conflict):
                found[at] = (both, sorted(positions + members))
                break
        else:
            # Shared and not copied: there may be a hundred thousand folders of one schema.
            found.append((tuple(fields), list(members)))
    return found


def _overlap(one: Fields, other: Fields) -> bool:
    names = {field["name"] for field in one}, {field["name"] for field in other}
    return len(names[0] & names[1]) >= FAMILY_OVERLAP_MIN * min(len(names[0]), len(names[1]))


def first_conflict(one: Fields, other: Fields) -> str:
    """Why two files are not of one family, for the report."""
    both = merge_fields(one, other)
    return str(both) if isinstance(both, Conflict) else "they share too few columns"
