"""Judge files by their metrics and partition values: false only if certainly no row can match.

A filter is bound once to a table's columns and specs, then asked about each file.  Whatever is not
understood (an unknown column, a literal that does not fit, a transform, a `not` before an order) is
true, and so is whatever a file does not tell.
"""

import math
import struct
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.expressions import (
    NEGATED,
    AlwaysFalse,
    AlwaysTrue,
    And,
    Comparison,
    Expression,
    FieldId,
    Literal,
    Not,
    Or,
    SetMembership,
    StIntersects,
    Term,
    Unary,
)
from graticule.iceberg.values import FLOATING_TYPES, decode_value, from_json_value, kind_of
from graticule.planning.files import DataFileEntry
from graticule.planning.partition_fields import PartitionField, implied
from graticule.spatial.bounding_box import WHOLE_PLANE
from graticule.spatial.box_columns import FILE_BOX_COLUMNS

_UNORDERED: Final = frozenset({"uuid"})
"""Types that some order otherwise than others: only what is equal is certain."""

_ORDERS: Final = frozenset({"lt", "lt-eq", "gt", "gt-eq"})
_WITHOUT_BOUNDS: Final = frozenset({"geometry", "geography", "variant", "unknown"})
_LARGEST: Final = WHOLE_PLANE[3]


@dataclass(frozen=True, slots=True)
class Column:
    """A primitive column outside of lists and maps, by its full name in the caller's mapping."""

    field_id: int
    type: str
    is_nested: bool = False
    """In a struct, which may be null as a whole."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of one column in one file; None and False are not known."""

    low: Any = None
    high: Any = None
    is_constant: bool = False
    all_null: bool = False
    no_null: bool = False
    all_nan: bool = False
    no_nan: bool = False


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A predicate on a column; `values` are bound, sorted, and of float columns doubled."""

    op: str
    name: str
    column: Column
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple["_Bound", ...]


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple["_Bound", ...]


_Bound = _Leaf | _All | _Any | bool


@dataclass(frozen=True, slots=True)
class BoundFilter:
    """A filter that knows the table's columns."""

    _bound: _Bound
    _specs: Mapping[int, Sequence[PartitionField]]

    @property
    def is_trivial(self) -> bool:
        """True when every file passes, so that nobody needs to ask."""
        return self._bound is True

    def may_match(self, entry: DataFileEntry) -> bool:
        """False only if no row of the file can match."""
        return self._may(self._bound, entry, {})

    def _may(self, bound: _Bound, entry: DataFileEntry, known: dict[int, _Facts]) -> bool:
        match bound:
            case bool():
                return bound
            case _All(parts):
                return all(self._may(part, entry, known) for part in parts)
            case _Any(parts):
                return any(self._may(part, entry, known) for part in parts)
            case _Leaf():
                try:
                    facts = known.get(bound.column.field_id)
                    if facts is None:
                        fields = self._specs.get(entry.spec_id, ())
                        facts = _facts(entry, bound.name, bound.column, fields)
                        known[bound.column.field_id] = facts
                    return _may_hold(bound.op, bound.values, facts)
                except (TypeError, AttributeError):  # a partition value that is not of its type
                    return True


def bind(
    expression: Expression,
    columns: Mapping[str, Column],
    specs: Mapping[int, Sequence[PartitionField]],
    *,
    case_sensitive: bool = True,
) -> BoundFilter:
    """Bind a filter to the columns of a schema, by full name, and to the fields of all specs."""
    by_name = {name: (name, column) for name, column in columns.items()}
    if not case_sensitive:
        by_name = {}
        for name, column in columns.items():
            by_name.setdefault(name.lower(), (name, column))
    by_id = {column.field_id: (name, column) for name, column in columns.items()}

    def resolve(term: Term) -> tuple[str, Column] | None:
        match term:
            case str():
                return by_name.get(term if case_sensitive else term.lower())
            case FieldId(field_id):
                return by_id.get(field_id)
        return None

    def bound(part: Expression, *, negated: bool) -> _Bound:
        match part:
            case AlwaysTrue():
                return not negated
            case AlwaysFalse():
                return negated
            case Not(child):
                return bound(child, negated=not negated)
            case And(left, right) | Or(left, right):
                parts = (bound(left, negated=negated), bound(right, negated=negated))
                return _joined(parts, conjunction=isinstance(part, And) != negated)
            case Unary(op, term):
                return _leaf(op, resolve(term), (), negated=negated)
            case Comparison(op, term, value):
                return _leaf(op, resolve(term), (value,), negated=negated)
            case SetMembership(op, term, values):
                return _leaf(op, resolve(term), values, negated=negated)
            case StIntersects():
                return True

    return BoundFilter(bound(expression, negated=False), specs)


def may_match(
    expression: Expression,
    entry: DataFileEntry,
    *,
    columns: Mapping[str, Column],
    fields: Sequence[PartitionField] = (),
) -> bool:
    """`bind` and ask once; for a single file."""
    return bind(expression, columns, {entry.spec_id: fields}).may_match(entry)


def _joined(parts: tuple[_Bound, ...], *, conjunction: bool) -> _Bound:
    """Flattened, so that a chain of a hundred predicates is one node."""
    kind = _All if conjunction else _Any
    flat: list[_Bound] = []
    for part in parts:
        if isinstance(part, bool):
            if part is not conjunction:
                return part
        else:
            flat += part.parts if isinstance(part, kind) else (part,)
    if len(flat) < 2:
        return flat[0] if flat else conjunction
    return kind(tuple(flat))


