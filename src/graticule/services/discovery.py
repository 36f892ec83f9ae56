"""Discovery: look through a folder of the bucket, propose tables, register them in place.

A scan changes nothing but its own row.  Registration refers to files where they lie, and goes
through the same commit as an engine's write does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import integrations as integrations_db
from graticule.db import jobs as jobs_db
from graticule.db import scans as scans_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, retry_serialisation, write
from graticule.discovery.proposal import Proposal
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    InvalidLocation,
    InvalidRequest,
    NoSuchCatalog,
    NoSuchScan,
    WrongState,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.job import Job, JobKind
from graticule.domain.location import Location
from graticule.domain.scan import Scan, ScanState
from graticule.domain.tenancy import Principal
from graticule.services import audit_trail
from graticule.services.bucket_listing import Place
from graticule.services.bucket_survey import (
    BucketSurveys,
    Survey,
    digest_of,
    marked,
    survey_report,
)
from graticule.services.credentials import Credentials
from graticule.services.job_run import JobRun
from graticule.services.namespaces import Namespaces, Page, page
from graticule.services.registration import Registration

Json = dict[str, Any]
log = structlog.get_logger(__name__)


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
        keyring: Keyring,
        credentials: Credentials,
        namespaces: Namespaces,
        *,
        registration: Registration,
        surveys: BucketSurveys,
        now_ms: Callable[[], int],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake` is called when there is a scan to carry out; some process may be waiting."""
        self._engine = engine
        self._keyring = keyring
        self._credentials = credentials
        self._namespaces = namespaces
        self._registration = registration
        self._surveys = surveys
        self._now_ms = now_ms
        self._wake = wake

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
            progress={"phase": "waiting"},
            report=None,
            requested_by=principal.name,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        job = Job(
            id=scan.id,
            organisation_id=catalog.catalog.organisation_id,
            kind=JobKind.SCAN,
            subject_id=scan.catalog_id,
            key=f"scan of catalog {scan.catalog_id}",
            parameters={"prefix": scan.prefix},
            requested_by=principal.name,
            created_at_ms=now_ms,
            run_after_ms=now_ms,
        )
        with write(self._engine) as conn:
            ordered = jobs_db.enqueue(conn, job)
            if ordered.id != job.id:
                raise WrongState(
                    f"scan `{ordered.id}` of this catalog is still running; wait for it to end, "
                    "or cancel it"
                )
            scans_db.create(conn, scan)
            self._tell(conn, principal, EventType.SCAN_STARTED, scan)
        self._wake()
        return scan

    def cancel(self, principal: Principal, catalog: OpenCatalog, scan_id: str) -> Scan:
        """Stop a scan; what it has learnt of files by then is not learnt again by the next.

        Raises:
            NoSuchScan: this catalog has none of that id.
            WrongState: it does not run.
        """
        scan = self.get(principal, catalog, scan_id)
        if scan.state is not ScanState.RUNNING:
            raise WrongState(f"scan `{scan_id}` is {scan.state}: there is nothing to cancel")
        with write(self._engine) as conn:
            jobs_db.cancel(conn, catalog.catalog.organisation_id, scan_id, now_ms=self._now_ms())
            self._tell(conn, principal, EventType.SCAN_CANCELLED, scan)
        return self.get(principal, catalog, scan_id)

    def run(self, job: Job, run: JobRun) -> Json:
        """Carry out a scan: the handler of its job.

        Raises:
            NoSuchCatalog: it was deleted meanwhile.
        """
        catalog, place = self._place_of(job)
        store = self._credentials.store_for(catalog.integration, in_background=True)
        listing = self._surveys.listed(store, place, watch=run, resume=job.checkpoint)
        digest: str | None = digest_of(listing)
        with read(self._engine) as conn:
            same = scans_db.with_digest(
                conn, catalog.catalog.id, place.location.prefix, digest or ""
            )
            registered = tables_db.tables_by_source(conn, catalog.catalog.id)
        if same is not None and same.report is not None:
            report = marked(dict(same.report), place.location.bucket, registered)
            progress = dict(same.progress)
        else:
            survey = self._surveys.inspected(store, place, listing, watch=run)
            report = survey_report(survey, registered=registered)
            progress = run.shown or {}
            if not survey.is_final:
                digest = None  # so the next scan does not take this one's word
        now_ms = self._now_ms()

        def propose_once() -> None:
            with write(self._engine) as conn:
                run.require_lease(conn)
                scans_db.move(
                    conn,
                    job.id,
                    expected=ScanState.RUNNING,
                    to=ScanState.PROPOSED,
                    now_ms=now_ms,
                    report=report,
                    progress=progress,
                    digest=digest,
                )

        retry_serialisation(propose_once)
        return {
            "tables": len(report["tables"]),
            "objects": listing.objects,
            "changed": listing.changed,
            "gone": listing.gone,
        }

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
        location = Location.parse(scan.prefix)
        store = self._credentials.store_for(catalog.integration, in_background=True)
        survey = self._surveys.recall(store, self._place(catalog, location))
        if not survey.proposals.tables and (scan.report or {}).get("tables"):
            raise WrongState(f"what scan `{scan_id}` found is not known any more; scan again")
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

    def _place_of(self, job: Job) -> tuple[OpenCatalog, Place]:
        with read(self._engine) as conn:
            catalog = catalogs_db.load(conn, job.organisation_id, job.subject_id)
            integration = (
                None
                if catalog is None
                else integrations_db.load(conn, self._keyring, catalog.integration_id)
            )
        if catalog is None or integration is None:
            raise NoSuchCatalog("the catalog was deleted")
        opened = OpenCatalog(catalog, integration)
        return opened, self._place(opened, Location.parse(job.parameters["prefix"]))

    def _place(self, catalog: OpenCatalog, location: Location) -> Place:
        """A folder without those where catalogs keep their own tables, which nobody discovers."""
        with read(self._engine) as conn:
            own = catalogs_db.locations_on(conn, catalog.integration.id)
        return Place(catalog.integration.id, location, own)


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
