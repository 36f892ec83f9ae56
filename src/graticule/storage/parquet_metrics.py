"""Column metrics from a Parquet footer.  No I/O, and no data page is read.

Raw statistics are aggregated first and translated once per column: converting every row group's
minimum to a Python date or decimal costs more than the rest of the inspection together.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal
from itertools import starmap
from operator import eq
from typing import Any, Final, NamedTuple, cast

from graticule.discovery.inspection import ColumnMetrics
from graticule.storage.arrow_types import UNKNOWN_TYPE, Leaf
from graticule.storage.row_groups import Chunks, RowGroups

STRING_BOUND_CHARACTERS: Final = 16
"""Iceberg's default `truncate(16)`, counted in Unicode code points."""

_SURROGATES: Final = range(0xD800, 0xE000)
_CODE_POINT_MAX: Final = 0x10FFFF
_UINT32_MASK: Final = 0xFFFFFFFF
_EXACT: Final = Context(prec=76)
_FLOATING: Final = frozenset({"FLOAT", "DOUBLE"})


class Collected(NamedTuple):
    """Metrics per column path, statistics per row group of the columns that were to be kept, and
    the bytes of each row group, compressed.
    """

    metrics: dict[str, ColumnMetrics]
    statistics: dict[str, list["ChunkStatistics"]]
    group_bytes: list[int]


class ChunkStatistics(NamedTuple):
    """One column in one row group, raw.  `lower` and `upper` are None when not written."""

    value_count: int
    null_count: int | None
    lower: Any
    upper: Any


def collect(
    row_groups: RowGroups, leaves: Sequence[Leaf], *, keep: Iterable[str] = ()
) -> Collected:
    """Everything at once; `keep` are paths of columns whose row groups are asked for."""
    kept = frozenset(keep)
    metrics: dict[str, ColumnMetrics] = {}
    statistics: dict[str, list[ChunkStatistics]] = {}
    sizes: list[Sequence[int]] = []
    for leaf in leaves:
        is_kept = leaf.path in kept
        if not is_kept and (leaf.type is None or leaf.type == UNKNOWN_TYPE):
            sizes.append(row_groups.sizes(leaf))
            continue
        translate = None if leaf.repeated or leaf.is_geospatial else _translator(leaf)
        chunks = row_groups.chunks(leaf, with_bounds=is_kept or translate is not None)
        sizes.append(chunks.sizes)
        if is_kept:
            each = zip(chunks.values, chunks.nulls, chunks.lows, chunks.highs, strict=True)
            statistics[leaf.path] = list(starmap(ChunkStatistics, each))
        metrics[leaf.path] = _column_metrics(leaf, chunks, translate)
    group_bytes = list(map(sum, zip(*sizes, strict=True))) or [0] * len(row_groups.rows)
    return Collected(metrics, statistics, group_bytes)


def _column_metrics(leaf: Leaf, chunks: Chunks, translate: "Translate | None") -> ColumnMetrics:
    type_, size_bytes = leaf.type or UNKNOWN_TYPE, sum(chunks.sizes)
    if leaf.repeated:
        # Counts of elements include rows with an empty list: they are no metrics of Iceberg's.
        return ColumnMetrics(type_, size_bytes, None, None)
    counts = chunks.nulls
    nulls = None if None in counts else sum(cast(Sequence[int], counts))
    lower = upper = None
    if translate is not None:
        lower, upper = _bounds(leaf, chunks, translate)
    return ColumnMetrics(type_, size_bytes, sum(chunks.values), nulls, lower, upper)


def _bounds(leaf: Leaf, chunks: Chunks, translate: "Translate") -> "Bounds":
    """Of all row groups together; none, if one that holds values says nothing."""
    lows, highs = chunks.lows, chunks.highs
    is_empty = map(eq, chunks.values, chunks.nulls)
    if None in lows or None in highs or 0 in chunks.values or any(is_empty):
        filled = [
            (low, high)
            for values, nulls, low, high in zip(
                chunks.values, chunks.nulls, lows, highs, strict=True
            )
            if values not in (0, nulls)
        ]
        if any(low is None or high is None for low, high in filled):
            return None, None
        lows, highs = [low for low, _ in filled], [high for _, high in filled]
    # A NaN among the statistics makes every comparison false: it must not be carried along.
    if not lows or (leaf.physical in _FLOATING and _has_nan((*lows, *highs))):
        return None, None
    key = _orderings(leaf)
    if key is not None:
        lows, highs = list(map(key, lows)), list(map(key, highs))
    return translate(min(lows), max(highs))


