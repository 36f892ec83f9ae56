"""Builds the object graph once: for the server, for the demo and for tests alike."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import SecretStr
from sqlalchemy import Engine

from graticule.access.scan_tokens import ScanTokens
from graticule.access.stage_tokens import StageTokens
from graticule.api.page_tokens import PageTokens
from graticule.api.plan_tokens import PlanTokens
from graticule.api.routes import ICEBERG_ROOT
from graticule.db.engine import create_engine
from graticule.db.upgrade import check_current, upgrade
from graticule.domain.catalog import StorageIntegration
from graticule.domain.errors import CatalogError
from graticule.domain.job import JobKind
from graticule.domain.secret import Secret
from graticule.domain.verification import Report
from graticule.outbound.fetch import Fetcher
from graticule.outbound.gate import Outbound
from graticule.services.accounts.access_tokens import AccessTokens
from graticule.services.accounts.activity import Activity
from graticule.services.accounts.api_keys import ApiKeys
from graticule.services.accounts.authentication import Authentication
from graticule.services.accounts.browser_sessions import BrowserSessions
from graticule.services.accounts.devices import Devices
from graticule.services.accounts.grants import Grants
from graticule.services.accounts.issuer_documents import IssuerDocuments
from graticule.services.accounts.issuer_sign_in import IssuerSignIn
from graticule.services.accounts.issuers import Issuers
from graticule.services.accounts.members import Members
from graticule.services.accounts.organisations import Organisations
from graticule.services.accounts.passwords import Passwords
from graticule.services.accounts.roles import Roles
from graticule.services.accounts.sealed_secrets import SealedSecrets
from graticule.services.accounts.throttle import Throttle
from graticule.services.catalog.box_orders import BoxOrders
from graticule.services.catalog.catalogs import Catalogs
from graticule.services.catalog.commits import Commits
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.functions import Functions
from graticule.services.catalog.idempotency import Idempotency
from graticule.services.catalog.metrics import Metrics
from graticule.services.catalog.namespaces import Namespaces
from graticule.services.catalog.planning_modes import PlanningModes
from graticule.services.catalog.signing import Signing
from graticule.services.catalog.table_handover import TableHandover
from graticule.services.catalog.table_removal import TableRemoval
from graticule.services.catalog.table_storage import TableStorage
from graticule.services.catalog.tables import Tables
from graticule.services.catalog.turns import Turns
from graticule.services.catalog.view_commits import ViewCommits
from graticule.services.catalog.views import Views
from graticule.services.discovery.approvals import Approvals
from graticule.services.discovery.bucket_survey import BucketSurveys
from graticule.services.discovery.conversions import Conversions
from graticule.services.discovery.discovery import Discovery
from graticule.services.discovery.handoffs import Handoffs
from graticule.services.discovery.registration import Registration
from graticule.services.discovery.scan_policies import ScanPolicies
from graticule.services.discovery.scan_work import ScanWork
from graticule.services.events.audit import Audit
from graticule.services.events.webhook_delivery import WebhookDelivery
from graticule.services.events.webhooks import Webhooks
from graticule.services.integrations.browsing import Browsing
from graticule.services.integrations.credentials import Credentials
from graticule.services.integrations.integration_policies import IntegrationPolicies
from graticule.services.integrations.integration_updates import IntegrationUpdates
from graticule.services.integrations.integrations import Integrations
from graticule.services.integrations.verification_runs import VerificationRuns
from graticule.services.integrations.verifications import Verifications
from graticule.services.jobs.job_run import Handler
from graticule.services.jobs.job_worker import JobWorker
from graticule.services.jobs.jobs import Jobs
from graticule.services.maintenance.purging import Purging
from graticule.services.maintenance.upkeep import Upkeep
from graticule.services.monitoring import Monitoring
from graticule.services.planning.area_matches import AreaMatches
from graticule.services.planning.box_jobs import BoxJobs
from graticule.services.planning.computed_boxes import ComputedBoxes
from graticule.services.planning.file_search import FileSearch
from graticule.services.planning.index_jobs import IndexJobs
from graticule.services.planning.index_repairs import IndexRepairs
from graticule.services.planning.index_statuses import IndexStatuses
from graticule.services.planning.indexing import Indexing
from graticule.services.planning.layouts import Layouts
from graticule.services.planning.placed_snapshots import PlacedSnapshots
from graticule.services.planning.scans import Scans
from graticule.services.planning.stored_indexes import StoredIndexes
from graticule.services.syncing.event_polling import EventPolling
from graticule.services.syncing.event_queues import EventQueues
from graticule.services.syncing.snapshot_commits import SnapshotCommits
from graticule.services.syncing.sync_overrides import SyncOverrides
from graticule.services.syncing.sync_runs import SyncRuns
from graticule.services.syncing.sync_schedule import SyncSchedule
from graticule.services.syncing.syncing import Syncing
from graticule.services.syncing.table_sync import TableSyncs
from graticule.services.syncing.undoing import Undoing
from graticule.settings import Settings
from graticule.storage.identity import ServerIdentity
from graticule.storage.index_cache import IndexCache
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.metadata_files import MetadataFiles
from graticule.storage.verification.engine import Request, verify

PAGE_TOKEN_PURPOSE: Final = "page tokens"
PLAN_TOKEN_PURPOSE: Final = "scan plans"
STAGE_TOKEN_PURPOSE: Final = "tokens of staged tables"
SCAN_TOKEN_PURPOSE: Final = "tokens of scans"
COURIER_PAUSE_S: Final = 1.0
TURNS_FILE: Final = "turns.lock"
JOBS_FILE: Final = "jobs.lock"
INDEXES_FOLDER: Final = "indexes"
_SPARE_CONNECTIONS: Final = 4


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may call."""

    engine: Engine
    organisations: Organisations
    members: Members
    api_keys: ApiKeys
    authentication: Authentication
    access_tokens: AccessTokens
    activity: Activity
    passwords: Passwords
    sessions: BrowserSessions
    devices: Devices
    issuers: Issuers
    issuer_sign_in: IssuerSignIn
    integrations: Integrations
    integration_policies: IntegrationPolicies
    integration_updates: IntegrationUpdates
    browsing: Browsing
    verifications: Verifications
    verification_runs: VerificationRuns
    catalogs: Catalogs
    roles: Roles
    grants: Grants
    credentials: Credentials
    namespaces: Namespaces
    tables: Tables
    table_removal: TableRemoval
    table_handover: TableHandover
    scan_policies: ScanPolicies
    signing: Signing
    commits: Commits
    views: Views
    view_commits: ViewCommits
    turns: Turns
    functions: Functions
    indexing: Indexing
    box_orders: BoxOrders
    planning_modes: PlanningModes
    scans: Scans
    file_search: FileSearch
    placed_snapshots: PlacedSnapshots
    layouts: Layouts
    index_statuses: IndexStatuses
    discovery: Discovery
    scan_work: ScanWork
    syncing: Syncing
    sync_schedule: SyncSchedule
    sync_overrides: SyncOverrides
    event_queues: EventQueues
    event_polling: EventPolling
    undoing: Undoing
    conversions: Conversions
    jobs: Jobs
    job_worker: JobWorker
    metrics: Metrics
    monitoring: Monitoring
    idempotency: Idempotency
    purging: Purging
    audit: Audit
    webhooks: Webhooks
    upkeep: Upkeep
    courier: Upkeep
    """Writes and announces events: often, unlike upkeep."""
    page_tokens: PageTokens
    plan_tokens: PlanTokens
    workers: InspectionWorkers

    def check_ready(self) -> None:
        """Raises Unavailable unless the database answers and has this version's schema."""
        check_current(self.engine)

    def close(self) -> None:
        self.upkeep.close()
        self.courier.close()
        self.verification_runs.close()
        self.event_polling.close()
        self.job_worker.close()
        with suppress(CatalogError):
            self.activity.flush()
            self.audit.flush()
        self.workers.close()
        self.turns.close()
        self.engine.dispose()


