"""From Iceberg tables that lie in the bucket to proposals to register them.  Pure.

Nothing of such a table is made anew: its current metadata file is what is registered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graticule.discovery.existing_tables import ExistingTable
from graticule.discovery.grouping import Skipped
from graticule.discovery.names import TableName
from graticule.discovery.path_grammar import parse_path
from graticule.discovery.proposal import Confidence, ExistingProposal
from graticule.domain.errors import InvalidLocation, InvalidRequest
from graticule.domain.location import Location
from graticule.iceberg import metadata

Json = dict[str, Any]

_EMPTY: Final = {"total-records": "0", "total-data-files": "0", "total-files-size": "0"}
"""The summary of a table without a snapshot."""

_BROKEN: Final = "is an Iceberg table that cannot be registered"


@dataclass(frozen=True, slots=True)
class ExistingInspection:
    """What the current metadata file of a table says."""

    metadata_location: str
    fields: tuple[Mapping[str, Any], ...]
    partitioned_by: tuple[Mapping[str, str], ...]
    rows: int | None
    file_count: int | None
    size_bytes: int | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExistingDraft:
    """A proposal before it has a name."""

    table: ExistingTable
    inspection: ExistingInspection

    @property
    def root(self) -> str:
        return self.table.root

    @property
    def metadata_key(self) -> str:
        return self.inspection.metadata_location.split("/", 3)[3]

    def named(self, name: TableName, *, is_taken: bool = False) -> ExistingProposal:
        """With `is_taken`, something else in the catalog has the name that its folder gives."""
        found = self.inspection
        reasons = found.reasons
        if is_taken:
            reasons += ("the catalog has a table or view of that name already: it got a mark",)
        return ExistingProposal(
            name=name.name,
            namespace=name.namespace,
            root=self.table.root,
            metadata_location=found.metadata_location,
            fields=found.fields,
            partitioned_by=found.partitioned_by,
            rows=found.rows,
            file_count=found.file_count,
            size_bytes=found.size_bytes,
            reasons=reasons,
            confidence=Confidence.MEDIUM if is_taken else Confidence.HIGH,
        )


def inspect_existing(table: ExistingTable, at: Location, data: bytes) -> ExistingInspection:
    """What the metadata file at this place says of the table.

    Raises:
        InvalidRequest: the file is no table metadata, or describes a table that lies elsewhere.
    """
    document = metadata.decode(data)
    metadata.check_document(document)
    described = metadata.location(document)
    try:
        place = Location.parse(described)
        lies_here = (place.bucket, place.key_prefix) == (at.bucket, table.root)
    except InvalidLocation:
        lies_here = False
    if not lies_here:
        raise InvalidRequest(
            f"its metadata say that it lies at `{described}`: it is a copy, or was moved"
        )
    reasons = [f"an Iceberg table, by its metadata file `{at.name}`"]
    older = len(table.metadata_keys) - 1
    if older:
        reasons.append(f"the newest of {older + 1} metadata files")
    snapshot = metadata.current_snapshot(document)
    summary: Mapping[str, Any] = _EMPTY
    if snapshot is None:
        reasons.append("it has no snapshot and no rows")
    else:
        summary = snapshot.get("summary") or {}
    return ExistingInspection(
        metadata_location=at.uri,
        fields=tuple(metadata.current_schema(document)["fields"]),
        partitioned_by=tuple(
            {"name": field["name"], "type": field["transform"]}
            for field in metadata.default_partition_spec(document)["fields"]
        ),
        rows=_count(summary.get("total-records")),
        file_count=_count(summary.get("total-data-files")),
        size_bytes=_count(summary.get("total-files-size")),
        reasons=tuple(reasons),
    )


def _count(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() else None


def existing_drafts(
    tables: Sequence[ExistingTable], inspections: Mapping[str, ExistingInspection | str]
) -> tuple[list[ExistingDraft], list[Skipped]]:
    """Those that can be registered, and why the others cannot."""
    drafts, broken = [], []
    for table in tables:
        found = inspections.get(table.root, "its metadata was not read")
        if isinstance(found, str):
            broken.append(Skipped(table.root or "/", f"{_BROKEN}: {found}"))
        else:
            drafts.append(ExistingDraft(table, found))
    return drafts, broken


def words_of(root: str, base: str, root_name: str) -> tuple[str, ...]:
    """The folders that name what lies at a root."""
    return parse_path(root, base=base).words or (root_name,)
