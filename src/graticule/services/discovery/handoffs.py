"""Has other machines inspect the files of a scan, and takes up what they answer.

What is to be inspected is written to the catalog's own folder of the bucket, in parts; answers come
back there.  Whoever writes them is not trusted: only here they become inspections, in the same
transactions as those of the server's own.  What never comes, or is refused, the server inspects
itself, so a cluster that dies costs time and nothing else.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import structlog
from sqlalchemy import Connection, Engine

from graticule.access.keyring import Keyring
from graticule.db import file_inspections as inspections_db
from graticule.db import scan_parts as parts_db
from graticule.db.engine import read, transact
from graticule.db.file_inspections import KeptInspection
from graticule.db.scan_parts import HandedPart, PartState, Remains
from graticule.discovery.grouping import StoredObject
from graticule.discovery.handoff import (
    ANSWERS_BYTES_MAX,
    PLACES_MAX,
    answers_from_bytes,
    files_a_part,
    is_named,
    part_from_bytes,
    part_name,
    part_to_bytes,
    parts_of,
)
from graticule.discovery.inspection_checking import checked
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import CatalogError, NoSuchFile
from graticule.domain.job import Job, JobWaits
from graticule.domain.location import Location
from graticule.domain.scan import ScanEngine
from graticule.domain.tenancy import Principal
from graticule.services.discovery.bucket_listing import Listing, Place
from graticule.services.discovery.handed_parts import grants_of, seal_of, staging_of
from graticule.services.integrations.credentials import Credentials
from graticule.services.jobs.job_context import find_catalog
from graticule.services.jobs.job_run import JobRun
from graticule.storage.iam_policy import fits, partition_of
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]
Pending = Callable[[], Iterable[StoredObject]]
"""Files that are to be inspected, by key; once to be counted, and once to be handed over."""
log = structlog.get_logger(__name__)

ELSEWHERE: Final = "elsewhere"
"""Inspected there: a phase of a scan, and what came of it."""
PATIENCE_S: Final = 1800
"""After so long without an answer the server does the rest."""
POLL_S: Final = 1.0
POLL_S_MAX: Final = 15.0
REFUSED_REPORTED_MAX: Final = 20
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Handoff:
    """How far a handoff is.  As JSON it is what another attempt goes on from."""

    phase: Literal["new", "writing", "out", "back"] = "new"
    began_at_ms: int = 0
    heard_at_ms: int = 0
    """When the last answer came."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt at the job works on."""

    run: JobRun
    catalog: OpenCatalog
    store: ObjectStore
    place: Place
    listing: Listing

    @property
    def counts(self) -> Json:
        return {"objects": self.listing.objects, "bytes": self.listing.bytes}

    def shown(self, parts: Sequence[HandedPart], state: Handoff, now_ms: int) -> Json:
        taken = sum(part.files for part in parts if part.state is PartState.TAKEN)
        elapsed_s = max((now_ms - state.began_at_ms) / 1000, 1.0)
        return {
            "phase": ELSEWHERE,
            **self.counts,
            "files": sum(part.files for part in parts),
            "inspected": taken,
            "files_per_s": round(taken / elapsed_s, 1),
            ELSEWHERE: _summary(parts),
        }


