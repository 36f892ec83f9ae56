"""Filters of scan planning: REST JSON to a tree of predicates and back.  Nothing is bound here.

Two grammars are on the wire: every client speaks `term` and `value`, the specification's newer one
says `left`, `right`, `child` and `literal`.  Both are read, also mixed in one tree, never in one
predicate; the first is written.  Literals stay as JSON: only a column's type gives them a meaning.
`st-intersects` is an extension.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from graticule.domain.errors import InvalidRequest

Json = Any
Literal = str | int | float | bool

EXPRESSION_DEPTH_MAX: Final = 200
"""Nesting of a filter, chains of `and` and `or` included; trees are walked by recursion."""

SET_VALUES_MAX: Final = 200_000

UNARY: Final = frozenset({"is-null", "not-null", "is-nan", "not-nan"})
COMPARISONS: Final = frozenset(
    {"lt", "lt-eq", "gt", "gt-eq", "eq", "not-eq", "starts-with", "not-starts-with"}
)
SETS: Final = frozenset({"in", "not-in"})
ST_INTERSECTS: Final = "st-intersects"

NEGATED: Final = {
    "is-null": "not-null",
    "not-null": "is-null",
    "is-nan": "not-nan",
    "not-nan": "is-nan",
    "eq": "not-eq",
    "not-eq": "eq",
    "in": "not-in",
    "not-in": "in",
    "starts-with": "not-starts-with",
    "not-starts-with": "starts-with",
}
"""Pairs that are each other's negation for nulls and NaN as well; `lt` and `gt-eq` are not."""

_MIRRORED: Final = {
    "lt": "gt",
    "lt-eq": "gt-eq",
    "gt": "lt",
    "gt-eq": "lt-eq",
    "eq": "eq",
    "not-eq": "not-eq",
}


@dataclass(frozen=True, slots=True)
class FieldId:
    """A column by its field id (newer grammar)."""

    id: int


@dataclass(frozen=True, slots=True)
class Transform:
    """A transform such as `bucket[4]` of a term."""

    transform: str
    term: "Term"


Term = str | FieldId | Transform
"""A column's full name, or one of the rarer forms."""


@dataclass(frozen=True, slots=True)
class AlwaysTrue:
    pass


@dataclass(frozen=True, slots=True)
class AlwaysFalse:
    pass


@dataclass(frozen=True, slots=True)
class And:
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Or:
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Not:
    child: "Expression"


@dataclass(frozen=True, slots=True)
class Unary:
    op: str
    term: Term


@dataclass(frozen=True, slots=True)
class Comparison:
    op: str
    term: Term
    value: Literal


@dataclass(frozen=True, slots=True)
class SetMembership:
    op: str
    term: Term
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class StIntersects:
    """The geometry shares a point with the box (xmin, ymin, xmax, ymax).

    xmin > xmax crosses the antimeridian.
    """

    term: Term
    box: tuple[float, float, float, float]


Expression = (
    AlwaysTrue | AlwaysFalse | And | Or | Not | Unary | Comparison | SetMembership | StIntersects
)

TRUE: Final = AlwaysTrue()
FALSE: Final = AlwaysFalse()


def parse(document: Json) -> Expression:
    """Read a filter.

    Raises:
        InvalidRequest: it is malformed, uses an unknown predicate, or is too deep or too wide.
    """
    return _parse(document, EXPRESSION_DEPTH_MAX)


