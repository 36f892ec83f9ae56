"""The job that brings an index up to date: after a commit, for a plan, or as a repair."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.db.engine import read
from graticule.domain.job import Job
from graticule.services.catalog.box_orders import BoxOrders
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.index_orders import REPAIRS
from graticule.services.catalog.wanted_indexes import WantedIndex
from graticule.services.jobs.job_context import find_catalog
from graticule.services.jobs.job_run import JobRun
from graticule.services.planning.indexing import Indexing
from graticule.services.planning.job_tables import table_of
from graticule.services.planning.stored_indexes import StoredIndexes

Json = dict[str, Any]


class IndexJobs:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        documents: Documents,
        *,
        indexing: Indexing,
        stored: StoredIndexes,
        box_orders: BoxOrders,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._documents = documents
        self._indexing = indexing
        self._stored = stored
        self._box_orders = box_orders

    def run(self, job: Job, run: JobRun) -> Json:
        """Handle a job.  One that comes too late, its table or snapshot gone, has nothing to do.

        Raises:
            NoSuchFile: a manifest of the snapshot is gone.
            UnreadableFile: one is not what it should be.
        """
        run.go_on()
        doomed = job.parameters.get("remove")
        if doomed is not None:
            return {"removed": self._remove(job, doomed)}
        table = table_of(self._engine, self._keyring, self._documents, job)
        if table is None:
            return {"files": None}
        if job.parameters.get("snapshot_id") is None:
            index = self._indexing.keep_in_step(table, go_on=run.go_on)
        else:
            wanted = WantedIndex.from_parameters(table, dict(job.parameters))
            if wanted is None:
                return {"files": None}
            index = self._indexing.store(wanted, go_on=run.go_on).index
        if index is None:
            return {"files": None}
        if self._indexing.lacks_boxes(table, table.place(), index):
            self._box_orders.order(table.record.id, job.organisation_id)
        result = {"files": len(index), "unknown": len(index.unknown)}
        if REPAIRS in job.parameters:
            result["repaired"] = job.parameters[REPAIRS]
        return result

    def _remove(self, job: Job, locations: Sequence[str]) -> int:
        """Remove the index files of a table that is there no more."""
        with read(self._engine) as conn:
            catalog_id = str(job.parameters["catalog_id"])
            catalog = find_catalog(conn, self._keyring, job.organisation_id, catalog_id)
        if catalog is None or catalog.integration.read_only:
            return 0
        self._stored.remove_files(catalog, locations)
        return len(locations)
