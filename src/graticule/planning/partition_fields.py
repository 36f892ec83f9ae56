"""What a partition value says about the column that it was made from."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from typing import Any, Final

from graticule.iceberg.values import TIMESTAMP_TYPES, kind_of, units_per_day

_TRUNCATE: Final = re.compile(r"truncate\[(\d+)\]")
_DECIMAL_SCALE: Final = re.compile(r"decimal\s*\(\s*\d+\s*,\s*(\d+)\s*\)")
_EXACT: Final = Context(prec=100)
"""By default sums are rounded to 28 digits, and columns may have 38."""
_ENDS: Final = (2**31, 2**63)
"""What the integers of 32 and of 64 bits are all below."""
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_HOURS_PER_DAY: Final = 24
_CODE_POINT_MAX: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True)
class PartitionField:
    """A field of a partition spec: the transform as the specification spells it."""

    source_id: int
    transform: str


def result_type(transform: str, source_type: str | None) -> str | None:
    """The type of a transform's values; None where it is that of a source that nobody knows."""
    kind = transform.partition("[")[0].lower()
    match kind:
        case "bucket" | "year" | "month" | "hour":
            return "int"
        case "day":
            return "date"
    return source_type


@dataclass(frozen=True, slots=True)
class Implied:
    """Limits (inclusive) of a column's values in one partition; None is no limit.

    `is_constant`: every row has this very value.  `is_null`: every row is null there; otherwise no
    row is.
    """

    low: Any = None
    high: Any = None
    is_constant: bool = False
    is_null: bool = False


def implied(transform: str, source_type: str, value: Any) -> Implied | None:
    """What the value of one partition field implies for its source column; None is nothing.

    Every transform but `void` is null exactly where its source is.
    """
    kind = transform.partition("[")[0].lower()
    if kind == "void" or kind not in _LIMITS:
        return None
    if value is None:
        return Implied(is_null=True)
    limits = _LIMITS[kind](transform, kind_of(source_type), source_type, value)
    return Implied(*limits, is_constant=kind == "identity")


Limits = tuple[Any, Any]


def _identity(_: str, _kind: str, _type: str, value: Any) -> Limits:
    return value, value


def _nothing(_: str, _kind: str, _type: str, _value: Any) -> Limits:
    return None, None


def _calendar(transform: str, kind: str, _: str, value: Any) -> Limits:
    # Some writers rounded times before 1970 towards zero, one unit up, so a value up to zero may
    # also stand for the unit below.
    first = int(value) - 1 if value <= 0 else int(value)
    unit = transform.lower()
    start, end = _start(unit, first, kind), _start(unit, int(value) + 1, kind)
    return start, None if end is None else end - 1


def _start(unit: str, number: int, kind: str) -> int | None:
    """When year, month, day or hour `number` since 1970 begins, in the ticks of the source type."""
    per_day = units_per_day(kind) if kind in TIMESTAMP_TYPES else 1
    if unit == "hour":
        return number * per_day // _HOURS_PER_DAY if kind in TIMESTAMP_TYPES else None
    if kind != "date" and kind not in TIMESTAMP_TYPES:
        return None
    if unit == "day":
        return number * per_day
    years, months = (number, 0) if unit == "year" else divmod(number, 12)
    if not date.min.year <= 1970 + years <= date.max.year:
        return None
    return (date(1970 + years, months + 1, 1).toordinal() - _EPOCH_ORDINAL) * per_day


def _truncate(transform: str, kind: str, source_type: str, value: Any) -> Limits:
    match = _TRUNCATE.fullmatch(transform.lower())
    if match is None:
        return None, None
    width = int(match[1])
    match kind:
        case "int" | "long":
            last = value + width - 1
            # Java's truncation of the least numbers of 32 or 64 bits comes out among the largest.
            if any(value < end <= last for end in _ENDS):
                return None, None
            return value, last
        case "decimal":
            scale = _DECIMAL_SCALE.fullmatch(source_type.lower())
            if scale is None:
                return None, None
            rest = Decimal(width - 1).scaleb(-int(scale[1]))
            return value, _EXACT.add(value, rest)
        case "string":
            # Code points, by the specification; who counted anything else cut nothing shorter.
            return value, _after_prefix(value) if len(value.encode()) >= width else value
        case "binary":
            return value, _after_prefix_bytes(value) if len(value) >= width else value
    return None, None


def _after_prefix(prefix: str) -> str | None:
    """A text above all that begin with the prefix: its last code point that can grow, grown."""
    for at in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[at]) + 1
        if point in _SURROGATES:
            point = _SURROGATES.stop
        if point <= _CODE_POINT_MAX:
            return prefix[:at] + chr(point)
    return None


def _after_prefix_bytes(prefix: bytes) -> bytes | None:
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


_LIMITS: Final[dict[str, Callable[[str, str, str, Any], Limits]]] = {
    "identity": _identity,
    "bucket": _nothing,
    "truncate": _truncate,
    "year": _calendar,
    "month": _calendar,
    "day": _calendar,
    "hour": _calendar,
}