def _has_nan(values: Iterable[Any]) -> bool:
    return any(value != value for value in values)  # noqa: PLR0124


def _orderings(leaf: Leaf) -> Callable[[Any], Any] | None:
    """How raw values become comparable, where their raw order is not the column's order."""
    if leaf.type is not None and leaf.type.startswith("decimal"):
        return _unscaled
    if leaf.type == "long" and leaf.physical == "INT32":
        return _unsigned_32
    return None


def _unscaled(raw: Any) -> int:
    return int.from_bytes(raw, "big", signed=True) if isinstance(raw, bytes) else int(raw)


def _unsigned_32(raw: int) -> int:
    return raw & _UINT32_MASK


Bounds = tuple[Any, Any]
Translate = Callable[[Any, Any], Bounds]

_TICKS_PER_SECOND: Final = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def _translator(leaf: Leaf) -> Translate | None:
    """From raw extremes to bounds in Iceberg's units; None where bounds are unknown or useless."""
    type_ = leaf.type or ""
    if type_ in _AS_THEY_ARE:
        return _AS_THEY_ARE[type_] if leaf.physical != "INT96" else None
    if type_ in {"time", "timestamp", "timestamptz"}:
        ticks = _TICKS_PER_SECOND.get(leaf.unit or "")
        return None if ticks is None or leaf.physical == "INT96" else _microseconds(ticks)
    if type_.startswith("decimal"):
        scale = int(type_.rstrip(")").rpartition(",")[2])
        return lambda low, high: (_scaled(low, scale), _scaled(high, scale))
    # Bounds of plain bytes would be right but serve nobody, and a geometry that no metadata declare
    # is plain bytes, too.
    return None


def _scaled(unscaled: int, scale: int) -> Decimal:
    """Exact: `Decimal.scaleb` in the default context would round what has more than 28 digits."""
    return Decimal(unscaled).scaleb(-scale, _EXACT)


def _unchanged(low: Any, high: Any) -> Bounds:
    return low, high


def _floats(low: float, high: float) -> Bounds:
    """Zeros are widened: a writer that saw both -0.0 and 0.0 may have kept either."""
    return (-0.0 if low == 0 else low), (0.0 if high == 0 else high)


def _strings(low: Any, high: Any) -> Bounds:
    return lower_string_bound(low), upper_string_bound(high)


def _uuids(low: bytes, high: bytes) -> Bounds:
    return uuid.UUID(bytes=low), uuid.UUID(bytes=high)


_AS_THEY_ARE: Final[Mapping[str, Translate]] = {
    "boolean": _unchanged,
    "int": _unchanged,
    "long": _unchanged,
    "date": _unchanged,
    "float": _floats,
    "double": _floats,
    "string": _strings,
    "uuid": _uuids,
}


def _microseconds(ticks_per_second: int) -> Translate:
    if ticks_per_second <= 10**6:
        factor = 10**6 // ticks_per_second
        return lambda low, high: (low * factor, high * factor)
    divisor = ticks_per_second // 10**6
    return lambda low, high: (low // divisor, -(-high // divisor))


def lower_string_bound(raw: bytes | str) -> str | None:
    """The first 16 code points: nothing that begins with more can sort before them."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError as error:
        # A writer cut its minimum inside a character.  What is left of the cut still sorts first.
        text = bytes(raw)[: error.start].decode() if isinstance(raw, bytes) else ""
    return text[:STRING_BOUND_CHARACTERS]


def upper_string_bound(raw: bytes | str) -> str | None:
    """The smallest text of 16 code points that nothing exceeds; None if there is none."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError:
        return None
    if len(text) <= STRING_BOUND_CHARACTERS:
        return text
    head = text[:STRING_BOUND_CHARACTERS]
    for position in range(len(head) - 1, -1, -1):
        successor = ord(head[position]) + 1
        if successor in _SURROGATES:
            successor = _SURROGATES.stop
        if successor <= _CODE_POINT_MAX:
            return head[:position] + chr(successor)
    return None