def open_services(settings: Settings, *, now_ms: Callable[[], int] = wall_clock_ms) -> Services:
    """Open the database and build the services.  The caller closes them.

    A SQLite database is brought to the current schema, since nobody else can be using it; for
    PostgreSQL that is a step of its own (`graticule database upgrade`).

    Raises:
        Unavailable: the database does not answer, or needs that step.
    """
    keyring = settings.keyring()
    if not settings.database_url:
        settings.make_data_dir()
    engine = create_engine(
        settings.resolved_database_url,
        pool_connections=settings.threads + settings.heavy_threads + _SPARE_CONNECTIONS,
    )
    if engine.dialect.name == "sqlite":
        upgrade(engine)
    else:
        check_current(engine)
    activity = Activity(engine, now_ms=now_ms)
    outbound = Outbound(settings.outbound_policy)
    fetcher = Fetcher(outbound)
    issuer_documents = IssuerDocuments(fetcher, now_ms=now_ms)
    issuers = Issuers(engine, keyring, issuer_documents, now_ms=now_ms)
    authentication = Authentication(
        engine, keyring, activity, issuers, now_ms=now_ms, session_idle_s=settings.session_idle_s
    )
    throttle = Throttle(engine, now_ms=now_ms)
    audit = Audit(engine, now_ms=now_ms, retention_days=settings.audit_retention_days)
    passwords = Passwords(engine, authentication, throttle, audit, now_ms=now_ms)
    sessions = BrowserSessions(
        engine,
        authentication,
        now_ms=now_ms,
        idle_s=settings.session_idle_s,
        lifetime_s=settings.session_lifetime_s,
    )
    devices = Devices(engine, now_ms=now_ms)
    SealedSecrets(engine, keyring).check()
    identity = ServerIdentity(settings.sts_keys, outbound=outbound)
    credentials = Credentials(
        identity=identity,
        now_ms=now_ms,
        duration_s=settings.credential_lifetime_s,
        outbound=outbound,
    )
    files = MetadataFiles()
    documents = Documents(engine, files, credentials)
    stage_tokens = StageTokens(keyring.derive(STAGE_TOKEN_PURPOSE))
    storage = TableStorage(
        credentials,
        stage_tokens,
        audit,
        now_ms=now_ms,
        public_url=_catalog_url(settings.public_url),
    )
    tables = Tables(engine, files, documents, credentials, storage, now_ms=now_ms)
    table_removal = TableRemoval(engine, documents, now_ms=now_ms)
    turns = Turns(settings.data_dir / TURNS_FILE)
    commits = Commits(engine, files, documents, credentials, turns, now_ms=now_ms)
    view_commits = ViewCommits(engine, files, documents, credentials, turns, now_ms=now_ms)
    catalogs = Catalogs(engine, keyring, now_ms=now_ms)
    namespaces = Namespaces(engine, now_ms=now_ms)
    idempotency = Idempotency(engine, now_ms=now_ms, lifetime_s=settings.idempotency_key_lifetime_s)
    purging = Purging(engine, keyring, files, credentials, now_ms=now_ms)
    delivery = WebhookDelivery(engine, keyring, now_ms=now_ms, fetcher=fetcher)
    workers = InspectionWorkers(settings.inspection_processes)
    index_cache = IndexCache(settings.data_dir / INDEXES_FOLDER)
    stored_indexes = StoredIndexes(engine, credentials, index_cache, now_ms=now_ms)
    index_repairs = IndexRepairs(engine, now_ms=now_ms)
    computed_boxes = ComputedBoxes(engine)
    indexing = Indexing(
        stored_indexes,
        index_repairs,
        computed=computed_boxes,
        credentials=credentials,
        workers=workers,
    )
    box_orders = BoxOrders(engine, now_ms=now_ms)

    def verify_as_server(integration: StorageIntegration) -> Report:
        return verify(Request(integration), identity=identity, outbound=outbound)

    def forget(integration_id: str) -> None:
        credentials.invalidate(integration_id)
        catalogs.forget()

    integrations = Integrations(
        engine,
        keyring,
        now_ms=now_ms,
        invalidate=forget,
        outbound=outbound,
    )
    integration_updates = IntegrationUpdates(
        engine,
        keyring,
        integrations,
        now_ms=now_ms,
        verify=verify_as_server,
        invalidate=forget,
    )
    verification_runs = VerificationRuns(
        engine,
        keyring,
        now_ms=now_ms,
        verify=partial(verify, identity=identity, outbound=outbound),
        invalidate=forget,
        period_s=settings.verification_period_s,
    )
    credentials.when_refused(verification_runs.doubt)
    index_jobs = IndexJobs(
        engine,
        keyring,
        documents,
        indexing=indexing,
        stored=stored_indexes,
        box_orders=box_orders,
    )
    box_jobs = BoxJobs(
        engine,
        keyring,
        documents,
        credentials,
        indexing=indexing,
        computed=computed_boxes,
        workers=workers,
        orders=box_orders,
    )
    snapshot_commits = SnapshotCommits(engine, commits)
    table_syncs = TableSyncs(
        engine, documents, credentials, snapshot_commits, workers, now_ms=now_ms
    )
    sync_runs = SyncRuns(engine, catalogs, table_syncs, now_ms=now_ms)
    syncing = Syncing(engine, now_ms=now_ms)
    sync_schedule = SyncSchedule(engine, catalogs, syncing, now_ms=now_ms)
    handlers: dict[JobKind, Handler] = {
        JobKind.INDEX: index_jobs.run,
        JobKind.BOXES: box_jobs.run,
        JobKind.SYNC: sync_runs.run,
    }
    jobs = Jobs(engine, now_ms=now_ms)
    job_worker = JobWorker(
        engine,
        handlers,
        now_ms=now_ms,
        threads=settings.job_threads,
        lease_s=settings.job_lease_s,
        turn=settings.data_dir / JOBS_FILE,
    )
    registration = Registration(engine, credentials, commits, workers, now_ms=now_ms)
    conversions = Conversions(
        engine,
        keyring,
        credentials,
        namespaces,
        registration=registration,
        workers=workers,
        now_ms=now_ms,
        wake=job_worker.wake,
    )
    handlers[JobKind.CONVERT] = conversions.run
    handover = TableHandover(engine, documents, storage, now_ms=now_ms)
    scan_policies = ScanPolicies(engine, now_ms=now_ms)
    handoffs = Handoffs(
        engine, keyring, credentials, now_ms=now_ms, patience_s=settings.scan_patience_s
    )
    discovery = Discovery(
        engine,
        keyring,
        credentials,
        approvals=Approvals(namespaces, registration, handover),
        policies=scan_policies,
        surveys=BucketSurveys(engine, workers, now_ms=now_ms),
        handoffs=handoffs,
        now_ms=now_ms,
        wake=job_worker.wake,
    )
    handlers[JobKind.SCAN] = discovery.run
    placed_snapshots, area_matches = PlacedSnapshots(tables, indexing), AreaMatches()
    file_search = FileSearch(placed_snapshots, area_matches, computed_boxes, credentials, workers)
    sync_runs.then_find_tables(discovery.start)
    return Services(
        engine=engine,
        organisations=Organisations(engine, now_ms=now_ms),
        members=Members(engine, authentication, now_ms=now_ms),
        api_keys=ApiKeys(engine, authentication, now_ms=now_ms),
        authentication=authentication,
        access_tokens=AccessTokens(
            keyring, authentication, audit, now_ms=now_ms, lifetime_s=settings.token_lifetime_s
        ),
        activity=activity,
        passwords=passwords,
        sessions=sessions,
        devices=devices,
        issuers=issuers,
        issuer_sign_in=IssuerSignIn(keyring, issuers, issuer_documents, fetcher, now_ms=now_ms),
        integrations=integrations,
        integration_policies=IntegrationPolicies(
            integrations,
            now_ms=now_ms,
            principal_arn=settings.principal_arn,
            find_arn=identity.arn,
            outbound=outbound,
            role_tag=settings.role_tag,
        ),
        integration_updates=integration_updates,
        verifications=Verifications(
            engine, integrations, integration_updates, verification_runs, now_ms=now_ms
        ),
        browsing=Browsing(engine, integrations, credentials, audit, now_ms=now_ms),
        verification_runs=verification_runs,
        catalogs=catalogs,
        roles=Roles(engine, now_ms=now_ms, on_change=catalogs.forget),
        grants=Grants(engine, now_ms=now_ms, on_change=catalogs.forget),
        credentials=credentials,
        namespaces=namespaces,
        tables=tables,
        table_removal=table_removal,
        table_handover=handover,
        scan_policies=scan_policies,
        signing=Signing(tables, credentials, stage_tokens, audit, now_ms=now_ms),
        commits=commits,
        views=Views(engine, documents, view_commits, now_ms=now_ms),
        view_commits=view_commits,
        turns=turns,
        functions=Functions(engine, now_ms=now_ms),
        indexing=indexing,
        box_orders=box_orders,
        planning_modes=PlanningModes(),
        scans=Scans(engine, tables, indexing, now_ms=now_ms),
        file_search=file_search,
        placed_snapshots=placed_snapshots,
        layouts=Layouts(placed_snapshots, area_matches),
        index_statuses=IndexStatuses(engine, tables),
        discovery=discovery,
        scan_work=ScanWork(
            engine,
            keyring,
            credentials,
            ScanTokens(keyring.derive(SCAN_TOKEN_PURPOSE)),
            now_ms=now_ms,
        ),
        syncing=syncing,
        sync_schedule=sync_schedule,
        undoing=Undoing(
            engine,
            documents,
            credentials,
            snapshot_commits,
            removal=table_removal,
            syncing=syncing,
            now_ms=now_ms,
        ),
        conversions=conversions,
        jobs=jobs,
        sync_overrides=SyncOverrides(engine, now_ms=now_ms),
        event_queues=EventQueues(engine, now_ms=now_ms),
        event_polling=EventPolling(
            engine, credentials, sync_schedule, now_ms=now_ms, wake=job_worker.wake
        ),
        job_worker=job_worker,
        metrics=Metrics(engine, now_ms=now_ms),
        monitoring=Monitoring(token=_secret(settings.metrics_token), jobs=jobs.counts),
        idempotency=idempotency,
        purging=purging,
        audit=audit,
        webhooks=Webhooks(engine, keyring, now_ms=now_ms, outbound=outbound),
        upkeep=Upkeep(
            [
                purging.run_due,
                lambda _stopping: idempotency.remove_expired(),
                lambda _stopping: activity.flush(),
                audit.remove_expired,
                delivery.remove_finished,
                lambda _stopping: throttle.prune(),
                lambda _stopping: sessions.remove_over(),
                lambda _stopping: passwords.remove_expired(),
                lambda _stopping: devices.remove_expired(),
                verification_runs.run_due,
                job_worker.remove_finished,
                box_orders.order_due,
                handoffs.remove_remains,
            ]
        ),
        courier=Upkeep(
            [audit.flush, delivery.run_due, sync_schedule.run_due], pause_s=COURIER_PAUSE_S
        ),
        workers=workers,
        page_tokens=PageTokens(keyring.derive(PAGE_TOKEN_PURPOSE)),
        plan_tokens=PlanTokens(keyring.derive(PLAN_TOKEN_PURPOSE), now_ms=now_ms),
    )


def _secret(text: SecretStr | None) -> Secret | None:
    return None if text is None else Secret(text.get_secret_value())


def _catalog_url(public_url: str | None) -> str | None:
    """The base of the Iceberg operations as clients write it; None if they know better."""
    return None if public_url is None else f"{public_url}{ICEBERG_ROOT}"
