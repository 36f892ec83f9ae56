"""What is known of a table's stored indexes: which there are, and whether they can be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Engine

from graticule.db import jobs as jobs_db
from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import read
from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.job import JobKind
from graticule.domain.stored_index import StoredIndex
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.services.catalog.tables import Tables
from graticule.services.catalog.wanted_indexes import Table, WantedIndex

JOBS_LOOKED_AT_MAX: Final = 20


class IndexState(StrEnum):
    """Of the index of the current snapshot, by the table's usual geometry column."""

    READY = "ready"
    MISSING = "missing"
    """Built by a job after a commit, or by the first who needs it."""
    DAMAGED = "damaged"
    """Not used any more; a job builds it anew."""
    NOT_NEEDED = "not_needed"
    """The table has no snapshot, or neither geometries nor positions."""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """`job_id` is of a job that is about to build one of them, or does."""

    snapshot_id: int | None
    state: IndexState
    job_id: str | None
    stored: Sequence[StoredIndex]


class IndexStatuses:
    def __init__(self, engine: Engine, tables: Tables) -> None:
        self._engine = engine
        self._tables = tables

    def of(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> IndexStatus:
        """The indexes of a table.

        Raises:
            NoSuchTable: the table is not there.
        """
        table = Table(catalog, *self._tables.open(principal, catalog, identifier))
        snapshot = metadata.current_snapshot(table.document)
        wanted = None if snapshot is None else WantedIndex.of(table, snapshot)
        with read(self._engine) as conn:
            stored = spatial_indexes_db.of_table(conn, table.record.id)
            jobs = jobs_db.page(
                conn,
                principal.organisation_id,
                kind=JobKind.INDEX,
                subject_id=table.record.id,
                limit=JOBS_LOOKED_AT_MAX,
            )
        return IndexStatus(
            snapshot_id=None if wanted is None else wanted.key.snapshot_id,
            state=_state(wanted, stored),
            job_id=next((job.id for job in jobs if job.state.is_active), None),
            stored=stored,
        )


def _state(wanted: WantedIndex | None, stored: Sequence[StoredIndex]) -> IndexState:
    if wanted is None or not wanted.is_kept:
        return IndexState.NOT_NEEDED
    key = wanted.key
    for one in stored:
        if (one.snapshot_id, one.place) == (key.snapshot_id, key.place):
            return IndexState.READY if one.damage is None else IndexState.DAMAGED
    return IndexState.MISSING
