"""Request bodies for fuzzing: what the OpenAPI document asks for, whole and then damaged."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from support.openapi import Document

TEXTS = [
    *(
        "",
        " ",
        "a",
        "A",
        "é",
        "e\u0301",
        "日本",
        "\x00",
        "\x1f",
        "\x7f",
        "\u200b",
        "\u202e",
        "\ud800",
    ),
    *("a/b", "..", "%2e%2e", "%1F", "null", "true", "-1", "0", "'", '"', "\\", "`", "{}", "[]"),
    *("s3://lake", "s3://lake/../x", "s3://other/x", "file:///etc/passwd", "http://127.0.0.1:1/"),
    *("x" * 256, "é" * 2000, "😀", "\U0010ffff", "1" * 5000),
]
NUMBERS = [0, -1, 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40]
FRACTIONS = [0.5, -0.0, 1e308, 1.0, 5e-324]
UNKNOWN_KEYS = ["", "x", "type", "action", "__proto__", "id", "name", "\x00", "\ud800", "a" * 300]

texts = st.sampled_from(TEXTS) | st.text(max_size=8)
scalars = st.none() | st.booleans() | texts | st.sampled_from(NUMBERS) | st.sampled_from(FRACTIONS)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(UNKNOWN_KEYS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def bodies(document: Document, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
    """Mostly what `schema` describes with some places damaged; some whole, some anything."""
    wholes = _Bodies(document).values(schema)
    return damaged(wholes) | damaged(wholes) | wholes | anything


@st.composite
def damaged(draw: st.DrawFn, wholes: SearchStrategy[Any]) -> Any:
    """A value with one to three places replaced, removed, doubled or added to."""
    value = draw(wholes)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_paths(value))))
        value = _changed(draw, value, path)
    return value


def _changed(draw: st.DrawFn, value: Any, path: tuple[Any, ...]) -> Any:
    if path:
        whole = copy.copy(value)
        if len(path) == 1 and draw(st.integers(0, 3)) == 0:
            del whole[path[0]]
        else:
            whole[path[0]] = _changed(draw, value[path[0]], path[1:])
        return whole
    kind = draw(st.integers(0, 3))
    if isinstance(value, dict) and kind == 1:
        return {**value, draw(st.sampled_from(UNKNOWN_KEYS)): draw(anything)}
    if isinstance(value, list) and kind == 1 and value:
        return [*value, *value]
    if kind == 2:
        return [value]
    return draw(anything)


def _paths(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield prefix
    members = value.items() if isinstance(value, dict) else ()
    members = enumerate(value) if isinstance(value, list) else members
    for key, member in members:
        yield from _paths(member, (*prefix, key))


class _Bodies:
    """Values of the schemas of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[str, SearchStrategy[Any]] = {}

    def values(self, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        """Values of a schema of the kinds that the document uses."""
        if "$ref" in schema:
            named = self._named(schema["$ref"])
            more = schema.get("required", ())
            return self._complete(schema["$ref"], frozenset(more)) if more else named
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "examples" in schema:
            return st.sampled_from(schema["examples"])
        if "anyOf" in schema and "type" not in schema:
            return st.one_of([self.values(option) for option in schema["anyOf"]])
        kinds = schema.get("type", "any")
        if isinstance(kinds, list):
            return st.one_of([self.values({**schema, "type": kind}) for kind in kinds])
        return self._of_kind(kinds, schema)

    def _of_kind(self, kind: str, schema: Mapping[str, Any]) -> SearchStrategy[Any]:
        match kind:
            case "object":
                return self._objects(schema, frozenset(schema.get("required", ())))
            case "array":
                items = self.values(schema.get("items", {}))
                least = schema.get("minItems", 0)
                return st.lists(items, min_size=least, max_size=max(3, least))
            case "string":
                return st.sampled_from(["a", "id", "t", "ns", "main", "1", "日本"])
            case "integer":
                low, high = schema.get("minimum", -1), schema.get("maximum", 2**63 - 1)
                return st.integers(max(low, -1), min(high, 4)) | st.sampled_from([high])
            case "number":
                return st.sampled_from([0.5, 1, -1])
            case "boolean":
                return st.booleans()
            case "null":
                return st.none()
            case _:
                return scalars

    def _objects(self, schema: Mapping[str, Any], required: frozenset[str]) -> SearchStrategy[Any]:
        members = {name: self.values(of) for name, of in schema.get("properties", {}).items()}
        known = st.fixed_dictionaries(
            {name: of for name, of in members.items() if name in required},
            optional={name: of for name, of in members.items() if name not in required},
        )
        values = schema.get("additionalProperties")
        if not isinstance(values, dict):
            return known
        extra = st.dictionaries(
            st.sampled_from(["a", "owner", "日本"]), self.values(values), max_size=2
        )
        return st.builds(lambda more, some: {**more, **some}, extra, known)

    def _named(self, reference: str) -> SearchStrategy[Any]:
        """Deferred, because types and expressions hold themselves."""
        if reference not in self._known:
            self._known[reference] = st.deferred(lambda: self.values(self._document.at(reference)))
        return self._known[reference]

    def _complete(self, reference: str, more: frozenset[str]) -> SearchStrategy[Any]:
        schema = self._document.at(reference)
        if schema.get("type") != "object":
            return self._named(reference)
        return self._objects(schema, more | frozenset(schema.get("required", ())))
