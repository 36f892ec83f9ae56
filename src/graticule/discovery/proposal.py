"""What discovery proposes: tables that could be registered over files where they lie.

Values only, each with its reasons: a person decides, and has to see why.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from graticule.discovery.grouping import Skipped, common_folder
from graticule.discovery.names import TableName
from graticule.spatial.box_columns import BoxColumns

Json = dict[str, Any]


class Confidence(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    """Something was inferred: a promotion, a missing column, a place by column names."""
    LOW = "low"
    """The files of one folder had to be torn apart, or many folders taken for one table."""

    def is_at_least(self, other: "Confidence") -> bool:
        return _RANKS[self] >= _RANKS[other]


_RANKS = {Confidence.LOW: 0, Confidence.MEDIUM: 1, Confidence.HIGH: 2}


@dataclass(frozen=True, slots=True)
class ProposedFile:
    """`hive` has the text of each partition column's value, None for null."""

    key: str
    size_bytes: int
    etag: str
    rows: int
    hive: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class HiveColumn:
    """A partition column.  `in_files` is true if the files hold it as well."""

    name: str
    type: str
    in_files: bool


@dataclass(frozen=True, slots=True)
class ProposedPlace:
    """Where the table's rows lie: by a geometry column, or by two position columns.

    `column` is None for positions.  `box_columns` bound each row in all files; their names may be
    nested.  `crs` is None when it is unknown, or not the same everywhere.
    """

    column: str | None
    encoding: str
    crs: str | None
    edges: str
    types: tuple[str, ...]
    box_columns: BoxColumns | None
    extent: tuple[float, float, float, float] | None
    sources: Mapping[str, int]
    """Number of files by what their box comes from."""
    unknown_files: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """One table.  `root` is a folder with a trailing slash, or the key of the only file.

    `namespace` is a suggestion, made of the folders above; empty at the top of what was scanned.
    `fields` are Iceberg fields as JSON without ids, without Hive columns that no file holds.
    `sources` are what a reader must be allowed to read, relative to the bucket as all keys are.
    `files` are read from what is known of the bucket whenever they are gone through, by key.
    """

    name: str
    namespace: str
    root: str
    sources: tuple[str, ...]
    files: Iterable[ProposedFile] = field(compare=False)
    fields: tuple[Mapping[str, Any], ...]
    hive_columns: tuple[HiveColumn, ...]
    place: ProposedPlace | None
    reasons: tuple[str, ...]
    confidence: Confidence
    geometry_columns: tuple[ProposedPlace, ...] = ()
    file_count: int = 0
    rows: int = 0
    size_bytes: int = 0
    neighbour: str | None = None
    """A file of another table in its sources, where too many would be needed to leave it out."""

    @property
    def qualified_name(self) -> TableName:
        return TableName(self.namespace, self.name)

    def to_json(self) -> Json:
        """For reports: everything but the files, which are counted."""
        return {
            "kind": "files",
            "name": self.name,
            "namespace": self.namespace,
            "root": self.root,
            "metadata-location": None,
            "sources": list(self.sources),
            "file-count": self.file_count,
            "row-count": self.rows,
            "size-bytes": self.size_bytes,
            "fields": [dict(column) for column in self.fields],
            "partitioned-by": [
                {"name": column.name, "type": column.type} for column in self.hive_columns
            ],
            "place": None if self.place is None else _place_json(self.place),
            "geometry-columns": [_place_json(column) for column in self.geometry_columns],
            "reasons": list(self.reasons),
            "confidence": self.confidence.value,
        }


def _place_json(place: ProposedPlace) -> Json:
    return {
        "column": place.column,
        "encoding": place.encoding,
        "crs": place.crs,
        "edges": place.edges,
        "types": list(place.types),
        "box-columns": None if place.box_columns is None else asdict(place.box_columns),
        "extent": None if place.extent is None else list(place.extent),
        "sources": dict(place.sources),
        "unknown-files": place.unknown_files,
    }


@dataclass(frozen=True, slots=True)
class ExistingProposal:
    """An Iceberg table that lies there already, to be registered by its metadata file.

    `metadata_location` is its current file.  What it does not say is None.
    `partitioned_by` are names and transforms.
    """

    name: str
    namespace: str
    root: str
    metadata_location: str
    fields: tuple[Mapping[str, Any], ...]
    partitioned_by: tuple[Mapping[str, str], ...]
    rows: int | None
    file_count: int | None
    size_bytes: int | None
    reasons: tuple[str, ...]
    confidence: Confidence = Confidence.HIGH

    @property
    def qualified_name(self) -> TableName:
        return TableName(self.namespace, self.name)

    @property
    def metadata_key(self) -> str:
        return self.metadata_location.split("/", 3)[3]

    def to_json(self) -> Json:
        return {
            "kind": "iceberg",
            "name": self.name,
            "namespace": self.namespace,
            "root": self.root,
            "metadata-location": self.metadata_location,
            "sources": [self.root],
            "file-count": self.file_count,
            "row-count": self.rows,
            "size-bytes": self.size_bytes,
            "fields": [dict(column) for column in self.fields],
            "partitioned-by": list(self.partitioned_by),
            "place": None,
            "geometry-columns": [],
            "reasons": list(self.reasons),
            "confidence": self.confidence.value,
        }


@dataclass(frozen=True, slots=True)
class ConvertibleProposal:
    """Files that can be no table where they lie, but could be converted to one."""

    name: str
    namespace: str
    format: str
    keys: tuple[str, ...]
    size_bytes: int
    reasons: tuple[str, ...]

    def to_json(self) -> Json:
        return {
            "kind": "convert",
            "name": self.name,
            "namespace": self.namespace,
            "format": self.format,
            "root": self.keys[0] if len(self.keys) == 1 else common_folder(self.keys),
            "file-count": len(self.keys),
            "size-bytes": self.size_bytes,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class Proposals:
    """`tables` are to be made over files where they lie."""

    tables: tuple[Proposal, ...]
    skipped: tuple[Skipped, ...]
    skipped_count: int
    existing: tuple[ExistingProposal, ...] = ()
    convertible: tuple[ConvertibleProposal, ...] = ()

    def to_json(self) -> Json:
        return {
            "tables": [
                *(table.to_json() for table in self.tables),
                *(table.to_json() for table in self.existing),
            ],
            "convertible": [files.to_json() for files in self.convertible],
            "skipped": [{"key": entry.key, "reason": entry.reason} for entry in self.skipped],
            "skipped-count": self.skipped_count,
        }