def _leaf(
    op: str,
    resolved: tuple[str, Column] | None,
    literals: tuple[Literal, ...],
    *,
    negated: bool,
) -> _Bound:
    if negated:
        if op not in NEGATED:
            # A null or NaN may satisfy the negation of an order, depending on who evaluates it.
            return True
        op = NEGATED[op]
    if resolved is None:
        return True
    name, column = resolved
    if op in {"in", "not-in"} and not literals:
        return op == "not-in"
    if op in {"starts-with", "not-starts-with"} and kind_of(column.type) != "string":
        return True
    if op in _ORDERS and kind_of(column.type) in _UNORDERED:
        return True
    try:
        values = {value for literal in literals for value in _candidates(column.type, literal)}
        return _Leaf(op, name, column, tuple(sorted(values)))
    except (InvalidRequest, TypeError):
        return True


def _candidates(type_: str, literal: Literal) -> tuple[Any, ...]:
    """The values that a literal may mean.

    Against a float column some engines round the literal to float32 and others widen the column.

    Raises:
        InvalidRequest: it means nothing in this type, or nothing certain.
    """
    kind = kind_of(type_)
    if kind.endswith("_ns") and isinstance(literal, int):
        raise InvalidRequest(f"`{literal}` may be micro- or nanoseconds")
    value = from_json_value(type_, literal)
    if kind not in FLOATING_TYPES:
        return (value,)
    if math.isnan(value):
        raise InvalidRequest("nothing compares with NaN")
    if kind == "double":
        return (value,)
    try:
        return (value, struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return (value, math.copysign(math.inf, value))


# Facts.


def _facts(
    entry: DataFileEntry, name: str, column: Column, fields: Sequence[PartitionField]
) -> _Facts:
    facts = _from_metrics(entry, column)
    if len(entry.partition) != len(fields):
        return facts
    for field, value in zip(fields, entry.partition, strict=True):
        if field.source_id == column.field_id:
            facts = _with_partition(facts, name, column, field, value)
    return facts


def _from_metrics(entry: DataFileEntry, column: Column) -> _Facts:
    at, kind = column.field_id, kind_of(column.type)
    low = high = None
    if kind not in _WITHOUT_BOUNDS:
        low = _bound(column.type, entry.lower_bounds.get(at))
        high = _bound(column.type, entry.upper_bounds.get(at))
        if kind in _UNORDERED and low != high:
            low = high = None
        if low is not None and high is not None and low > high:
            low = high = None
    values, nulls = entry.value_counts.get(at), entry.null_value_counts.get(at)
    nans = entry.nan_value_counts.get(at)
    return _Facts(
        low=low,
        high=high,
        all_null=bool(values) and nulls == values,
        # Not all writers count a field as null where the struct around it is.
        no_null=nulls == 0 and not column.is_nested,
        all_nan=bool(values) and nans == values,
        no_nan=nans == 0,
    )


def _bound(type_: str, data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        value = decode_value(type_, data)
    except InvalidRequest:
        return None
    # NaN as a bound says that its writer did not know how to order.
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_partition(
    facts: _Facts, name: str, column: Column, field: PartitionField, value: Any
) -> _Facts:
    if name in FILE_BOX_COLUMNS.names and not _is_known_side(value):
        return facts
    says = implied(field.transform, column.type, value)
    if says is None:
        return facts
    if says.is_null:
        return _Facts(all_null=True)
    if isinstance(says.low, float) and math.isnan(says.low):
        return _Facts(no_null=True, all_nan=True)
    if says.is_constant:
        return _Facts(says.low, says.high, is_constant=True, no_null=True, no_nan=True)
    low = facts.low if says.low is None else says.low
    high = facts.high if says.high is None else says.high
    if facts.low is not None and facts.low > low:
        low = facts.low
    if facts.high is not None and facts.high < high:
        high = facts.high
    if low is not None and high is not None and low > high:
        low = high = None  # the two contradict each other: believe neither
    return _Facts(low, high, no_null=True, all_nan=facts.all_nan, no_nan=facts.no_nan)


def _is_known_side(value: Any) -> bool:
    """False for a side of the whole plane, which stands for an unknown box."""
    return isinstance(value, int | float) and abs(value) < _LARGEST


# Predicates.


def _may_hold(op: str, values: tuple[Any, ...], facts: _Facts) -> bool:
    match op:
        case "is-null":
            return not facts.no_null
        case "not-null":
            return not facts.all_null
        case "is-nan":
            return not (facts.no_nan or facts.all_null)
        case "not-nan":
            return not facts.all_nan
        case "not-eq" | "not-in":
            # Truncated bounds may be equal though values differ, so only a constant is certain;
            # of floats not even that, with -0.0 and literals of another width.
            return not facts.is_constant or isinstance(facts.low, float) or facts.low not in values
        case "not-starts-with":
            return not (facts.is_constant and facts.low.startswith(values[0]))
    if facts.all_null or facts.all_nan:
        return False
    low, high = facts.low, facts.high
    match op:
        case "lt" | "lt-eq":
            limit = values[-1]
            return low is None or low < limit or (low == limit and _keeps(op, limit))
        case "gt" | "gt-eq":
            limit = values[0]
            return high is None or high > limit or (high == limit and _keeps(op, limit))
        case "eq" | "in":
            at = 0 if low is None else bisect_left(values, low)
            return at < len(values) and (high is None or values[at] <= high)
        case "starts-with":
            prefix = values[0]
            above = low is not None and low[: len(prefix)] > prefix
            below = high is not None and high[: len(prefix)] < prefix
            return not (above or below)
    return True


def _keeps(op: str, limit: Any) -> bool:
    """Whether equality satisfies an order; at zero it may, since -0.0 lies below 0.0 for some."""
    return op.endswith("-eq") or (isinstance(limit, float) and limit == 0.0)
