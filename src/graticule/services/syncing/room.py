"""What is built in this room: tables kept in step with their files, and steps taken back."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from graticule.services.catalog.room import CatalogRoom
from graticule.services.integrations.credentials import Credentials
from graticule.services.syncing.event_polling import EventPolling
from graticule.services.syncing.event_queues import EventQueues
from graticule.services.syncing.snapshot_commits import SnapshotCommits
from graticule.services.syncing.sync_overrides import SyncOverrides
from graticule.services.syncing.sync_runs import SyncRuns
from graticule.services.syncing.sync_schedule import SyncSchedule
from graticule.services.syncing.syncing import Syncing
from graticule.services.syncing.table_sync import TableSyncs
from graticule.services.syncing.undoing import Undoing
from graticule.storage.inspection_workers import InspectionWorkers


@dataclass(frozen=True, kw_only=True)
class SyncingRoom:
    syncing: Syncing
    sync_runs: SyncRuns
    sync_schedule: SyncSchedule
    sync_overrides: SyncOverrides
    event_queues: EventQueues
    event_polling: EventPolling
    undoing: Undoing


def open_syncing(
    engine: Engine,
    catalog: CatalogRoom,
    credentials: Credentials,
    workers: InspectionWorkers,
    *,
    now_ms: Callable[[], int],
    wake: Callable[[], None],
) -> SyncingRoom:
    """`wake` has jobs looked for."""
    commits = SnapshotCommits(engine, catalog.commits, catalog.pending_snapshots)
    tables = TableSyncs(engine, catalog.documents, credentials, commits, workers, now_ms=now_ms)
    syncing = Syncing(engine, now_ms=now_ms)
    schedule = SyncSchedule(engine, catalog.catalogs, syncing, now_ms=now_ms)
    return SyncingRoom(
        syncing=syncing,
        sync_runs=SyncRuns(engine, catalog.catalogs, tables, now_ms=now_ms),
        sync_schedule=schedule,
        sync_overrides=SyncOverrides(engine, now_ms=now_ms),
        event_queues=EventQueues(engine, now_ms=now_ms),
        event_polling=EventPolling(engine, credentials, schedule, now_ms=now_ms, wake=wake),
        undoing=Undoing(
            engine,
            catalog.documents,
            credentials,
            commits,
            removal=catalog.table_removal,
            syncing=syncing,
            now_ms=now_ms,
        ),
    )
