"""What is built in this room: indexes of snapshots, and what is planned and searched with them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.services.catalog.room import CatalogRoom
from graticule.services.integrations.credentials import Credentials
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
from graticule.storage.index_cache import IndexCache
from graticule.storage.inspection_workers import InspectionWorkers


@dataclass(frozen=True, kw_only=True)
class PlanningRoom:
    indexing: Indexing
    index_jobs: IndexJobs
    box_jobs: BoxJobs
    index_statuses: IndexStatuses
    placed_snapshots: PlacedSnapshots
    scans: Scans
    file_search: FileSearch
    layouts: Layouts


def open_planning(
    engine: Engine,
    keyring: Keyring,
    catalog: CatalogRoom,
    credentials: Credentials,
    workers: InspectionWorkers,
    *,
    now_ms: Callable[[], int],
    indexes: Path,
) -> PlanningRoom:
    """`indexes` is the folder where indexes are kept for all processes of the machine."""
    stored = StoredIndexes(engine, credentials, IndexCache(indexes), now_ms=now_ms)
    computed = ComputedBoxes(engine)
    indexing = Indexing(
        stored,
        IndexRepairs(engine, now_ms=now_ms),
        computed=computed,
        orders=catalog.box_orders,
        credentials=credentials,
        workers=workers,
    )
    placed, areas = PlacedSnapshots(catalog.tables, indexing), AreaMatches()
    return PlanningRoom(
        indexing=indexing,
        index_jobs=IndexJobs(
            engine,
            keyring,
            catalog.documents,
            indexing=indexing,
            stored=stored,
            box_orders=catalog.box_orders,
        ),
        box_jobs=BoxJobs(
            engine,
            keyring,
            catalog.documents,
            credentials,
            indexing=indexing,
            computed=computed,
            workers=workers,
            orders=catalog.box_orders,
        ),
        index_statuses=IndexStatuses(engine, catalog.tables),
        placed_snapshots=placed,
        scans=Scans(engine, catalog.tables, indexing, now_ms=now_ms),
        file_search=FileSearch(placed, areas, computed, credentials, workers),
        layouts=Layouts(placed, areas),
    )
