"""Reads where the rows of data files are, of which no statistics tell, and writes that down.

A few files side by side, the large ones slice by slice, each written down as it comes: whoever is
cut off goes on with the rest.  Nothing but footers and the geometry column is read.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from graticule.db import computed_boxes as computed_boxes_db
from graticule.db.computed_boxes import ReadFile
from graticule.db.engine import transact
from graticule.discovery.inspection import FileInspection
from graticule.discovery.inspection_codec import to_bytes
from graticule.domain.errors import NoSuchFile, StorageRefused, UnreadableFile
from graticule.services.jobs.job_run import JobRun
from graticule.services.planning.computed_boxes import decoded
from graticule.services.planning.footer_boxes import PlaceInFiles
from graticule.spatial.bounding_box import BoxStatus
from graticule.storage.inspection_workers import InspectionWorkers, WorkerEnded
from graticule.storage.parquet import TAIL_BYTES, ReadRange
from graticule.storage.s3 import ObjectStore

FILES_AT_ONCE: Final = 4
SLICE_BYTES: Final = 64 * 1024 * 1024
"""Geometries, uncompressed, that are read of a file before others have their turn."""
RUN_BYTES_MAX: Final = 2 * 1024 * 1024 * 1024
RUN_FILES_MAX: Final = 20_000
"""Then other jobs have their turn."""
NOT_BOUNDED: Final = "its geometries cannot be bounded"
KEPT_AT_ONCE: Final = 64
KEPT_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Todo:
    """A file to be read, and what of it is known already."""

    path: str
    size_bytes: int
    known: ReadFile | None = None


@dataclass(slots=True)
class Tally:
    """What a run has done."""

    files: int = 0
    read: int = 0
    unreadable: int = 0
    refused: int = 0
    """Not to be had from the store; tried again by the next run."""
    bytes: int = 0
    reason: str | None = None
    """Why the last of those could not be read."""

    def add(self, outcome: "_Outcome") -> None:
        self.bytes += outcome.spent_bytes
        row = outcome.row
        if row is not None and row.next_group is not None:
            return
        self.read += 1
        if outcome.failure is not None:
            self.reason = outcome.failure
            self.unreadable += row is not None
            self.refused += row is None

    @property
    def progress(self) -> dict[str, object]:
        counts = {"files": self.files, "read": self.read, "bytes": self.bytes}
        return {"phase": "reading", **counts}

    @property
    def is_spent(self) -> bool:
        return self.bytes >= RUN_BYTES_MAX or self.read >= RUN_FILES_MAX


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a look at a file came to; no row if the store refused it."""

    file: Todo
    row: ReadFile | None
    spent_bytes: int = 0
    failure: str | None = None