class Handoffs:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        credentials: Credentials,
        *,
        now_ms: Callable[[], int],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._credentials = credentials
        self._now_ms = now_ms
        self._patience_s = patience_s

    def check(self, principal: Principal, catalog: OpenCatalog) -> None:
        """Whether files on this catalog's storage can be inspected by others.

        Raises:
            ReadOnlyStorage: there is no place for what is handed over.
            NoNarrowSession: nobody could be let read only what is to be inspected.
        """
        catalog.integration.require_writable()
        part = HandedPart("check", 0, (), PartState.OUT)
        grants = grants_of(staging_of(catalog.catalog, "check"), part)
        self._credentials.vend(principal, catalog.integration, grants)

    def carry_on(self, attempt: Attempt, pending: Callable[[], Pending]) -> Json:
        """Hand over what is pending if the scan is to be, and take up the answers.

        Returns what checkpoints have to keep from here on; empty if nothing is handed over.

        Raises:
            JobWaits: answers are still to come.
        """
        run = attempt.run
        is_wanted = run.job.parameters.get("engine") == ScanEngine.SPARK
        kept = (run.job.checkpoint or {}).get("handoff")
        if kept is None and not is_wanted:
            return {}
        state = Handoff(**(kept or {}))
        if state.phase == "back":
            return {"handoff": kept}
        if state.phase == "out":
            state = self._taken_up(attempt, state)
        elif is_wanted:
            state = self._handed_over(attempt, pending())
        else:
            state = replace(state, phase="back")
        parts = self._parts(run.job.id)
        out = [part for part in parts if part.state is PartState.OUT]
        run.progress(attempt.shown(parts, state, self._now_ms()))
        silent_s = (self._now_ms() - state.heard_at_ms) / 1000
        if out and is_wanted and silent_s < self._patience_s:
            raise JobWaits(min(max(POLL_S, silent_s / 10), POLL_S_MAX))
        if out:
            log.warning("the server goes on by itself", scan_id=run.job.id, parts=len(out))
        over = {"handoff": asdict(replace(state, phase="back"))}
        run.checkpoint({"listing": attempt.listing.to_json(), **over})
        return over

    def summary(self, job: Job) -> Json:
        """What came of the parts, as a piece of progress; empty if nothing was handed over."""
        parts = self._parts(job.id)
        return {ELSEWHERE: _summary(parts)} if parts else {}

    # Out

    def _handed_over(self, attempt: Attempt, pending: Pending) -> Handoff:
        run, scan_id = attempt.run, attempt.run.job.id
        state = Handoff("writing", began_at_ms=self._now_ms(), heard_at_ms=self._now_ms())

        def begin(conn: Connection) -> None:
            # An attempt before this one may have come half way, with other files.
            parts_db.forget(conn, scan_id)

        self._write(attempt, state, begin)
        staging = staging_of(attempt.catalog.catalog, scan_id)
        count = sum(1 for _ in pending())
        parts = parts_of(
            pending(),
            base=attempt.place.location.key_prefix,
            own=[folder.key_prefix for folder in attempt.place.excluded],
            fits=lambda places: _fits(staging, places, attempt.catalog),
            files_max=files_a_part(count),
        )
        for number, part in enumerate(parts):
            data = part_to_bytes(part.files)
            named = HandedPart(part_name(number, data), len(part.files), part.places, PartState.OUT)

            def note(conn: Connection, named: HandedPart = named) -> None:
                run.require_lease(conn)
                parts_db.create(conn, scan_id, named)

            # The row first: what may lie in the bucket is known, and removed at the end.
            transact(self._engine, note)
            attempt.store.put_if_absent(staging.join("pending", named.name).uri, data)
            run.progress({"phase": "handing over", **attempt.counts, "parts": number + 1})
        state = replace(state, phase="out", heard_at_ms=self._now_ms())
        self._write(attempt, state)
        return state

    # Back

    def _taken_up(self, attempt: Attempt, state: Handoff) -> Handoff:
        """Take up what has come since the last time."""
        scan_id = attempt.run.job.id
        parts = {part.name: part for part in self._parts(scan_id)}
        staging = staging_of(attempt.catalog.catalog, scan_id)
        folder = staging.join("inspected")
        for page in attempt.store.list(folder):
            for found in page:
                name = found.key.removeprefix(folder.key_prefix).partition("/")[0]
                part = parts.get(name)
                if part is None or part.state is not PartState.OUT:
                    continue
                attempt.run.go_on()
                reason: str | None = None
                rows: Sequence[KeptInspection] = ()
                uri = f"s3://{folder.bucket}/{found.key}"
                try:
                    rows = self._answers(attempt, staging, part, uri, found.size_bytes)
                except NoSuchFile:
                    continue
                except ValueError as error:
                    reason = str(error)
                    log.warning("answers refused", scan_id=scan_id, part=name, reason=reason)
                state = replace(state, heard_at_ms=self._now_ms())
                self._settle(attempt, state, name, rows, reason)
                taken = PartState.TAKEN if reason is None else PartState.REFUSED
                parts[name] = part._replace(state=taken, reason=reason)
                attempt.run.progress(attempt.shown([*parts.values()], state, self._now_ms()))
        return state

    def _answers(
        self, attempt: Attempt, staging: Location, part: HandedPart, uri: str, size_bytes: int
    ) -> list[KeptInspection]:
        """What the answers to a part say of its files.

        Raises:
            ValueError: they are not to be trusted; the message says why.
        """
        if size_bytes > ANSWERS_BYTES_MAX:
            raise ValueError(f"it has {size_bytes} bytes; at most {ANSWERS_BYTES_MAX} are read")
        asked = attempt.store.get(staging.join("pending", part.name).uri)
        if not is_named(part.name, asked):
            raise ValueError("the list of its files was changed")
        files = part_from_bytes(asked)
        data = attempt.store.get(uri, size_bytes_max=ANSWERS_BYTES_MAX)
        seal = seal_of(self._keyring, attempt.run.job.id)
        answers = answers_from_bytes(data, part=part.name, files=len(files), seal=seal)
        rows = []
        for file, answer in zip(files, answers, strict=True):
            if answer.inspection is not None:
                try:
                    checked(answer.inspection, file.size_bytes)
                except ValueError as error:
                    raise ValueError(f"`{file.key}`: {error}") from error
            elif answer.error is None:
                continue  # left to the server
            rows.append(KeptInspection(file.key, file.size_bytes, file.etag, *answer))
        return rows

    def _settle(
        self,
        attempt: Attempt,
        state: Handoff,
        name: str,
        rows: Sequence[KeptInspection],
        reason: str | None,
    ) -> None:
        taken = PartState.TAKEN if reason is None else PartState.REFUSED

        def settle(conn: Connection) -> None:
            if parts_db.settle(conn, attempt.run.job.id, name, taken, reason=reason):
                inspections_db.keep(conn, attempt.place.integration_id, rows)

        self._write(attempt, state, settle)

    # The end

    def remove(self, catalog: OpenCatalog, scan_id: str) -> None:
        """Delete what lies in the bucket for a scan that ended.

        What the store refuses is left for `remove_remains`.
        """
        with read(self._engine) as conn:
            if not parts_db.of_scan(conn, scan_id):
                return
        try:
            store = self._credentials.store_for(catalog.integration, in_background=True)
            staging = staging_of(catalog.catalog, scan_id)
            for page in store.list(staging):
                store.delete([f"s3://{staging.bucket}/{found.key}" for found in page])
        except CatalogError as error:
            log.warning("files of a scan are not removed", scan_id=scan_id, reason=error.message)
            return
        transact(self._engine, parts_db.mark_removed, scan_id)

    def remove_remains(self, stopping: threading.Event) -> None:
        """Remove what scans left behind that were cancelled or failed.

        A day later once more: a machine that heard of the end too late may have written since.
        """
        before_ms = self._now_ms() - _DAY_MS
        with read(self._engine) as conn:
            remains = parts_db.remains(conn, ended_before_ms=before_ms)
        for each in remains:
            if stopping.is_set():
                return
            self._remove_remains(each, is_last=each.finished_at_ms < before_ms)

    def _remove_remains(self, each: Remains, *, is_last: bool) -> None:
        with read(self._engine) as conn:
            catalog = find_catalog(conn, self._keyring, each.organisation_id, each.catalog_id)
        if catalog is not None:
            self.remove(catalog, each.scan_id)
        if is_last:
            transact(self._engine, parts_db.forget, each.scan_id)

    def _parts(self, scan_id: str) -> list[HandedPart]:
        with read(self._engine) as conn:
            return parts_db.of_scan(conn, scan_id)

    def _write(
        self,
        attempt: Attempt,
        state: Handoff,
        act: Callable[[Connection], None] = lambda _conn: None,
    ) -> None:
        """In one transaction: what `act` does, and where another attempt goes on."""

        def both(conn: Connection) -> None:
            kept = {"listing": attempt.listing.to_json(), "handoff": asdict(state)}
            attempt.run.checkpoint(kept, conn=conn)
            act(conn)

        transact(self._engine, both)


def _summary(parts: Sequence[HandedPart]) -> Json:
    refused = [part for part in parts if part.reason is not None]
    return {
        "parts": len(parts),
        "taken": sum(part.state is PartState.TAKEN for part in parts),
        "refused": [
            {"part": part.name, "reason": part.reason} for part in refused[:REFUSED_REPORTED_MAX]
        ],
    }


def _fits(staging: Location, places: Collection[str], catalog: OpenCatalog) -> bool:
    """Whether a session can be let read these folders for a part, and nothing else."""
    if len(places) > PLACES_MAX:
        return False
    part = HandedPart(part_name(0, b""), 0, tuple(places), PartState.OUT)
    integration = catalog.integration
    partition = partition_of(role_arn=integration.role_arn, region=integration.region)
    grants = grants_of(staging, part)
    return fits(grants, partition=partition, kms_key_arn=integration.kms_key_arn)
