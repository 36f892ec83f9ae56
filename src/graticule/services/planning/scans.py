"""Scan plans: which files of a snapshot, or of a range of them, a query has to read.

A window in the filter goes to the snapshot's index; the rest of the filter to column bounds and
partition values.  A file that may match is never left out, and the residual is always the filter.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine

from graticule.db import jobs as jobs_db
from graticule.db.engine import read, transact
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import InvalidRequest, NoSuchFile, PlanFailed, UnreadableFile
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.job import Job, JobState
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.iceberg.expressions import AlwaysTrue, Expression
from graticule.planning import pruning
from graticule.planning.columns import columns_of, ids_of, specs_of
from graticule.planning.files import DataFileEntry
from graticule.planning.positions import Positions
from graticule.planning.scan_tasks import ScanTasks
from graticule.planning.snapshot_ranges import appends_between
from graticule.planning.windows import names_any, window_of
from graticule.services.catalog import index_orders
from graticule.services.catalog.index_orders import order_for_plan
from graticule.services.catalog.tables import Tables
from graticule.services.catalog.wanted_indexes import Table, WantedIndex
from graticule.services.planning.indexing import Indexing, SnapshotFiles
from graticule.spatial.box_columns import FILE_BOX_COLUMNS

Json = dict[str, Any]

TASKS_PER_ANSWER_MAX: Final = 5_000
"""More files go into further plan tasks: an answer of 5,000 has some 1.5 MB."""
PARTS_PER_ANSWER_MAX: Final = 200
"""Plan tasks that one answer names, to be fetched side by side; the last may name more."""
ENTRIES_AT_ONCE: Final = 500
"""Taken from the index together, which is cheaper by far than one by one."""
HEAVY_MANIFESTS_MIN: Final = 64
"""From so many manifests on that nobody has read yet, who can wait is told to: some seconds."""
UNCLAIMED_S_MAX: Final = 10.0
"""After this long without a worker the index is built by whoever asks for the plan."""
_WAITER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a client asks to be planned.  No snapshot means the current one.

    With `after_snapshot_id`, only what was appended after it, up to the snapshot.
    """

    snapshot_id: int | None = None
    after_snapshot_id: int | None = None
    filter: Expression = field(default_factory=AlwaysTrue)
    case_sensitive: bool = True
    use_snapshot_schema: bool = False
    stats_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The files of the snapshot from position `first` to before `last`.

    Not places among those that a window leaves: which these are may be known better by the next
    index of the same snapshot.
    """

    first: int = 0
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks as JSON, and in which parts to go on."""

    table_id: str
    snapshot_id: int | None
    tasks: Sequence[Json] = ()
    delete_files: Sequence[Json] = ()
    rest: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """What a plan waits for: the index that a job builds.  `waiter` is the plan's own name."""

    job_id: str
    waiter: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """A plan that waits."""

    table_id: str
    snapshot_id: int
    wait: Wait


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A plan that waited until its client wanted it no more."""

    table_id: str


class Scans:
    def __init__(
        self, engine: Engine, tables: Tables, indexing: Indexing, *, now_ms: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._tables = tables
        self._indexing = indexing
        self._now_ms = now_ms

    def begin(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: PlanRequest,
        *,
        can_wait: bool = False,
    ) -> Plan | Submitted:
        """Plan a scan; if the index takes long to build, and the client can wait, only order it.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot.
            PlanFailed: files that the snapshot consists of are gone or damaged.
        """
        table = Table(catalog, *self._tables.open(principal, catalog, identifier))
        snapshot = _snapshot(table.document, request.snapshot_id)
        with _failing():
            if snapshot is not None and can_wait and request.after_snapshot_id is None:
                wanted = _wanted(table, snapshot, request)
                wait = self._order(principal, wanted) if self._is_heavy(wanted) else None
                if wait is not None:
                    return Submitted(table.record.id, wanted.key.snapshot_id, wait)
            return self._plan(table, snapshot, request, Part())

    def go_on(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: PlanRequest,
        part: Part,
    ) -> Plan:
        """One part of a plan.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot, or has no more.
            PlanFailed: files that the snapshot consists of are gone or damaged.
        """
        table = Table(catalog, *self._tables.open(principal, catalog, identifier))
        with _failing():
            return self._plan(table, _snapshot(table.document, request.snapshot_id), request, part)

    def result(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: PlanRequest,
        wait: Wait | None,
    ) -> Plan | Submitted | Cancelled:
        """What has become of a plan.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: the snapshot is not there any more.
            PlanFailed: the index could not be built, or files of the snapshot are gone.
        """
        table = Table(catalog, *self._tables.open(principal, catalog, identifier))
        snapshot = _snapshot(table.document, request.snapshot_id)
        with _failing():
            if wait is not None and snapshot is not None:
                job = self._job(principal, wait.job_id)
                if job is not None and not index_orders.is_waiting(job, wait.waiter):
                    return Cancelled(table.record.id)
                if not self._indexing.is_at_hand(_wanted(table, snapshot, request)):
                    if job is not None and self._is_under_way(job):
                        return Submitted(table.record.id, int(snapshot["snapshot-id"]), wait)
                    if job is not None and job.state is JobState.FAILED:
                        raise PlanFailed(job.error or "the index could not be built")
            return self._plan(table, snapshot, request, Part())

    def cancel(self, principal: Principal, wait: Wait) -> None:
        """A plan waits no more.  Its index is built on only if somebody else waits for it."""
        transact(
            self._engine,
            index_orders.leave,
            principal.organisation_id,
            wait.job_id,
            wait.waiter,
            now_ms=self._now_ms(),
        )

    def _is_heavy(self, wanted: WantedIndex) -> bool:
        if not wanted.is_kept or wanted.table.catalog.integration.read_only:
            return False  # a job could keep the index for nobody
        if self._indexing.is_at_hand(wanted):
            return False
        return self._indexing.manifests_to_read(wanted) >= HEAVY_MANIFESTS_MIN

    def _order(self, principal: Principal, wanted: WantedIndex) -> Wait | None:
        waiter = secrets.token_hex(_WAITER_BYTES)

        def order(conn: Connection) -> Job | None:
            now_ms = self._now_ms()
            return order_for_plan(conn, principal, wanted, waiter=waiter, now_ms=now_ms)

        job = transact(self._engine, order)
        return None if job is None else Wait(job.id, waiter)

    def _job(self, principal: Principal, job_id: str) -> Job | None:
        with read(self._engine) as conn:
            return jobs_db.find(conn, principal.organisation_id, job_id)

    def _is_under_way(self, job: Job) -> bool:
        if job.state is JobState.RUNNING:
            return True
        waited_ms = self._now_ms() - job.created_at_ms
        return job.state is JobState.QUEUED and waited_ms < UNCLAIMED_S_MAX * 1000

    def _plan(self, table: Table, snapshot: Json | None, request: PlanRequest, part: Part) -> Plan:
        document = table.document
        if snapshot is None:
            return Plan(table.record.id, None)
        schema = _schema(document, snapshot, request)
        files = self._files(table, snapshot, request, schema)
        if files is None:
            return Plan(table.record.id, int(snapshot["snapshot-id"]))
        columns, specs = columns_of(schema), specs_of(document)
        bound = pruning.bind(request.filter, columns, specs, case_sensitive=request.case_sensitive)
        stats = ids_of(schema, request.stats_fields, case_sensitive=request.case_sensitive)
        found = ScanTasks(document, specs, files.deletes, request.filter, stats)
        needs_metrics = bool(stats) or not bound.is_trivial
        candidates = _between(_candidates(files, request), part)
        done = 0
        for entry in _entries(files, candidates, with_metrics=needs_metrics):
            if len(found.tasks) == TASKS_PER_ANSWER_MAX:
                break
            done += 1
            if bound.is_trivial or bound.may_match(entry):
                found.add(entry)
        rest = _parts(candidates[done:].tolist(), part.last or len(files.index))
        snapshot_id = int(snapshot["snapshot-id"])
        return Plan(table.record.id, snapshot_id, found.tasks, found.delete_files, rest)

    def _files(
        self, table: Table, snapshot: Json, request: PlanRequest, schema: Json
    ) -> SnapshotFiles | None:
        if request.after_snapshot_id is None:
            return self._indexing.files_of(_wanted(table, snapshot, request))
        end_id = int(snapshot["snapshot-id"])
        appends = appends_between(table.document, request.after_snapshot_id, end_id)
        return self._indexing.files_added(table, appends, schema=schema) if appends else None


@contextmanager
def _failing() -> Iterator[None]:
    """What is wrong with the snapshot's own files is told as such: the table is there."""
    try:
        yield
    except (NoSuchFile, UnreadableFile) as error:
        raise PlanFailed(error.message) from error