def _parse(document: Json, depth: int) -> Expression:
    if depth == 0:
        raise InvalidRequest(f"the filter is nested more than {EXPRESSION_DEPTH_MAX} levels deep")
    if isinstance(document, bool):
        return TRUE if document else FALSE
    if not isinstance(document, Mapping):
        raise InvalidRequest(f"a filter is an object, `true` or `false`, not `{_shown(document)}`")
    kind = document.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest("a filter object needs a `type`")
    kind = kind.lower().replace("_", "-")
    match kind:
        case "true":
            return TRUE
        case "false":
            return FALSE
        case "and" | "or":
            left = _parse(_member(document, kind, "left"), depth - 1)
            right = _parse(_member(document, kind, "right"), depth - 1)
            return And(left, right) if kind == "and" else Or(left, right)
        case "not":
            return Not(_parse(_member(document, kind, "child"), depth - 1))
        case "literal" if isinstance(document.get("value"), bool):
            return TRUE if document["value"] else FALSE
        case "reference":  # a boolean column on its own
            return Comparison("eq", _term(document), value=True)
        case "st-intersects":
            return StIntersects(_term(_member(document, kind, "term")), _box(document))
    if kind in UNARY:
        return Unary(kind, _term(_operand(document, kind, "term", "child")))
    if kind in COMPARISONS:
        return _comparison(document, kind)
    if kind in SETS:
        term = _term(_operand(document, kind, "term", "child"))
        return SetMembership(kind, term, _literals(_member(document, kind, "values")))
    raise InvalidRequest(f"`{kind}` is not a predicate that this server knows")


def _comparison(document: Mapping[str, Any], kind: str) -> Comparison:
    if "term" in document:
        if "left" in document or "right" in document:
            raise InvalidRequest(f"`{kind}` mixes `term` with `left` and `right`")
        value = _literal(_member(document, kind, "value"))
        return Comparison(kind, _term(document["term"]), value)
    left, right = _member(document, kind, "left"), _member(document, kind, "right")
    if _is_literal(left) and not _is_literal(right):
        if kind not in _MIRRORED:
            raise InvalidRequest(f"the left side of `{kind}` must be a column")
        kind, left, right = _MIRRORED[kind], right, left
    # Bare texts are literals in the newer grammar, so a column is always an object here.
    if _is_literal(left):
        raise InvalidRequest(f"`{kind}` compares two literals")
    return Comparison(kind, _term(left), _literal(right))


def _operand(document: Mapping[str, Any], kind: str, old: str, new: str) -> Json:
    if old in document and new in document:
        raise InvalidRequest(f"`{kind}` has both `{old}` and `{new}`")
    return document[new] if new in document else _member(document, kind, old)


def _member(document: Mapping[str, Any], kind: str, name: str) -> Json:
    if name not in document:
        raise InvalidRequest(f"`{kind}` needs `{name}`")
    return document[name]


def _term(document: Json) -> Term:
    nested: list[str] = []
    while isinstance(document, Mapping) and document.get("type") == "transform":
        transform = document.get("transform")
        if not isinstance(transform, str) or len(nested) == EXPRESSION_DEPTH_MAX:
            raise InvalidRequest("a transform term needs `transform` and `term`")
        nested.append(transform)
        document = document.get("term")
    term: Term = _reference(document)
    for transform in reversed(nested):
        term = Transform(transform, term)
    return term


def _reference(document: Json) -> Term:
    if isinstance(document, str) and document:
        return document
    if isinstance(document, Mapping) and document.get("type") == "reference":
        name = document.get("term", document.get("name"))
        if isinstance(name, str) and name:
            return name
        field_id = document.get("id")
        if name is None and isinstance(field_id, int) and not isinstance(field_id, bool):
            return FieldId(field_id)
    raise InvalidRequest(f"`{_shown(document)}` does not name a column")


def _is_literal(document: Json) -> bool:
    return not isinstance(document, Mapping) or document.get("type") == "literal"


def _literal(document: Json) -> Literal:
    if isinstance(document, Mapping) and document.get("type") == "literal":
        document = document.get("value")
    if isinstance(document, str | int) or _is_finite(document):
        return document  # type: ignore[no-any-return]
    raise InvalidRequest(f"`{_shown(document)}` is not a literal to compare with")


def _literals(document: Json) -> tuple[Literal, ...]:
    if isinstance(document, Mapping) and document.get("type") == "literals":
        document = document.get("values")
    if not isinstance(document, list):
        raise InvalidRequest("`values` must be a list of literals")
    if len(document) > SET_VALUES_MAX:
        raise InvalidRequest(f"`values` has {len(document)} literals, over {SET_VALUES_MAX}")
    return tuple(_literal(value) for value in document)


