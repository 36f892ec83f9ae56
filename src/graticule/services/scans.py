"""Scan plans: which files of a snapshot a query has to read.

A window in the filter goes to the snapshot's index; the rest of the filter to column bounds and
partition values.  A file that may match is never left out, and the residual is always the filter.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import InvalidRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.iceberg import expressions, metadata
from graticule.iceberg.expressions import AlwaysTrue, Expression
from graticule.planning import pruning
from graticule.planning.delete_files import deletes_of
from graticule.planning.files import DataFileEntry
from graticule.planning.index import Positions
from graticule.planning.partition_fields import PartitionField, result_type
from graticule.planning.tasks import content_file, file_scan_task
from graticule.planning.windows import names_any, window_of
from graticule.services.indexing import Indexing, SnapshotFiles, Table
from graticule.services.tables import Tables
from graticule.spatial.box_columns import FILE_BOX_COLUMNS

Json = dict[str, Any]

TASKS_PER_ANSWER_MAX: Final = 5_000
"""More files go into further plan tasks: an answer of 5,000 has some 1.5 MB."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a client asks to be planned.  No snapshot means the current one."""

    snapshot_id: int | None = None
    filter: Expression = field(default_factory=AlwaysTrue)
    case_sensitive: bool = True
    use_snapshot_schema: bool = False
    stats_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks as JSON.  `next_first` is where the next part begins, None at the end."""

    snapshot_id: int | None
    tasks: Sequence[Json]
    delete_files: Sequence[Json]
    next_first: int | None
    files_total: int


class Scans:
    def __init__(self, tables: Tables, indexing: Indexing) -> None:
        self._tables = tables
        self._indexing = indexing

    def plan(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: PlanRequest,
        *,
        first: int = 0,
    ) -> Plan:
        """Plan a scan, from the `first` file that may match on.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot.
        """
        record, document = self._tables.open(principal, catalog, identifier)
        snapshot = _snapshot(document, request.snapshot_id)
        if snapshot is None:
            return Plan(None, (), (), None, 0)
        schema = _schema(document, snapshot, use_snapshot_schema=request.use_snapshot_schema)
        files = self._indexing.files_of(Table(catalog, record, document), snapshot, schema=schema)
        columns = _columns(schema)
        specs = _specs(document)
        bound = pruning.bind(request.filter, columns, specs, case_sensitive=request.case_sensitive)
        stats = frozenset(columns[n].field_id for n in request.stats_fields if n in columns)
        writer = _TaskWriter(files, document, specs, request.filter, stats)
        needs_metrics = bool(stats) or not bound.is_trivial
        next_first = None
        for position in _candidates(files, request)[first:]:
            if len(writer.tasks) == TASKS_PER_ANSWER_MAX:
                next_first = first
                break
            first += 1
            entry = files.index.entry(int(position), with_metrics=needs_metrics)
            if bound.is_trivial or bound.may_match(entry):
                writer.add(entry)
        return Plan(
            files.snapshot_id, writer.tasks, writer.delete_files, next_first, len(files.index)
        )


def _candidates(files: SnapshotFiles, request: PlanRequest) -> Positions:
    """The files that the window in the filter leaves."""
    windows = window_of(
        request.filter,
        files.place.columns,
        geometry=files.place.geometry,
        case_sensitive=request.case_sensitive,
    )
    literal = names_any(request.filter, FILE_BOX_COLUMNS, case_sensitive=request.case_sensitive)
    return files.index.select(windows, with_crossing=literal)


class _TaskWriter:
    """Collects tasks, with the delete files that apply to them."""

    def __init__(
        self,
        files: SnapshotFiles,
        document: Json,
        specs: Mapping[int, Sequence[PartitionField]],
        residual: Expression,
        stats: frozenset[int],
    ) -> None:
        self.tasks: list[Json] = []
        self.delete_files: list[Json] = []
        self._files = files
        self._stats = stats
        self._residual = expressions.to_json(expressions.weakened(residual))
        types = _all_types(document)
        self._partition_types = {
            spec_id: [result_type(f.transform, types.get(f.source_id, "string")) for f in fields]
            for spec_id, fields in specs.items()
        }
        self._places: dict[int, int] = {}

    def add(self, entry: DataFileEntry) -> None:
        references = []
        for position in deletes_of(entry, self._files.deletes):
            if position not in self._places:
                delete = self._files.deletes[position]
                self._places[position] = len(self.delete_files)
                self.delete_files.append(
                    content_file(delete, partition_types=self._partition_types[delete.spec_id])
                )
            references.append(self._places[position])
        self.tasks.append(
            file_scan_task(
                entry,
                self._residual,
                partition_types=self._partition_types[entry.spec_id],
                stats_fields=self._stats,
                delete_file_references=references,
            )
        )


def _snapshot(document: Json, snapshot_id: int | None) -> Json | None:
    if snapshot_id is None:
        return metadata.current_snapshot(document)
    snapshot = metadata.snapshot_by_id(document, snapshot_id)
    if snapshot is None:
        raise InvalidRequest(f"the table has no snapshot {snapshot_id}")
    return snapshot


def _schema(document: Json, snapshot: Json, *, use_snapshot_schema: bool) -> Json:
    schema_id = snapshot.get("schema-id")
    if use_snapshot_schema and isinstance(schema_id, int):
        schema = metadata.schema_by_id(document, schema_id)
        if schema is not None:
            return schema
    return metadata.current_schema(document)


def _columns(schema: Json) -> dict[str, pruning.Column]:
    return {
        name: pruning.Column(int(f["id"]), f["type"])
        for name, f in _fields(schema.get("fields"), "")
    }


def _all_types(document: Json) -> dict[int, str]:
    """Types of all columns there ever were: a spec may name one that is gone."""
    return {
        int(f["id"]): f["type"]
        for schema in metadata.schemas(document)
        for _, f in _fields(schema.get("fields"), "")
    }


def _fields(fields: Any, prefix: str) -> Iterator[tuple[str, Json]]:
    """Primitive fields outside of lists and maps, by full name."""
    for item in fields or []:
        name, kind = f"{prefix}{item['name']}", item.get("type")
        if isinstance(kind, str):
            yield name, item
        elif isinstance(kind, dict) and kind.get("type") == "struct":
            yield from _fields(kind.get("fields"), f"{name}.")


def _specs(document: Json) -> dict[int, list[PartitionField]]:
    return {
        int(spec["spec-id"]): [
            PartitionField(int(f["source-id"]), f["transform"]) for f in spec.get("fields") or []
        ]
        for spec in metadata.partition_specs(document)
    }
