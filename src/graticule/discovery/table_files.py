"""Which files belong to a table that is there already, and what each becomes in it.  Pure.

The rules are read from the table as it is now: an engine may have renamed columns, added some, or
made another partition spec the default since the table was registered.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from graticule.discovery.bunches import Span
from graticule.discovery.drift import FORMAT_VERSIONS, FileSchema, file_schema, with_file
from graticule.discovery.grouping import (
    CandidateKey,
    Objects,
    StoredObject,
    common_folder,
    group_listing,
)
from graticule.discovery.hive_types import parse_value
from graticule.discovery.inspection import FileInspection
from graticule.discovery.path_grammar import parse_path
from graticule.discovery.proposal import (
    Confidence,
    HiveColumn,
    Proposal,
    ProposedFile,
    ProposedPlace,
)
from graticule.discovery.registration import (
    NAME_MAPPING_PROPERTY,
    data_files,
    file_box_of,
)
from graticule.domain.errors import WrongState
from graticule.iceberg import metadata
from graticule.planning.files import DataFileEntry
from graticule.planning.table_places import GEO_PROPERTY, POSITIONS_PROPERTY
from graticule.spatial.bounding_box import BoxStatus
from graticule.spatial.box_columns import FILE_BOX_COLUMNS, BoxColumns
from graticule.spatial.crs import parse_name

Json = dict[str, Any]
Found = tuple[StoredObject, FileInspection]

REGISTRATION_SPEC_ID: Final = 0
_INTEGERS: Final = {"int": 2**31, "long": 2**63}


@dataclass(frozen=True, slots=True)
class TableRules:
    """What a file of the table has to be like.  `spec` is the one that it was registered with."""

    schema: FileSchema
    spec: Json
    hive_columns: tuple[HiveColumn, ...]
    place: ProposedPlace | None

    @property
    def name_mapping_property(self) -> Mapping[str, str]:
        """What to set so that readers find every column of every file."""
        text = json.dumps(self.schema.name_mapping, separators=(",", ":"), ensure_ascii=False)
        return {NAME_MAPPING_PROPERTY: text}

    def needs_computing(self, inspection: FileInspection) -> bool:
        """True if only the geometries themselves can tell where the file lies."""
        if self.place is None or self.place.column not in inspection.geometry:
            return False
        return file_box_of(self.place, inspection).status is BoxStatus.UNKNOWN


def rules_of(document: Json) -> TableRules:
    """The rules of a table in its current state.

    Raises:
        WrongState: files cannot be added to it in place any more; the message says why.
    """
    version = metadata.format_version(document)
    if version not in FORMAT_VERSIONS:
        raise WrongState(
            f"the table was upgraded to format version {version}; only tables of versions "
            f"{' and '.join(map(str, FORMAT_VERSIONS))} are kept in step with their files"
        )
    spec = metadata.partition_spec_by_id(document, REGISTRATION_SPEC_ID)
    if spec is None or any(field["transform"] != "identity" for field in spec["fields"]):
        raise WrongState("the partition spec that the table was registered with is gone")
    schema = file_schema(document)
    columns = {field["id"]: field for field in schema.fields}
    sources = [columns.get(field["source-id"]) for field in spec["fields"]]
    lost = [
        field["name"] for field, source in zip(spec["fields"], sources, strict=True) if not source
    ]
    if lost:
        raise WrongState(f"the partition column `{lost[0]}` was dropped from the table")
    hive = tuple(
        HiveColumn(source["name"], source["type"], in_files=False)
        for source in sources
        if source is not None and source["name"] not in FILE_BOX_COLUMNS.names
    )
    return TableRules(schema, spec, hive, _place_of(metadata.properties(document)))


def members(
    objects: Objects, root: str, new: Mapping[str, StoredObject]
) -> tuple[list[StoredObject], list[StoredObject]]:
    """Of what is new below a table's folder: its files, and data that is no table's.

    `objects` is all that lies there, grouped as for a proposal; the table's group is the one with
    most files it knows, which are those that are not new.  What it knows stays one of its own.
    """
    files = group_listing(objects, base=root).files
    familiar: defaultdict[CandidateKey, list[int]] = defaultdict(lambda: [0, 0])
    roots: dict[CandidateKey, Span] = {}
    for file in files:
        counts = familiar[file.candidate]
        counts[0] += file.object.key not in new
        counts[1] += 1
        roots.setdefault(file.candidate, Span(file.path.root, file.path.root)).add(file.path.root)
    around = {key: common_folder([span.first, span.last]) for key, span in roots.items()}
    own = [key for key in around if familiar[key][0] or around[key] == root]
    own.sort(key=lambda key: (around[key], key))
    mine = max(own, key=lambda key: familiar[key], default=None)
    taken: list[StoredObject] = []
    strays: list[StoredObject] = []
    for file in files:
        if file.object.key in new:
            (taken if file.candidate == mine else strays).append(file.object)
    return taken, strays


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The rules once the files are in, the files that are, and why others are not, by key."""

    rules: TableRules
    files: tuple[Found, ...]
    left_out: Mapping[str, str]