def _box(document: Mapping[str, Any]) -> tuple[float, float, float, float]:
    value = document.get("value")
    sides: list[float] = []
    for axis in ("x", "y"):
        interval = value.get(axis) if isinstance(value, Mapping) else None
        for end in ("min", "max"):
            side: Any = interval.get(end) if isinstance(interval, Mapping) else None
            if not _is_finite(side):
                raise InvalidRequest(
                    f"`{ST_INTERSECTS}` needs finite numbers in `value`, as in "
                    '{"x": {"min": 2.2, "max": 2.4}, "y": {"min": 48.8, "max": 48.9}}'
                )
            sides.append(float(side))
    xmin, xmax, ymin, ymax = sides
    if ymin > ymax:
        raise InvalidRequest(f"`{ST_INTERSECTS}` is upside down: y from {ymin} to {ymax}")
    if xmin > xmax and not (xmax >= -180 and xmin <= 180):
        raise InvalidRequest(
            f"`{ST_INTERSECTS}` runs from x {xmin} to {xmax}: "
            "only longitudes from -180 to 180 may cross the antimeridian"
        )
    return (xmin, ymin, xmax, ymax)


def _is_finite(value: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _shown(document: Json) -> str:
    text = repr(document)
    return text if len(text) <= 80 else text[:77] + "..."


# Back to JSON.


def to_json(expression: Expression) -> Json:
    """Write an expression in the grammar that every client reads."""
    match expression:
        case AlwaysTrue():
            return True
        case AlwaysFalse():
            return False
        case And(left, right):
            return {"type": "and", "left": to_json(left), "right": to_json(right)}
        case Or(left, right):
            return {"type": "or", "left": to_json(left), "right": to_json(right)}
        case Not(child):
            return {"type": "not", "child": to_json(child)}
        case Unary(op, term):
            return {"type": op, "term": _term_json(term)}
        case Comparison(op, term, value):
            return {"type": op, "term": _term_json(term), "value": value}
        case SetMembership(op, term, values):
            return {"type": op, "term": _term_json(term), "values": list(values)}
        case StIntersects(term, (xmin, ymin, xmax, ymax)):
            sides = {"x": {"min": xmin, "max": xmax}, "y": {"min": ymin, "max": ymax}}
            return {"type": ST_INTERSECTS, "term": _term_json(term), "value": sides}
    assert_never(expression)


def _term_json(term: Term) -> Json:
    match term:
        case str():
            return term
        case FieldId(field_id):
            return {"type": "reference", "id": field_id}
        case Transform(transform, inner):
            return {"type": "transform", "transform": transform, "term": _term_json(inner)}
    assert_never(term)


def weakened(expression: Expression) -> Expression:
    """What a client can evaluate of the expression: true wherever the expression is.

    For residuals.  The extension and columns by id are unknown to clients, so they become true, and
    false below a `not`.
    """
    return _replaced(expression, _is_understood, negated=False)


def _is_understood(expression: Expression) -> bool:
    match expression:
        case StIntersects():
            return False
        case Unary(_, term) | Comparison(_, term, _) | SetMembership(_, term, _):
            while isinstance(term, Transform):
                term = term.term
            return isinstance(term, str)
    return True


def _replaced(
    expression: Expression, keep: Callable[[Expression], bool], *, negated: bool
) -> Expression:
    match expression:
        case And(left, right):
            first = _replaced(left, keep, negated=negated)
            second = _replaced(right, keep, negated=negated)
            if FALSE in {first, second}:
                return FALSE
            return second if first == TRUE else first if second == TRUE else And(first, second)
        case Or(left, right):
            first = _replaced(left, keep, negated=negated)
            second = _replaced(right, keep, negated=negated)
            if TRUE in {first, second}:
                return TRUE
            return second if first == FALSE else first if second == FALSE else Or(first, second)
        case Not(child):
            inner = _replaced(child, keep, negated=not negated)
            return FALSE if inner == TRUE else TRUE if inner == FALSE else Not(inner)
    if keep(expression):
        return expression
    return FALSE if negated else TRUE
