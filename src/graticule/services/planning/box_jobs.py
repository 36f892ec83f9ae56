"""The job that finds out where the rows of a table's files are, if no statistics say so.

After a commit it looks at the added files, and once at those that were there before.  Until then,
and if it finds nothing, such a file is in every answer.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.db import computed_boxes as computed_boxes_db
from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import read, transact
from graticule.domain.job import Job
from graticule.iceberg import metadata
from graticule.planning.index import FileIndex
from graticule.planning.table_places import geometry_columns
from graticule.services.catalog.box_orders import BoxOrders, are_wanted
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.wanted_indexes import Table, WantedIndex
from graticule.services.integrations.credentials import Credentials
from graticule.services.jobs.job_run import JobRun
from graticule.services.planning.box_filling import BoxFilling, Tally, Todo
from graticule.services.planning.computed_boxes import ComputedBoxes
from graticule.services.planning.footer_boxes import PlaceInFiles
from graticule.services.planning.indexing import Indexing
from graticule.services.planning.job_tables import table_of
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]

FORGOTTEN_MIN: Final = 1_000


class BoxJobs:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        documents: Documents,
        credentials: Credentials,
        *,
        indexing: Indexing,
        computed: ComputedBoxes,
        workers: InspectionWorkers,
        orders: BoxOrders,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._documents = documents
        self._credentials = credentials
        self._indexing = indexing
        self._computed = computed
        self._workers = workers
        self._orders = orders

    def run(self, job: Job, run: JobRun) -> Json:
        """Handle a job.  What does not fit into one run is left to the next, which it orders.

        Raises:
            NoSuchFile: a manifest of the snapshot is gone.
            UnreadableFile: one is not what it should be.
        """
        run.go_on()
        table = table_of(self._engine, self._keyring, self._documents, job)
        if table is None:
            return {"files": None}
        current = metadata.current_snapshot(table.document)
        properties = metadata.properties(table.document)
        if current is None or not are_wanted(table.catalog.catalog.properties, properties):
            return {"files": None}
        tally = Tally()
        is_done = True
        for column in self._columns(table):
            if is_done:
                is_done = self._fill(WantedIndex.of(table, current, column=column), run, tally)
        if not is_done:
            self._orders.order(table.record.id, job.organisation_id)
        return {
            "files": tally.files,
            "read": tally.read,
            "unreadable": tally.unreadable,
            "refused": tally.refused,
            "reason": tally.reason,
            "bytes": tally.bytes,
            "is_done": is_done,
        }

    def _columns(self, table: Table) -> Iterator[str | None]:
        """The usual geometry column, which needs no name, and others that were searched by."""
        usual = table.place()
        if usual.geometry is None:
            return
        yield None
        with read(self._engine) as conn:
            searched = spatial_indexes_db.places(conn, table.record.id)
        schema = metadata.current_schema(table.document)
        for column in geometry_columns(table.document, schema):
            key = table.place(column=column).key
            if column != usual.geometry and any(place.startswith(f"{key}-") for place in searched):
                yield column

    def _fill(self, wanted: WantedIndex, run: JobRun, tally: Tally) -> bool:
        run.progress({"phase": "looking for files"})
        table = wanted.table
        index = self._indexing.files_of(wanted).index
        in_files = PlaceInFiles(table.document, wanted.place)
        todo = self._todo(table, index, in_files)
        store = self._credentials.store_for(table.catalog.integration, in_background=True)
        filling = BoxFilling(
            self._engine,
            self._workers,
            store.confined(table.record.places),
            in_files=in_files,
            run=run,
            tally=tally,
            table_id=table.record.id,
        )
        is_done = filling.fill(todo)
        if todo:
            run.progress({"phase": "indexing"})
            self._indexing.take_up(wanted)
            self._forget(table, index, in_files)
        return is_done

    def _todo(self, table: Table, index: FileIndex, in_files: PlaceInFiles) -> list[Todo]:
        """What is to be read, the files that lie anywhere first."""
        sizes = index.columns.numbers["size_bytes"]
        return [
            Todo(index.path(at), int(sizes[at]), known)
            for at, known in self._computed.unread(table.record.id, in_files, index)
        ]

    def _forget(self, table: Table, index: FileIndex, in_files: PlaceInFiles) -> None:
        """Let go of files that the table has no more, once they are the better part."""
        if in_files.field_id is None:
            return
        paths = {index.path(at) for at in range(len(index))}
        with read(self._engine) as conn:
            kept = computed_boxes_db.paths(conn, table.record.id, in_files.field_id)
        gone: Sequence[str] = [path for path in kept if path not in paths]
        if len(gone) < max(FORGOTTEN_MIN, len(paths)):
            return
        transact(self._engine, computed_boxes_db.forget, table.record.id, in_files.field_id, gone)