def _entries(
    files: SnapshotFiles, positions: Positions, *, with_metrics: bool
) -> Iterator[DataFileEntry]:
    for start in range(0, len(positions), ENTRIES_AT_ONCE):
        some = positions[start : start + ENTRIES_AT_ONCE]
        yield from files.index.entries(some, with_metrics=with_metrics)


def _between(positions: Positions, part: Part) -> Positions:
    first = int(np.searchsorted(positions, part.first))
    last = None if part.last is None else int(np.searchsorted(positions, part.last))
    return positions[first:last]


def _parts(positions: Sequence[int], last: int) -> tuple[Part, ...]:
    """Parts that each fit into an answer, but for the last one if there would be too many."""
    firsts = positions[::TASKS_PER_ANSWER_MAX][:PARTS_PER_ANSWER_MAX]
    return tuple(Part(first, end) for first, end in pairwise([*firsts, last]))


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


def _snapshot(document: Json, snapshot_id: int | None) -> Json | None:
    if snapshot_id is None:
        return metadata.current_snapshot(document)
    snapshot = metadata.snapshot_by_id(document, snapshot_id)
    if snapshot is None:
        raise InvalidRequest(f"the table has no snapshot {snapshot_id}")
    return snapshot


def _schema(document: Json, snapshot: Json, request: PlanRequest) -> Json:
    if request.use_snapshot_schema:
        return metadata.schema_of(document, snapshot)
    return metadata.current_schema(document)


def _wanted(table: Table, snapshot: Json, request: PlanRequest) -> WantedIndex:
    own = metadata.schema_of(table.document, snapshot) if request.use_snapshot_schema else None
    return WantedIndex.of(table, snapshot, schema=own)
