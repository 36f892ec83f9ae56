"""Builds the object graph once: for the server, for the demo and for tests alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from graticule.api.page_tokens import PageTokens
from graticule.db.engine import create_engine
from graticule.db.upgrade import check_current, upgrade
from graticule.services.catalogs import Catalogs
from graticule.services.commits import Commits
from graticule.services.credentials import Credentials
from graticule.services.discovery import Discovery
from graticule.services.documents import Documents
from graticule.services.indexing import Indexing
from graticule.services.integrations import Integrations
from graticule.services.namespaces import Namespaces
from graticule.services.organisations import Organisations
from graticule.services.registration import Registration
from graticule.services.scans import Scans
from graticule.services.tables import Tables
from graticule.settings import Settings
from graticule.storage.identity import ServerIdentity
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.metadata_files import MetadataFiles
from graticule.storage.verification import verify

PAGE_TOKEN_PURPOSE: Final = "page tokens"
_SPARE_CONNECTIONS: Final = 4


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may call."""

    engine: Engine
    organisations: Organisations
    integrations: Integrations
    catalogs: Catalogs
    credentials: Credentials
    namespaces: Namespaces
    tables: Tables
    commits: Commits
    indexing: Indexing
    scans: Scans
    discovery: Discovery
    page_tokens: PageTokens
    workers: InspectionWorkers

    def check_ready(self) -> None:
        """Raises Unavailable unless the database answers and has this version's schema."""
        check_current(self.engine)

    def close(self) -> None:
        self.discovery.close()
        self.workers.close()
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
    identity = ServerIdentity(settings.sts_keys)
    credentials = Credentials(
        identity=identity, now_ms=now_ms, duration_s=settings.credential_lifetime_s
    )
    files = MetadataFiles()
    documents = Documents(engine, files, credentials)
    tables = Tables(engine, files, documents, credentials, now_ms=now_ms)
    commits = Commits(engine, files, documents, credentials, now_ms=now_ms)
    namespaces = Namespaces(engine, now_ms=now_ms)
    workers = InspectionWorkers(settings.inspection_processes)
    indexing = Indexing(engine, credentials, workers, now_ms=now_ms)
    return Services(
        engine=engine,
        organisations=Organisations(
            engine, keyring, now_ms=now_ms, token_lifetime_s=settings.token_lifetime_s
        ),
        integrations=Integrations(
            engine,
            keyring,
            now_ms=now_ms,
            verify=lambda integration: verify(integration, identity),
            invalidate=credentials.invalidate,
            principal_arn=settings.principal_arn,
            allow_private_endpoints=settings.allow_private_endpoints,
        ),
        catalogs=Catalogs(engine, keyring, now_ms=now_ms),
        credentials=credentials,
        namespaces=namespaces,
        tables=tables,
        commits=commits,
        indexing=indexing,
        scans=Scans(tables, indexing),
        discovery=Discovery(
            engine,
            credentials,
            namespaces,
            Registration(engine, credentials, commits, workers, now_ms=now_ms),
            workers,
            now_ms=now_ms,
        ),
        workers=workers,
        page_tokens=PageTokens(keyring.derive(PAGE_TOKEN_PURPOSE)),
    )
