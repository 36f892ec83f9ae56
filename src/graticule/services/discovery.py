"""Discovery: look through a folder of the bucket, propose tables, register them in place.

A scan changes nothing but its own row.  Registration refers to files where they lie, and goes
through the same commit as an engine's write does.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import scans as scans_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.discovery.proposal import Proposal
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    InvalidLocation,
    InvalidRequest,
    NoSuchScan,
    WrongState,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.scan import Scan, ScanState
from graticule.domain.tenancy import Principal
from graticule.services import audit_trail
from graticule.services.bucket_survey import Survey, look, survey_report
from graticule.services.credentials import Credentials
from graticule.services.namespaces import Namespaces, Page, page
from graticule.services.registration import Registration
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]
log = structlog.get_logger(__name__)

SCANS_AT_ONCE: Final = 2
SURVEYS_KEPT_MAX: Final = 4
"""What recent scans found stays in memory for the registration that usually follows."""
BEAT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of one proposal; `error` says why it is not a table."""

    proposal: str
    identifier: TableIdentifier
    files: int
    rows: int
    error: str | None = None


class Discovery:
    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        namespaces: Namespaces,
        registration: Registration,
        workers: InspectionWorkers,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._namespaces = namespaces
        self._registration = registration
        self._workers = workers
        self._now_ms = now_ms
        self._pool = ThreadPoolExecutor(SCANS_AT_ONCE, thread_name_prefix="scan")
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._surveys: OrderedDict[str, Survey] = OrderedDict()

    def close(self) -> None:
        """Stop running scans; their rows say that they were interrupted."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(
        self, principal: Principal, catalog: OpenCatalog, *, prefix: str | None = None
    ) -> Scan:
        """Begin to look through `prefix`, or all of the integration.  Returns at once.

        Raises:
            InvalidLocation: the prefix lies outside of the integration.
            WrongState: another scan of this catalog is running.
        """
        require(principal, Action.SCAN_CATALOG)
        root = catalog.integration.location
        location = Location.parse(prefix) if prefix else root
        if not location.is_within(root):
            raise InvalidLocation(
                f"`{prefix}` is not below `{root.prefix}`, "
                f"the storage of catalog `{catalog.catalog.name}`"
            )
        now_ms = self._now_ms()
        scan = Scan(
            id=str(uuid7()),
            catalog_id=catalog.catalog.id,
            prefix=location.prefix,
            state=ScanState.RUNNING,
            progress={},
            report=None,
            requested_by=principal.name,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        with write(self._engine) as conn:
            scans_db.create(conn, scan)
            self._tell(conn, principal, EventType.SCAN_STARTED, scan)
        self._pool.submit(self._run, scan, catalog, location)
        return scan

    def get(self, principal: Principal, catalog: OpenCatalog, scan_id: str) -> Scan:
        """A scan with its report, once it has one.

        Raises:
            NoSuchScan: this catalog has none of that id.
        """
        require(principal, Action.SCAN_CATALOG)
        with read(self._engine) as conn:
            scan = scans_db.load(conn, catalog.catalog.id, scan_id)
        if scan is None:
            raise NoSuchScan(f"catalog `{catalog.catalog.name}` has no scan `{scan_id}`")
        return scan

    def list_scans(
        self, principal: Principal, catalog: OpenCatalog, *, after: str | None, limit: int
    ) -> Page:
        """Scans of a catalog, newest first."""
        require(principal, Action.SCAN_CATALOG)
        with read(self._engine) as conn:
            found = scans_db.page(conn, catalog.catalog.id, after=after, limit=limit + 1)
        return page(found, limit, key=lambda scan: scan.id)

    def register(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        scan_id: str,
        *,
        namespace: Namespace,
        names: Sequence[str] | None,
    ) -> Sequence[Registered]:
        """Make tables of proposals, all of them or those named, each in a commit of its own.

        What is registered already is left alone.  One that cannot be registered does not keep the
        others from it.

        Raises:
            NoSuchScan: this catalog has none of that id.
            WrongState: it has no proposals, since it still runs or failed.
            InvalidRequest: a name that the scan did not propose.
            ReadOnlyStorage: the metadata files of the tables could not be written.
        """
        scan = self.get(principal, catalog, scan_id)
        catalog.integration.require_writable()
        if scan.state not in {ScanState.PROPOSED, ScanState.REGISTERED}:
            raise WrongState(f"scan `{scan_id}` is {scan.state} and has no proposals to register")
        require(principal, Action.WRITE_CATALOG)
        survey = self._recall(scan) or look(
            self._credentials.store_for(catalog.integration, in_background=True),
            Location.parse(scan.prefix),
            self._workers,
            excluded=self._catalog_roots(catalog),
        )
        proposals = _chosen(survey, names)
        self._make_namespaces(principal, catalog, namespace)
        outcomes = [
            self._register(principal, catalog, survey, proposal, namespace)
            for proposal in proposals
        ]
        if any(outcome.error is None for outcome in outcomes):
            with write(self._engine) as conn:
                scans_db.move(
                    conn,
                    scan.id,
                    expected=ScanState.PROPOSED,
                    to=ScanState.REGISTERED,
                    now_ms=self._now_ms(),
                )
                tables = [str(done.identifier) for done in outcomes if done.error is None]
                self._tell(conn, principal, EventType.SCAN_REGISTERED, scan, tables=tables)
        return outcomes

    def _tell(
        self,
        conn: Connection,
        principal: Principal,
        type_: EventType,
        scan: Scan,
        **details: Sequence[str],
    ) -> None:
        subject = Subject(SubjectKind.SCAN, scan.id, scan.prefix, scan.catalog_id)
        audit_trail.record(conn, principal, type_, subject, now_ms=self._now_ms(), details=details)

    def _register(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        survey: Survey,
        proposal: Proposal,
        namespace: Namespace,
    ) -> Registered:
        identifier = TableIdentifier(namespace, proposal.name)
        try:
            self._registration.register(principal, catalog, survey, proposal, identifier)
        except CatalogError as error:
            log.warning("proposal not registered", table=str(identifier), reason=error.message)
            return Registered(proposal.name, identifier, 0, 0, error.message)
        return Registered(proposal.name, identifier, len(proposal.files), proposal.rows)

    def _make_namespaces(
        self, principal: Principal, catalog: OpenCatalog, namespace: Namespace
    ) -> None:
        for depth in range(1, len(namespace.levels) + 1):
            level = Namespace(namespace.levels[:depth])
            try:
                self._namespaces.create(principal, catalog, level, {})
            except AlreadyExists:
                continue

    def _run(self, scan: Scan, catalog: OpenCatalog, location: Location) -> None:
        """The scan itself, in a thread of its own; every outcome ends in its row."""
        watch = _Watch(self._engine, scan, self._stopping, self._now_ms)
        try:
            survey = look(
                self._credentials.store_for(catalog.integration, in_background=True),
                location,
                self._workers,
                excluded=self._catalog_roots(catalog),
                progress=watch.report,
            )
            report = survey_report(survey, registered=self._registered(catalog))
            state = ScanState.PROPOSED
            self._keep(scan.id, survey)
        except _Interrupted:
            report, state = {"error": "the scan was interrupted; scan again"}, ScanState.FAILED
        except CatalogError as error:
            report, state = {"error": error.message}, ScanState.FAILED
        except Exception:
            log.exception("scan failed", scan_id=scan.id)
            report = {"error": f"the scan failed; the log has the reason under scan id {scan.id}"}
            state = ScanState.FAILED
        with write(self._engine) as conn:
            scans_db.move(
                conn,
                scan.id,
                expected=ScanState.RUNNING,
                to=state,
                now_ms=self._now_ms(),
                report=report,
                progress=watch.progress,
            )

    def _catalog_roots(self, catalog: OpenCatalog) -> list[Location]:
        """Where catalogs keep their own tables: not data to be discovered."""
        with read(self._engine) as conn:
            return catalogs_db.locations_on(conn, catalog.integration.id)

    def _registered(self, catalog: OpenCatalog) -> dict[str, TableIdentifier]:
        with read(self._engine) as conn:
            return tables_db.tables_by_source(conn, catalog.catalog.id)

    def _keep(self, scan_id: str, survey: Survey) -> None:
        with self._guard:
            self._surveys[scan_id] = survey
            while len(self._surveys) > SURVEYS_KEPT_MAX:
                self._surveys.popitem(last=False)

    def _recall(self, scan: Scan) -> Survey | None:
        with self._guard:
            return self._surveys.get(scan.id)


class _Interrupted(Exception):
    """The process is stopping, or the scan's row was taken away."""


