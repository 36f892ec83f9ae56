"""Read typed members out of JSON documents that somebody else wrote.

Every surprise is an `InvalidRequest` that names the member; nothing else is ever raised.  Knows
nothing of tables.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.entries import Entries

Json = dict[str, Any]

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1
LONG_MIN: Final = -(2**63)
NESTING_LEVELS_MAX: Final = 400
"""Of arrays and objects in one document: well below the recursion limit that `==` runs into."""


def as_object(value: object, what: str) -> Json:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be an object, not {_kind(value)}")
    return value


def as_array(value: object, what: str) -> list[Any]:
    if isinstance(value, Entries):
        return list(value)
    if not isinstance(value, list):
        raise InvalidRequest(f"{what} must be an array, not {_kind(value)}")
    return value


def as_sequence(value: object, what: str, *, items_max: int) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidRequest(f"{what} must be an array, not {_kind(value)}")
    if len(value) > items_max:
        raise InvalidRequest(f"{what} must not have more than {items_max} entries")
    return value


def as_text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{what} must be a text that is not empty, not {_kind(value)}")
    return value


def as_int(value: object, what: str, *, least: int = 0, most: int = INT_MAX) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(f"{what} must be an integer, not {_kind(value)}")
    if not least <= value <= most:
        raise InvalidRequest(f"{what} must lie between {least} and {most}")
    return value


def as_long(value: object, what: str, *, least: int = LONG_MIN) -> int:
    return as_int(value, what, least=least, most=LONG_MAX)


def as_text_map(value: object, what: str) -> dict[str, str]:
    """A copy of an object whose values are all texts; empty texts are fine."""
    checked = dict(value) if isinstance(value, Mapping) else as_object(value, what)
    for key, member in checked.items():
        if not isinstance(key, str) or not isinstance(member, str):
            raise InvalidRequest(f"{what}: the value of `{key}` must be a text")
    return checked


def get_text(document: Json, key: str, of: str) -> str:
    return as_text(document.get(key), f"`{key}` of {of}")


def get_int(document: Json, key: str, of: str, *, least: int = 0, most: int = INT_MAX) -> int:
    value = document.get(key)
    if type(value) is int and least <= value <= most:
        # Documents hold ten thousands of these: make no message that nobody reads.
        return value
    return as_int(value, f"`{key}` of {of}", least=least, most=most)


def get_long(document: Json, key: str, of: str, *, least: int = LONG_MIN) -> int:
    return get_int(document, key, of, least=least, most=LONG_MAX)


def get_bool(document: Json, key: str, of: str) -> bool:
    value = document.get(key)
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{key}` of {of} must be true or false, not {_kind(value)}")
    return value


def get_object(document: Json, key: str, of: str) -> Json:
    return as_object(document.get(key), f"`{key}` of {of}")


def get_array(document: Json, key: str, of: str) -> list[Any]:
    return as_array(document.get(key), f"`{key}` of {of}")


def get_objects(document: Json, key: str, of: str) -> list[Json]:
    """An array of objects; absent and null are an empty one."""
    value = document.get(key)
    if value is None:
        return []
    items = as_array(value, f"`{key}` of {of}")
    for item in items:
        as_object(item, f"an entry of `{key}` of {of}")
    return items


def get_longs(document: Json, key: str, of: str) -> list[int]:
    return [as_long(item, f"an entry of `{key}` of {of}") for item in get_array(document, key, of)]


def without_nulls(document: Json, optional: Collection[str]) -> Json:
    """A copy without those `optional` members that are null: clients write null for absent."""
    return {k: v for k, v in document.items() if v is not None or k not in optional}


def stripped_location(value: object) -> str:
    """A location without trailing slashes, which the reference implementation drops too."""
    return as_text(as_text(value, "`location`").rstrip("/"), "`location`")


def check_nesting(value: object) -> None:
    """Refuse a document that is nested so deeply that walking or comparing it could overflow.

    Raises:
        InvalidRequest: more than `NESTING_LEVELS_MAX` arrays and objects inside each other.
    """
    level: list[object] = [value]
    for _ in range(NESTING_LEVELS_MAX + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(v for v in item.values() if isinstance(v, dict | list))
            elif isinstance(item, list):
                below.extend(v for v in item if isinstance(v, dict | list))
        if not below:
            return
        level = below
    raise InvalidRequest(f"the document is nested more than {NESTING_LEVELS_MAX} levels deep")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null or absent"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value else "an empty text"
        case list():
            return "an array"
        case _:
            return "an object"
