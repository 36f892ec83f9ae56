"""Opens the rooms of services in order, once: for the server, for the demo and for tests alike.

What a room builds of its own is in its `room.py`; here is what rooms share and tell each other.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from sqlalchemy import Engine

from graticule.api.page_tokens import PageTokens
from graticule.api.plan_tokens import PlanTokens
from graticule.api.routes import ICEBERG_ROOT
from graticule.db.engine import create_engine
from graticule.db.upgrade import check_current, upgrade
from graticule.domain.errors import CatalogError
from graticule.domain.job import JobKind
from graticule.domain.secret import Secret
from graticule.outbound.fetch import Fetcher
from graticule.outbound.gate import Outbound
from graticule.services.accounts.room import AccountsRoom, open_accounts
from graticule.services.catalog.catalogs import Catalogs
from graticule.services.catalog.room import CatalogRoom, open_catalog
from graticule.services.discovery.room import DiscoveryRoom, open_discovery
from graticule.services.events.room import EventsRoom, open_events
from graticule.services.integrations.room import IntegrationsRoom, open_integrations
from graticule.services.jobs.job_run import Handler
from graticule.services.jobs.room import JobsRoom, open_jobs
from graticule.services.maintenance.purging import Purging
from graticule.services.maintenance.upkeep import Upkeep
from graticule.services.monitoring import Monitoring
from graticule.services.planning.room import PlanningRoom, open_planning
from graticule.services.syncing.room import SyncingRoom, open_syncing
from graticule.settings import Settings
from graticule.storage.identity import ServerIdentity
from graticule.storage.inspection_workers import InspectionWorkers

PAGE_TOKEN_PURPOSE: Final = "page tokens"
PLAN_TOKEN_PURPOSE: Final = "scan plans"
COURIER_PAUSE_S: Final = 1.0
TURNS_FILE: Final = "turns.lock"
JOBS_FILE: Final = "jobs.lock"
INDEXES_FOLDER: Final = "indexes"
_SPARE_CONNECTIONS: Final = 4


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Services(
    EventsRoom,
    AccountsRoom,
    IntegrationsRoom,
    JobsRoom,
    CatalogRoom,
    PlanningRoom,
    DiscoveryRoom,
    SyncingRoom,
):
    """Everything a handler may call: what is in all rooms."""

    engine: Engine
    workers: InspectionWorkers
    purging: Purging
    monitoring: Monitoring
    upkeep: Upkeep
    courier: Upkeep
    """Writes and announces events: often, unlike upkeep."""
    page_tokens: PageTokens
    plan_tokens: PlanTokens

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
    engine = _open_database(settings)
    outbound = Outbound(settings.outbound_policy)
    fetcher = Fetcher(outbound)
    workers = InspectionWorkers(settings.inspection_processes)
    # Nothing that it needs is in a room, and two rooms below its own tell it what has changed.
    catalogs = Catalogs(engine, keyring, now_ms=now_ms)
    events = open_events(
        engine,
        keyring,
        now_ms=now_ms,
        outbound=outbound,
        fetcher=fetcher,
        retention_days=settings.audit_retention_days,
    )
    accounts = open_accounts(
        engine,
        keyring,
        events.audit,
        now_ms=now_ms,
        fetcher=fetcher,
        on_grants=catalogs.forget,
        session_idle_s=settings.session_idle_s,
        session_lifetime_s=settings.session_lifetime_s,
        token_lifetime_s=settings.token_lifetime_s,
    )
    integrations = open_integrations(
        engine,
        keyring,
        events.audit,
        now_ms=now_ms,
        outbound=outbound,
        identity=ServerIdentity(settings.sts_keys, outbound=outbound),
        on_change=catalogs.forget,
        credential_lifetime_s=settings.credential_lifetime_s,
        verification_period_s=settings.verification_period_s,
        principal_arn=settings.principal_arn,
        role_tag=settings.role_tag,
    )
    credentials = integrations.credentials
    handlers: dict[JobKind, Handler] = {}
    jobs = open_jobs(
        engine,
        handlers,
        now_ms=now_ms,
        threads=settings.job_threads,
        lease_s=settings.job_lease_s,
        turn=settings.data_dir / JOBS_FILE,
    )
    wake = jobs.job_worker.wake
    catalog = open_catalog(
        engine,
        keyring,
        catalogs,
        credentials,
        events.audit,
        now_ms=now_ms,
        turns=settings.data_dir / TURNS_FILE,
        public_url=_catalog_url(settings.public_url),
        key_lifetime_s=settings.idempotency_key_lifetime_s,
    )
    planning = open_planning(
        engine,
        keyring,
        catalog,
        credentials,
        workers,
        now_ms=now_ms,
        indexes=settings.data_dir / INDEXES_FOLDER,
    )
    discovery = open_discovery(
        engine,
        keyring,
        catalog,
        credentials,
        workers,
        audit=events.audit,
        now_ms=now_ms,
        wake=wake,
        patience_s=settings.scan_patience_s,
    )
    syncing = open_syncing(engine, catalog, credentials, workers, now_ms=now_ms, wake=wake)
    syncing.sync_runs.then_find_tables(discovery.discovery.start)
    handlers.update(
        {
            JobKind.INDEX: planning.index_jobs.run,
            JobKind.BOXES: planning.box_jobs.run,
            JobKind.SCAN: discovery.discovery.run,
            JobKind.CONVERT: discovery.conversions.run,
            JobKind.SYNC: syncing.sync_runs.run,
        }
    )
    purging = Purging(engine, keyring, catalog.metadata_files, credentials, now_ms=now_ms)
    upkeep = Upkeep(
        [
            purging.run_due,
            lambda _stopping: catalog.idempotency.remove_expired(),
            lambda _stopping: accounts.activity.flush(),
            events.audit.remove_expired,
            events.webhook_delivery.remove_finished,
            lambda _stopping: accounts.throttle.prune(),
            lambda _stopping: accounts.sessions.remove_over(),
            lambda _stopping: accounts.passwords.remove_expired(),
            lambda _stopping: accounts.devices.remove_expired(),
            integrations.verification_runs.run_due,
            jobs.job_worker.remove_finished,
            catalog.box_orders.order_due,
            discovery.handoffs.remove_remains,
            catalog.pending_snapshots.remove_remains,
        ]
    )
    courier = Upkeep(
        [events.audit.flush, events.webhook_delivery.run_due, syncing.sync_schedule.run_due],
        pause_s=COURIER_PAUSE_S,
    )
    return Services(
        **vars(events),
        **vars(accounts),
        **vars(integrations),
        **vars(jobs),
        **vars(catalog),
        **vars(planning),
        **vars(discovery),
        **vars(syncing),
        engine=engine,
        workers=workers,
        purging=purging,
        monitoring=Monitoring(token=_secret(settings.metrics_token), jobs=jobs.jobs.counts),
        upkeep=upkeep,
        courier=courier,
        page_tokens=PageTokens(keyring.derive(PAGE_TOKEN_PURPOSE)),
        plan_tokens=PlanTokens(keyring.derive(PLAN_TOKEN_PURPOSE), now_ms=now_ms),
    )


def _open_database(settings: Settings) -> Engine:
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
    return engine


def _secret(text: SecretStr | None) -> Secret | None:
    return None if text is None else Secret(text.get_secret_value())


def _catalog_url(public_url: str | None) -> str | None:
    """The base of the Iceberg operations as clients write it; None if they know better."""
    return None if public_url is None else f"{public_url}{ICEBERG_ROOT}"