def take_in(rules: TableRules, found: Sequence[Found]) -> TakenIn:
    """Fit files into a table one after the other; the schema grows as far as Iceberg lets it."""
    taken: list[Found] = []
    left_out: dict[str, str] = {}
    for stored, inspection in found:
        reason = _reason_against(rules, stored, inspection)
        schema = with_file(rules.schema, inspection) if reason is None else reason
        if isinstance(schema, str):
            left_out[stored.key] = schema
            continue
        rules = replace(rules, schema=schema)
        taken.append((stored, inspection))
    return TakenIn(rules, tuple(taken), left_out)


def entries_of(taken: TakenIn, *, bucket: str) -> list[DataFileEntry]:
    """An entry for every file that was taken in, in the order of a Hilbert curve."""
    rules = taken.rules
    files = tuple(
        ProposedFile(
            key=stored.key,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
            rows=inspection.rows,
            hive=tuple(_hive_text(stored.key, column.name) for column in rules.hive_columns),
        )
        for stored, inspection in taken.files
    )
    proposal = Proposal(
        name="",
        namespace="",
        root="",
        sources=(),
        files=files,
        fields=(),
        hive_columns=rules.hive_columns,
        place=rules.place,
        reasons=(),
        confidence=Confidence.HIGH,
    )
    return data_files(
        proposal,
        {stored.key: inspection for stored, inspection in taken.files},
        schema=rules.schema.document,
        partition_spec=rules.spec,
        bucket=bucket,
    )


def _reason_against(
    rules: TableRules, stored: StoredObject, inspection: FileInspection
) -> str | None:
    for column in rules.hive_columns:
        text = _hive_text(stored.key, column.name)
        try:
            value = parse_value(column.type, text)
        except Exception:  # noqa: BLE001 - any failure means the same: it does not read
            value = None if text is None else ...
        limit = _INTEGERS.get(column.type)
        is_too_large = limit is not None and isinstance(value, int) and not -limit <= value < limit
        if value is ... or is_too_large:
            return f"`{text}` in its folder's name is no {column.type} for column `{column.name}`"
    place = rules.place
    geometry = None if place is None else inspection.geometry.get(place.column or "")
    if place is None or geometry is None or place.crs is None:
        return None
    if geometry.crs != parse_name(place.crs):
        return f"its `{place.column}` is in {geometry.crs}, the table's in {place.crs}"
    return None


def _hive_text(key: str, column: str) -> str | None:
    return next((value.value for value in parse_path(key).hive if value.key == column), None)


def _place_of(properties: Mapping[str, str]) -> ProposedPlace | None:
    column, described = _declared(properties.get(GEO_PROPERTY, ""))
    x, comma, y = properties.get(POSITIONS_PROPERTY, "").partition(",")
    if column is None and not comma:
        return None
    crs = described.get("crs")
    return ProposedPlace(
        column=column,
        encoding=str(described.get("encoding", "lonlat")),
        crs=crs if isinstance(crs, str) else None,
        edges=str(described.get("edges", "unknown")),
        types=(),
        box_columns=None if column is not None else BoxColumns.of_position(x, y),
        extent=None,
        sources=Counter(),
        unknown_files=0,
    )


def _declared(text: str) -> tuple[str | None, Mapping[str, Any]]:
    """The geometry column of a table, and what is said of it; neither if that cannot be read."""
    try:
        geo = json.loads(text)
        column = geo["primary_column"]
        described = geo["columns"][column]
    except (ValueError, TypeError, KeyError):
        return None, {}
    is_one = isinstance(column, str) and isinstance(described, dict)
    return (column, described) if is_one else (None, {})