class BoxFilling:
    """Of the geometry column of one table, in one run of a job."""

    def __init__(
        self,
        engine: Engine,
        workers: InspectionWorkers,
        store: ObjectStore,
        *,
        in_files: PlaceInFiles,
        run: JobRun,
        tally: Tally,
        table_id: str,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._store = store
        self._in_files = in_files
        self._run = run
        self._tally = tally
        self._table_id = table_id

    def fill(self, files: Sequence[Todo]) -> bool:
        """Read files until all are known, or the run has done enough: then False.

        Raises:
            JobStopped: do not go on.  What was read until then is kept.
            StorageUnavailable: the store fell silent; the same.
        """
        todo = deque(files)
        self._tally.files += len(todo)
        found: dict[str, ReadFile] = {}
        kept_at = time.monotonic()
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="boxes") as pool:
            at_work: set[Future[_Outcome]] = set()
            try:
                while at_work or (todo and not self._tally.is_spent):
                    while todo and len(at_work) < FILES_AT_ONCE and not self._tally.is_spent:
                        at_work.add(pool.submit(self._read, todo.popleft()))
                    done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                    for outcome in (one.result() for one in done):
                        self._tally.add(outcome)
                        row = outcome.row
                        if row is not None:
                            found[row.path] = row
                            if row.next_group is not None:
                                todo.appendleft(replace(outcome.file, known=row))
                    if len(found) >= KEPT_AT_ONCE or time.monotonic() - kept_at > KEPT_EVERY_S:
                        self._keep(list(found.values()))
                        found, kept_at = {}, time.monotonic()
                    self._run.progress(self._tally.progress)
            finally:
                pool.shutdown(cancel_futures=True)
                self._keep(list(found.values()))
        return not todo

    def _keep(self, found: Sequence[ReadFile]) -> None:
        """As long as the job is ours; what is lost with it is read again."""
        if not found:
            return

        def keep(conn: Connection) -> None:
            self._run.require_lease(conn)
            field_id = self._in_files.field_id
            if field_id is not None:
                computed_boxes_db.keep(conn, self._table_id, field_id, found)

        try:
            transact(self._engine, keep)
        except IntegrityError as error:
            raise NoSuchFile("the table was dropped") from error

    def _read(self, file: Todo) -> _Outcome:
        """The next slice of a file."""
        read = _with_tail(self._reader(file.path), file.size_bytes)
        row = ReadFile(file.path, file.size_bytes, None)
        try:
            try:
                return self._look(read, file, row)
            except WorkerEnded:  # perhaps by chance: somebody ended it, or memory was short
                return self._look(read, file, row)
        except UnreadableFile as error:
            known = None if file.known is None else file.known.inspection
            row = row._replace(inspection=known, error=error.message)
            return _Outcome(file, row, failure=error.message)
        except (NoSuchFile, StorageRefused) as error:
            return _Outcome(file, None, failure=error.message)

    def _look(self, read: ReadRange, file: Todo, row: ReadFile) -> _Outcome:
        known = None if file.known is None else decoded(file.known)
        inspection = known or self._workers.inspect(read, file.size_bytes)
        wanted = self._in_files.wanted(inspection)
        if wanted is None:
            raise UnreadableFile("it lacks the table's geometry column")
        boxes = None if known else self._in_files.boxes_of(inspection)
        if boxes is not None and all(
            group.box.status is not BoxStatus.UNKNOWN for group in boxes.row_groups
        ):
            trimmed = _trimmed(inspection, wanted.name)
            return _Outcome(file, row._replace(inspection=to_bytes(trimmed)))
        first = 0 if known is None or file.known is None else file.known.next_group or 0
        part = self._workers.compute(
            read,
            file.size_bytes,
            inspection,
            replace(wanted, first_group=first),
            budget_bytes=SLICE_BYTES,
        )
        trimmed = _trimmed(part.inspection, wanted.name)
        column = trimmed.geometry[wanted.name]
        is_whole = part.next_group is None
        is_unknown = is_whole and column.file_box.status is BoxStatus.UNKNOWN
        reason = ("; ".join(column.notes) or NOT_BOUNDED) if is_unknown else None
        row = row._replace(inspection=to_bytes(trimmed), error=reason, next_group=part.next_group)
        return _Outcome(file, row, part.spent_bytes, reason)

    def _reader(self, path: str) -> ReadRange:
        def read(offset: int, length: int) -> bytes:
            self._run.go_on()
            return self._store.get(path, range=(offset, length))

        return read


def _trimmed(inspection: FileInspection, name: str) -> FileInspection:
    """What boxes of one column follow from, and no more: there may be millions of these."""
    return replace(
        inspection,
        split_offsets=(),
        fields=tuple({"name": field["name"]} for field in inspection.fields),
        metrics={},
        geometry={name: inspection.geometry[name]},
        primary_geometry=name,
        positions=None,
        notes=(),
    )


def _with_tail(read: ReadRange, size_bytes: int) -> ReadRange:
    """Fetches the end of the file once: footers are looked into again with every slice."""
    tail: list[bytes] = []
    begins = max(size_bytes - TAIL_BYTES, 0)

    def read_kept(offset: int, length: int) -> bytes:
        if offset < begins:
            return read(offset, length)
        if not tail:
            tail.append(read(begins, size_bytes - begins))
        return tail[0][offset - begins : offset - begins + length]

    return read_kept
