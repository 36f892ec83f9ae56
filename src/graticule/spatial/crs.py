"""Which coordinate reference system a column declares.  Names only: nothing is transformed here.

The one question asked is whether a longitude/latitude window may be compared with the coordinates
as they are.  Axis order never matters: WKB is x (easting, longitude) first, whatever EPSG says.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_LONLAT: Final = frozenset({"OGC:CRS84", "OGC:CRS84H", "EPSG:4326", "EPSG:4979"})
"""WGS 84 only: another datum may be metres away, and pruning must be certain."""

_DEFAULT_NAMES: Final = frozenset({"OGC:CRS84", "EPSG:4326"})
_AUTHORITY_CODE: Final = re.compile(r"([A-Za-z][\w-]*):(?:[\w.]*:)?([\w.]+)")
_URN: Final = re.compile(r"urn:ogc:def:crs:([\w-]+):[\w.]*:([\w.]+)", re.IGNORECASE)
_URL: Final = re.compile(r"https?://www\.opengis\.net/def/crs/([\w-]+)/[\w.]+/([\w.]+)")
_SRID: Final = re.compile(r"srid:(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Crs:
    """A reference system by its `AUTHORITY:code`; without an identifier it is unknown."""

    identifier: str | None

    @property
    def is_known(self) -> bool:
        return self.identifier is not None

    @property
    def is_lonlat(self) -> bool:
        return self.identifier in _LONLAT

    @property
    def is_default(self) -> bool:
        """True when an Iceberg type may leave the reference system out."""
        return self.identifier in _DEFAULT_NAMES

    def __str__(self) -> str:
        return self.identifier or "unknown"


CRS84: Final = Crs("OGC:CRS84")
UNKNOWN_CRS: Final = Crs(None)


def parse_name(text: str) -> Crs:
    """`EPSG:3857`, an OGC URN or URL, or `srid:4326`; anything else is unknown."""
    text = text.strip()
    if srid := _SRID.fullmatch(text):
        return Crs(f"EPSG:{int(srid[1])}") if int(srid[1]) else UNKNOWN_CRS
    for pattern in (_URN, _URL, _AUTHORITY_CODE):
        if match := pattern.fullmatch(text):
            return Crs(f"{match[1].upper()}:{match[2].upper()}")
    return UNKNOWN_CRS


def parse_projjson(document: object) -> Crs:
    """The identifier that a PROJJSON document gives itself; without one it is unknown.

    A bound CRS or one with an epoch names its source, which is good enough to compare boxes.
    """
    if not isinstance(document, Mapping):
        return UNKNOWN_CRS
    identifier = document.get("id")
    if isinstance(identifier, Mapping):
        authority, code = identifier.get("authority"), identifier.get("code")
        if isinstance(authority, str) and isinstance(code, str | int):
            return parse_name(f"{authority}:{code}")
    return UNKNOWN_CRS


def of_geoparquet(column: Mapping[str, Any]) -> Crs:
    """The `crs` of a GeoParquet column: absent means CRS84, null means unknown."""
    if "crs" not in column:
        return CRS84
    crs = column["crs"]
    return parse_name(crs) if isinstance(crs, str) else parse_projjson(crs)


def of_parquet(crs: str | None, key_values: Mapping[str, str] | None = None) -> Crs:
    """The `crs` of a Parquet GEOMETRY or GEOGRAPHY type: empty means CRS84.

    `projjson:<key>` points at another entry of the file's key-value metadata.
    """
    text = (crs or "").strip()
    if not text:
        return CRS84
    if text.lower().startswith("projjson:"):
        text = (key_values or {}).get(text.partition(":")[2].strip(), "")
    if text.startswith("{"):
        try:
            return parse_projjson(json.loads(text))
        except ValueError:
            return UNKNOWN_CRS
    return parse_name(text)


def agreed(*declared: Crs) -> Crs:
    """The one system that all declarations mean; unknown if they differ or one is unknown."""
    if not declared:
        return UNKNOWN_CRS
    first = declared[0]
    if all(crs == first or (crs.is_lonlat and first.is_lonlat) for crs in declared[1:]):
        return first
    return UNKNOWN_CRS