class _Watch:
    """Writes a scan's progress now and then, which also shows that it lives."""

    def __init__(
        self,
        engine: Engine,
        scan: Scan,
        stopping: threading.Event,
        now_ms: Callable[[], int],
    ) -> None:
        self.progress: Json = {}
        self._engine = engine
        self._scan = scan
        self._stopping = stopping
        self._now_ms = now_ms
        self._last_ms = 0

    def report(self, progress: Json) -> None:
        self.progress = progress
        if self._stopping.is_set():
            raise _Interrupted
        now_ms = self._now_ms()
        if now_ms - self._last_ms < BEAT_S * 1000:
            return
        self._last_ms = now_ms
        with write(self._engine) as conn:
            if not scans_db.beat(conn, self._scan.id, progress, now_ms=now_ms):
                raise _Interrupted


def _chosen(survey: Survey, names: Sequence[str] | None) -> Sequence[Proposal]:
    tables = {proposal.name: proposal for proposal in survey.proposals.tables}
    if names is None:
        return list(tables.values())
    unknown = [name for name in names if name not in tables]
    if unknown:
        raise InvalidRequest(
            f"the scan did not propose `{unknown[0]}`; it proposed {', '.join(sorted(tables))}"
        )
    return [tables[name] for name in dict.fromkeys(names)]
