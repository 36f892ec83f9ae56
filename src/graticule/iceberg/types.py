"""Primitive types as the strings that Iceberg documents carry, and their one canonical spelling.

Nested types are `schema`'s business.  Specification: format, "Schemas and data types" and
"Appendix C: JSON serialization".

Geometry is spelt in three ways by the clients in use: bare, `geometry(C)` as the specification has
it, and `geometry('C')` by PyIceberg.  Only the bare form is read by all of them, so a default
coordinate reference system is never written out.
"""

import re
from dataclasses import dataclass
from typing import Final

from graticule.domain.errors import InvalidRequest

DEFAULT_CRS: Final = "OGC:CRS84"
CRS_CHARACTERS_MAX: Final = 255
DECIMAL_PRECISION_MAX: Final = 38
EDGE_ALGORITHMS: Final = ("spherical", "vincenty", "thomas", "andoyer", "karney")

SIMPLE_TYPES: Final = frozenset(
    {
        "boolean", "int", "long", "float", "double", "date", "time", "timestamp", "timestamptz",
        "timestamp_ns", "timestamptz_ns", "string", "uuid", "binary", "unknown", "variant",
    }
)  # fmt: skip
_NEEDS_V3: Final = frozenset(
    {"timestamp_ns", "timestamptz_ns", "unknown", "variant", "geometry", "geography"}
)
# Iceberg coordinates are always longitude first, so these name the same thing.
_DEFAULT_CRS_SPELLINGS: Final = frozenset({"ogc:crs84", "epsg:4326", "srid:4326"})

_DECIMAL: Final = re.compile(r"decimal\(\s*(\d{1,4})\s*,\s*(\d{1,4})\s*\)")
_FIXED: Final = re.compile(r"fixed\[\s*(\d{1,10})\s*\]")
_GEOSPATIAL: Final = re.compile(r"(geometry|geography)\s*(?:\((.*)\))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class GeospatialType:
    """`geometry(crs)`, always planar, or `geography(crs, algorithm)`."""

    name: str
    crs: str = DEFAULT_CRS
    algorithm: str | None = None

    def __str__(self) -> str:
        """The canonical spelling: unquoted, defaults left out."""
        if self.algorithm not in {None, "spherical"}:
            return f"{self.name}({self.crs}, {self.algorithm})"
        return self.name if self.crs == DEFAULT_CRS else f"{self.name}({self.crs})"


def canonical_type(text: str) -> str:
    """The canonical spelling of a primitive type, variant included.

    Raises:
        InvalidRequest: not a type of format versions 1 to 3.
    """
    lower = text.strip().lower()
    if lower in SIMPLE_TYPES:
        return lower
    if decimal := _DECIMAL.fullmatch(lower):
        return _canonical_decimal(int(decimal[1]), int(decimal[2]))
    if fixed := _FIXED.fullmatch(lower):
        return f"fixed[{int(fixed[1])}]"
    if lower.startswith(("geometry", "geography")):
        return str(parse_geospatial(text))
    raise InvalidRequest(f"Cannot parse type string to primitive: {text[:100]}")


def parse_geospatial(text: str) -> GeospatialType:
    """Parse any spelling of a geometry or geography type: quoted or not, in any case.

    Raises:
        InvalidRequest: a coordinate reference system that cannot be written back unquoted, an
            unknown edge algorithm, or no geospatial type at all.
    """
    match = _GEOSPATIAL.fullmatch(text.strip())
    if not match:
        raise InvalidRequest(f"Cannot parse type string to primitive: {text[:100]}")
    name, parameters = match[1].lower(), (match[2] or "").strip()
    if name == "geometry":
        return GeospatialType(name, _crs(_unquoted(parameters)))
    crs, comma, algorithm = _split_geography(parameters)
    algorithm = _unquoted(algorithm).lower()
    if comma and algorithm not in EDGE_ALGORITHMS:
        raise InvalidRequest(
            f"`{algorithm[:100]}` is not an edge algorithm of geography; "
            f"use one of {', '.join(EDGE_ALGORITHMS)}"
        )
    return GeospatialType(name, _crs(_unquoted(crs)), algorithm or EDGE_ALGORITHMS[0])


def type_name(canonical: str) -> str:
    """The type without its parameters: `decimal(9, 2)` is `decimal`."""
    return re.split(r"[\[(]", canonical, maxsplit=1)[0]


def is_geospatial(canonical: str) -> bool:
    return type_name(canonical) in {"geometry", "geography"}


def minimum_format_version(canonical: str) -> int:
    return 3 if type_name(canonical) in _NEEDS_V3 else 1


def _canonical_decimal(precision: int, scale: int) -> str:
    if not 1 <= precision <= DECIMAL_PRECISION_MAX or scale > precision:
        raise InvalidRequest(
            f"decimal({precision}, {scale}) needs a precision between 1 and "
            f"{DECIMAL_PRECISION_MAX} and a scale no larger than that"
        )
    return f"decimal({precision}, {scale})"


def _split_geography(parameters: str) -> tuple[str, str, str]:
    # A comma inside quotes belongs to the reference system, where it is then refused.
    quote = parameters[:1]
    if quote in {"'", '"'} and (end := parameters.find(quote, 1)) > 0:
        rest = parameters[end + 1 :].strip()
        return parameters[: end + 1], rest[:1], rest[1:].strip()
    return parameters.partition(",")


def _unquoted(text: str) -> str:
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] in {"'", '"'} and stripped[-1] == stripped[0]:
        return stripped[1:-1].strip()
    return stripped


def _crs(text: str) -> str:
    if not text or text.lower() in _DEFAULT_CRS_SPELLINGS:
        return DEFAULT_CRS
    # These cannot be written back: the specification's form has no quotes and no escapes.
    if any(character in "(),'\"" or not character.isprintable() for character in text):
        raise InvalidRequest(
            f"the coordinate reference system `{text[:100]!s}` must not contain parentheses, "
            "commas, quotes or control characters; write `authority:code` or `projjson:<property>`"
        )
    if len(text) > CRS_CHARACTERS_MAX:
        raise InvalidRequest(
            f"the coordinate reference system is {len(text)} characters long; "
            f"at most {CRS_CHARACTERS_MAX} are allowed"
        )
    return text
