"""Discovery: look through a folder of the bucket, propose tables, register them in place.

A scan changes nothing but its own row.  Registration refers to files where they lie, and goes
through the same commit as an engine's write does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import jobs as jobs_db
from graticule.db import scans as scans_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, transact, write
from graticule.discovery.approval import Wish
from graticule.discovery.ignoring import Ignored
from graticule.discovery.names_in_use import NamesInUse
from graticule.discovery.proposal import Confidence
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    NoSuchScan,
    WrongState,
)
from graticule.domain.identifiers import Namespace
from graticule.domain.job import Job, JobKind
from graticule.domain.location import Location
from graticule.domain.scan import Scan, ScanEngine, ScanState
from graticule.domain.tenancy import Principal
from graticule.services.catalog import table_locations
from graticule.services.discovery.approvals import Approvals, Registered
from graticule.services.discovery.bucket_listing import Place
from graticule.services.discovery.bucket_survey import (
    BucketSurveys,
    digest_of,
    marked,
    survey_report,
)
from graticule.services.discovery.handoffs import ELSEWHERE, Attempt, Handoffs
from graticule.services.discovery.scan_policies import ScanPolicies
from graticule.services.events import audit_trail
from graticule.services.integrations.credentials import Credentials
from graticule.services.jobs.job_context import catalog_of, on_behalf_of
from graticule.services.jobs.job_run import JobRun
from graticule.services.pages import Page, page

Json = dict[str, Any]


class Discovery:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        credentials: Credentials,
        *,
        approvals: Approvals,
        policies: ScanPolicies,
        surveys: BucketSurveys,
        handoffs: Handoffs,
        now_ms: Callable[[], int],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake` is called when there is a scan to carry out; some process may be waiting."""
        self._engine = engine
        self._keyring = keyring
        self._credentials = credentials
        self._approvals = approvals
        self._policies = policies
        self._surveys = surveys
        self._handoffs = handoffs
        self._now_ms = now_ms
        self._wake = wake

    def start(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        *,
        prefix: str | None = None,
        ignore: Sequence[str] = (),
        auto_approve: Confidence | None = None,
        namespace: Namespace | None = None,
        engine: ScanEngine = ScanEngine.SERVER,
    ) -> Scan:
        """Begin to look through `prefix`, or all of the integration.  Returns at once.

        `ignore` are patterns to pass over, now and in the scans to come.  What is at least as sure
        as `auto_approve`, or as the catalog's policy asks, is registered when the scan ends.  With
        another `engine` than the server the files wait for machines that inspect them.

        Raises:
            InvalidLocation: the prefix lies outside of the integration.
            InvalidRequest: a pattern that cannot be used.
            ReadOnlyStorage: nothing could be registered, or handed to other machines.
            NoNarrowSession: other machines could not be let read only what they are to inspect.
            WrongState: another scan of this catalog is running.
        """
        require(principal, Action.SCAN_CATALOG)
        if auto_approve is not None:
            require(principal, Action.WRITE_CATALOG)
            catalog.integration.require_writable()
        location = catalog.integration.location
        if prefix:
            location = table_locations.check_in_storage(catalog, prefix)
        if engine is not ScanEngine.SERVER:
            self._handoffs.check(principal, catalog)
        if ignore:
            self._policies.ignore_also(principal, catalog, ignore)
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
            parameters={
                "prefix": scan.prefix,
                "engine": engine,
                "auto_approve": auto_approve,
                "namespace": None if namespace is None else namespace.levels,
                "member_id": principal.member_id,
            },
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

    def take_over(self, principal: Principal, catalog: OpenCatalog, scan_id: str) -> Scan:
        """Have the server inspect what it waits for others to inspect.

        Raises:
            NoSuchScan: this catalog has none of that id.
            WrongState: it does not run.
        """
        scan = self.get(principal, catalog, scan_id)
        if scan.state is not ScanState.RUNNING:
            raise WrongState(f"scan `{scan_id}` is {scan.state}: there is nothing to inspect")
        organisation_id = catalog.catalog.organisation_id
        now_ms = self._now_ms()
        with write(self._engine) as conn:
            by_itself = {"engine": ScanEngine.SERVER}
            jobs_db.amend(conn, organisation_id, scan_id, by_itself, now_ms=now_ms)
            self._tell(conn, principal, EventType.SCAN_TAKEN_OVER, scan)
        self._wake()
        return self.get(principal, catalog, scan_id)

    def run(self, job: Job, run: JobRun) -> Json:
        """Carry out a scan: the handler of its job.

        Raises:
            NoSuchCatalog: it was deleted meanwhile.
        """
        catalog, place = self._place_of(job)
        store = self._credentials.store_for(catalog.integration, in_background=True)
        listing = self._surveys.listed(store, place, watch=run, resume=job.checkpoint)
        ignored = self._policies.ignored(catalog)
        digest: str | None = digest_of(listing, ignored)
        with read(self._engine) as conn:
            same = scans_db.with_digest(
                conn, catalog.catalog.id, place.location.prefix, digest or ""
            )
        in_use = self._names_in_use(catalog)
        registered = in_use.by_source
        if same is not None and same.report is not None and in_use.fits(same.report):
            report = marked(dict(same.report), place.location.bucket, registered)
            progress = {name: count for name, count in same.progress.items() if name != ELSEWHERE}
        else:
            kept = self._handoffs.carry_on(
                Attempt(run, catalog, store, place, listing),
                lambda: self._surveys.pending(store, place, listing, ignored=ignored, watch=run),
            )
            survey = self._surveys.inspected(
                store, place, listing, ignored=ignored, in_use=in_use, watch=run, kept=kept
            )
            report = survey_report(survey, registered=registered)
            progress = {**(run.shown or {}), **self._handoffs.summary(job)}
            if not survey.is_final:
                digest = None  # so the next scan does not take this one's word
        registered_now = self._approve_by_itself(job, catalog)
        if registered_now:
            with read(self._engine) as conn:
                registered = tables_db.tables_by_source(conn, catalog.catalog.id)
            report = marked(report, place.location.bucket, registered)
        now_ms = self._now_ms()

        def propose(conn: Connection) -> None:
            run.require_lease(conn)
            scans_db.move(
                conn,
                job.id,
                expected=ScanState.RUNNING,
                to=ScanState.REGISTERED if registered_now else ScanState.PROPOSED,
                now_ms=now_ms,
                report=report,
                progress=progress,
                digest=digest,
            )

        transact(self._engine, propose)
        self._handoffs.remove(catalog, job.id)
        return {
            "tables": len(report["tables"]),
            "registered": registered_now,
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
        names: Sequence[str] | None,
        renamed: Mapping[str, str] | None = None,
        namespace: Namespace | None = None,
        at_least: Confidence = Confidence.LOW,
        ignore: Sequence[str] = (),
    ) -> Sequence[Registered]:
        """Make tables of proposals, all of them or those named, each in a commit of its own.

        What is registered already is left alone.  One that cannot be registered does not keep the
        others from it.  `ignore` are patterns to leave out, now and in the scans to come.

        Raises:
            NoSuchScan: this catalog has none of that id.
            WrongState: it has no proposals, since it still runs or failed.
            InvalidRequest: a name that the scan did not propose, or a pattern that cannot be used.
            ReadOnlyStorage: the metadata files of the tables could not be written.
        """
        scan = self.get(principal, catalog, scan_id)
        if scan.state not in {ScanState.PROPOSED, ScanState.REGISTERED}:
            catalog.integration.require_writable()
            raise WrongState(f"scan `{scan_id}` is {scan.state} and has no proposals to register")
        kept = self._policies.ignored(catalog)
        wish = Wish(
            names=names,
            renamed=renamed or {},
            namespace=namespace,
            at_least=at_least,
            ignored=Ignored(tuple(ignore), kept.root),
        )
        outcomes = self._approve(principal, catalog, scan, wish)
        if ignore:
            self._policies.ignore_also(principal, catalog, ignore)
        return outcomes

    def _approve(
        self, principal: Principal, catalog: OpenCatalog, scan: Scan, wish: Wish
    ) -> Sequence[Registered]:
        catalog.integration.require_writable()
        require(principal, Action.WRITE_CATALOG)
        place = self._place(catalog, Location.parse(scan.prefix))
        store = self._credentials.store_for(catalog.integration, in_background=True)
        survey = self._surveys.recall(
            store,
            place,
            ignored=self._policies.ignored(catalog),
            in_use=self._names_in_use(catalog),
        )
        found = survey.proposals.tables or survey.proposals.existing
        if not found and (scan.report or {}).get("tables"):
            raise WrongState(f"what scan `{scan.id}` found is not known any more; scan again")
        outcomes = self._approvals.register(principal, catalog, survey, wish)
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

    def _names_in_use(self, catalog: OpenCatalog) -> NamesInUse:
        with read(self._engine) as conn:
            return NamesInUse(
                catalog.integration.location.bucket,
                tables_db.names_in_use(conn, catalog.catalog.id),
                tables_db.tables_by_source(conn, catalog.catalog.id),
            )

    def _approve_by_itself(self, job: Job, catalog: OpenCatalog) -> int:
        """Register what is sure enough, as whoever asked for the scan; answers how many tables."""
        asked = job.parameters.get("auto_approve") or self._policies.of(catalog).auto_approve
        if asked is None or catalog.integration.read_only:
            return 0
        principal = on_behalf_of(job)
        scan = self.get(principal, catalog, job.id)
        levels = job.parameters.get("namespace")
        wish = Wish(
            namespace=None if levels is None else Namespace.of(levels),
            at_least=Confidence(asked),
        )
        outcomes = self._approve(principal, catalog, scan, wish)
        return sum(outcome.error is None for outcome in outcomes)

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

    def _place_of(self, job: Job) -> tuple[OpenCatalog, Place]:
        opened = catalog_of(self._engine, self._keyring, job)
        return opened, self._place(opened, Location.parse(job.parameters["prefix"]))

    def _place(self, catalog: OpenCatalog, location: Location) -> Place:
        """A folder without those where catalogs keep their own tables, which nobody discovers."""
        with read(self._engine) as conn:
            own = catalogs_db.locations_on(conn, catalog.integration.id)
        return Place(catalog.integration.id, location, own)
