"""What is built in this room: namespaces, tables, views, functions, and commits to them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.access.stage_tokens import StageTokens
from graticule.services.catalog.box_orders import BoxOrders
from graticule.services.catalog.catalogs import Catalogs
from graticule.services.catalog.commits import Commits
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.functions import Functions
from graticule.services.catalog.idempotency import Idempotency
from graticule.services.catalog.metrics import Metrics
from graticule.services.catalog.namespaces import Namespaces
from graticule.services.catalog.pending_snapshots import PendingSnapshots
from graticule.services.catalog.planning_modes import PlanningModes
from graticule.services.catalog.signing import Signing
from graticule.services.catalog.table_handover import TableHandover
from graticule.services.catalog.table_removal import TableRemoval
from graticule.services.catalog.table_storage import TableStorage
from graticule.services.catalog.tables import Tables
from graticule.services.catalog.turns import Turns
from graticule.services.catalog.view_commits import ViewCommits
from graticule.services.catalog.views import Views
from graticule.services.events.audit import Audit
from graticule.services.integrations.credentials import Credentials
from graticule.storage.metadata_files import MetadataFiles

STAGE_TOKEN_PURPOSE: Final = "tokens of staged tables"


@dataclass(frozen=True, kw_only=True)
class CatalogRoom:
    catalogs: Catalogs
    namespaces: Namespaces
    metadata_files: MetadataFiles
    documents: Documents
    tables: Tables
    table_removal: TableRemoval
    table_handover: TableHandover
    signing: Signing
    turns: Turns
    commits: Commits
    pending_snapshots: PendingSnapshots
    views: Views
    view_commits: ViewCommits
    functions: Functions
    box_orders: BoxOrders
    planning_modes: PlanningModes
    metrics: Metrics
    idempotency: Idempotency


def open_catalog(
    engine: Engine,
    keyring: Keyring,
    catalogs: Catalogs,
    credentials: Credentials,
    audit: Audit,
    *,
    now_ms: Callable[[], int],
    turns: Path,
    public_url: str | None,
    key_lifetime_s: int,
) -> CatalogRoom:
    """`public_url` is the base of the Iceberg operations as clients write it."""
    files = MetadataFiles()
    documents = Documents(engine, files, credentials)
    stage_tokens = StageTokens(keyring.derive(STAGE_TOKEN_PURPOSE))
    storage = TableStorage(credentials, stage_tokens, audit, now_ms=now_ms, public_url=public_url)
    tables = Tables(engine, files, documents, credentials, storage, now_ms=now_ms)
    in_turn = Turns(turns)
    commits = Commits(engine, files, documents, credentials, in_turn, now_ms=now_ms)
    view_commits = ViewCommits(engine, files, documents, credentials, in_turn, now_ms=now_ms)
    return CatalogRoom(
        catalogs=catalogs,
        namespaces=Namespaces(engine, now_ms=now_ms),
        metadata_files=files,
        documents=documents,
        tables=tables,
        table_removal=TableRemoval(engine, documents, now_ms=now_ms),
        table_handover=TableHandover(engine, documents, storage, now_ms=now_ms),
        signing=Signing(tables, credentials, stage_tokens, audit, now_ms=now_ms),
        turns=in_turn,
        commits=commits,
        pending_snapshots=PendingSnapshots(engine, keyring, credentials, commits, now_ms=now_ms),
        views=Views(engine, documents, view_commits, now_ms=now_ms),
        view_commits=view_commits,
        functions=Functions(engine, now_ms=now_ms),
        box_orders=BoxOrders(engine, now_ms=now_ms),
        planning_modes=PlanningModes(),
        metrics=Metrics(engine, now_ms=now_ms),
        idempotency=Idempotency(engine, now_ms=now_ms, lifetime_s=key_lifetime_s),
    )
