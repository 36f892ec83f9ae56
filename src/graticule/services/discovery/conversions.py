"""Conversions: files in formats that are no tables where they lie, made into tables of the catalog.

A job fetches them, has them written as GeoParquet in Hilbert order at the new table's own location,
and registers that through the same commit as everything else.  What lay there stays as it was.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import jobs as jobs_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.discovery.formats import (
    CONVERTIBLE,
    SHAPEFILE_COMPANIONS,
    convertible_format,
)
from graticule.discovery.grouping import StoredObject, group
from graticule.discovery.names import names_of_layers
from graticule.discovery.proposing import propose
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    CommitStateUnknown,
    InvalidLocation,
    InvalidRequest,
    NoSuchFile,
    UnreadableFile,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.job import Job, JobKind, JobStopped
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.services.catalog import table_locations
from graticule.services.catalog.namespaces import Namespaces
from graticule.services.discovery.bucket_survey import Survey
from graticule.services.discovery.footers import reader_of
from graticule.services.discovery.registration import Registration
from graticule.services.events import audit_trail
from graticule.services.integrations.credentials import Credentials
from graticule.services.jobs.job_context import catalog_of, on_behalf_of
from graticule.services.jobs.job_run import JobRun
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.listings import ObjectSummary
from graticule.storage.s3 import LIST_PAGE_KEYS, ObjectStore
from graticule.storage.vector_files import ConvertedLayer, convert

Json = dict[str, Any]

FILES_MAX: Final = 1_000
BYTES_MAX: Final = 4 * 1024**3
"""Of one conversion's files: they are fetched to this machine's temporary folder."""
ROOM_FACTOR: Final = 3
"""How much of it may be needed: the files, what they unpack to, and what is written."""
_SHAPE: Final = ".shp"
_CHUNK_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A conversion as its job remembers it."""

    source: Location
    format: str
    identifier: TableIdentifier

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "_Wanted":
        return cls(
            Location.parse(parameters["source"]),
            parameters["format"],
            TableIdentifier(Namespace(tuple(parameters["namespace"])), parameters["name"]),
        )


class Conversions:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        credentials: Credentials,
        namespaces: Namespaces,
        *,
        registration: Registration,
        workers: InspectionWorkers,
        now_ms: Callable[[], int],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._credentials = credentials
        self._namespaces = namespaces
        self._registration = registration
        self._workers = workers
        self._now_ms = now_ms
        self._wake = wake

    def start(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        *,
        source: str,
        identifier: TableIdentifier,
        format_: str | None = None,
    ) -> Job:
        """Order the conversion of a file, or of all files of one format in a folder.

        Raises:
            InvalidLocation: the source lies outside of the integration.
            InvalidRequest: it is not known for a format that can be converted.
            AlreadyExists: there is a table of that name.
            ReadOnlyStorage: nothing may be written there.
        """
        require(principal, Action.SCAN_CATALOG)
        location = self._checked(catalog, source)
        require(principal, Action.WRITE_CATALOG)
        catalog.integration.require_writable()
        known = format_ or convertible_format(location.name)
        if known not in set(CONVERTIBLE.values()):
            formats = ", ".join(dict.fromkeys(CONVERTIBLE.values()))
            raise InvalidRequest(
                f"the format of `{source}` is not known; name it as `format`: one of {formats}"
            )
        now_ms = self._now_ms()
        job = Job(
            id=str(uuid7()),
            organisation_id=catalog.catalog.organisation_id,
            kind=JobKind.CONVERT,
            subject_id=catalog.catalog.id,
            key=f"conversion to `{identifier}` in {catalog.catalog.id}",
            parameters={
                "source": location.uri,
                "format": known,
                "namespace": list(identifier.namespace.levels),
                "name": identifier.name,
                "member_id": principal.member_id,
            },
            requested_by=principal.name,
            created_at_ms=now_ms,
            run_after_ms=now_ms,
        )
        subject = Subject(SubjectKind.JOB, job.id, job.kind.value, catalog.catalog.id)
        with write(self._engine) as conn:
            if tables_db.load(conn, catalog.catalog.id, identifier) is not None:
                raise AlreadyExists(f"Table already exists: {identifier}")
            ordered = jobs_db.enqueue(conn, job)
            if ordered.id == job.id:
                audit_trail.record(
                    conn,
                    principal,
                    EventType.CONVERSION_STARTED,
                    subject,
                    now_ms=now_ms,
                    details={"source": location.uri, "table": str(identifier)},
                )
        self._wake()
        return ordered

    def run(self, job: Job, run: JobRun) -> Json:
        """Carry a conversion out: the handler of its job.

        Cut off anywhere and run again it starts over, at the same locations: what an earlier
        attempt left there without a table is removed first.

        Raises:
            NoSuchCatalog: it was deleted meanwhile.
            NoSuchFile: there is nothing to convert.
            UnreadableFile: a file is broken, or not what it is taken for.
            Unavailable: GDAL is not installed.
        """
        catalog = catalog_of(self._engine, self._keyring, job)
        wanted, principal = _Wanted.of(job.parameters), on_behalf_of(job)
        store = self._credentials.store_for(catalog.integration, in_background=True)
        with TemporaryDirectory(prefix="graticule-conversion-") as folder:
            inputs, into = Path(folder, "in"), Path(folder, "out")
            inputs.mkdir()
            into.mkdir()
            files = list(self._fetched(store, wanted, inputs, run))
            layers = convert(files, wanted.format, into, progress=run.progress)
            self._namespaces.ensure(principal, catalog, wanted.identifier.namespace)
            tables = []
            names = names_of_layers(wanted.identifier.name, [layer.name for layer in layers])
            for layer, name in zip(layers, names, strict=True):
                identifier = replace(wanted.identifier, name=name)
                at = table_locations.generate(catalog, str(uuid5(UUID(job.id), layer.name)))
                if not self._is_made(catalog, identifier, at):
                    with self._cleared_if_it_fails(store, at):
                        survey = self._uploaded(store, at, layer, run)
                        [proposal] = survey.proposals.tables
                        self._registration.register(
                            principal, catalog, survey, proposal, identifier, at=at
                        )
                tables.append({"table": str(identifier), "rows": layer.rows})
        return {"tables": tables}

    def _checked(self, catalog: OpenCatalog, source: str) -> Location:
        location = table_locations.check_in_storage(catalog, source)
        with read(self._engine) as conn:
            managed = catalogs_db.locations_on(conn, catalog.integration.id)
        if any(location.is_within(own) for own in managed):
            raise InvalidLocation(f"`{source}` belongs to the tables of a catalog")
        return location

    def _fetched(
        self, store: ObjectStore, wanted: _Wanted, folder: Path, run: JobRun
    ) -> Iterator[Path]:
        """The files on this machine, those that GDAL is to open; companions lie beside them."""
        objects = _objects_of(store, wanted)
        total = sum(stored.size_bytes for stored in objects)
        if total > BYTES_MAX:
            raise InvalidRequest(
                f"`{wanted.source}` is {total} bytes long; "
                f"at most {BYTES_MAX} are converted at once"
            )
        if shutil.disk_usage(folder).free < ROOM_FACTOR * total:
            raise InvalidRequest(
                f"there is no room on this machine to convert {total} bytes: "
                f"free {ROOM_FACTOR * total} bytes in {folder.parent.parent}"
            )
        fetched = 0
        for number, stored in enumerate(objects):
            name = stored.key.rpartition("/")[2]
            # Companions are found by name; the names of others may come twice.
            path = folder / (name if wanted.format == "Shapefile" else f"{number:05d}-{name}")
            uri = f"s3://{store.root.bucket}/{stored.key}"
            with store.open(uri, etag=stored.etag or None) as stream, path.open("wb") as file:
                for chunk in stream.chunks(_CHUNK_BYTES):
                    file.write(chunk)
                    fetched += len(chunk)
                    run.progress({"phase": "fetching", "bytes": fetched, "bytes_total": total})
            if _is_of(wanted.format, stored.key):
                yield path

    def _is_made(
        self, catalog: OpenCatalog, identifier: TableIdentifier, location: Location
    ) -> bool:
        """True if an earlier attempt made the table.

        Raises:
            AlreadyExists: another table has its name.
            InvalidLocation: it was made and renamed since, so its location is not ours to clear.
        """
        with read(self._engine) as conn:
            record = tables_db.load(conn, catalog.catalog.id, identifier)
            if record is None:
                tables_db.refuse_overlap(conn, location, but_not="")
        if record is not None and record.location != location:
            raise AlreadyExists(f"Table already exists: {identifier}")
        return record is not None

    @contextmanager
    def _cleared_if_it_fails(self, store: ObjectStore, location: Location) -> Iterator[None]:
        try:
            yield
        except (CommitStateUnknown, JobStopped):
            raise  # there may be a table, or another attempt clears it
        except Exception:
            with suppress(CatalogError):
                _clear(store, location)
            raise

    def _uploaded(
        self, store: ObjectStore, location: Location, layer: ConvertedLayer, run: JobRun
    ) -> Survey:
        """The layer's files at the table's location, inspected like any that are found."""
        _clear(store, location)
        data = location.join("data")
        for number, path in enumerate(layer.files):
            run.progress({"phase": "uploading", "files": number, "files_total": len(layer.files)})
            store.put_if_absent(data.join(path.name).uri, path.read_bytes())
        stored = [
            StoredObject(row.key, row.size_bytes, row.etag)
            for rows in store.list(data)
            for row in rows
        ]
        inspections = {
            one.key: self._workers.inspect(reader_of(store, one), one.size_bytes) for one in stored
        }
        run.progress({"phase": "registering", "files": len(stored)})
        proposals = propose(group(stored, base=data.key_prefix), inspections)
        if len(proposals.tables) != 1:
            skipped = "; ".join(skip.reason for skip in proposals.skipped) or "it has no columns"
            raise UnreadableFile(f"the layer makes no table: {skipped}")
        return Survey(
            location=data,
            proposals=proposals,
            inspections=inspections,
            objects_count=len(stored),
            bytes_total=sum(one.size_bytes for one in stored),
        )


def _clear(store: ObjectStore, location: Location) -> None:
    for rows in store.list(location):
        store.delete([f"s3://{location.bucket}/{row.key}" for row in rows])


def _objects_of(store: ObjectStore, wanted: _Wanted) -> list[StoredObject]:
    """What is to be fetched: the source, or what of its format lies in it, and companions."""
    found = []
    for row in _listed(store, wanted):
        is_companion = wanted.format == "Shapefile" and row.key.lower().endswith(
            SHAPEFILE_COMPANIONS
        )
        if row.size_bytes and (is_companion or _is_of(wanted.format, row.key)):
            found.append(StoredObject(row.key, row.size_bytes, row.etag))
        if len(found) > FILES_MAX:
            raise InvalidRequest(
                f"`{wanted.source}` holds more than {FILES_MAX} files; convert fewer"
            )
    if not any(_is_of(wanted.format, one.key) for one in found):
        raise NoSuchFile(f"there is no {wanted.format} file at `{wanted.source}`")
    return found


def _listed(store: ObjectStore, wanted: _Wanted) -> Iterator[ObjectSummary]:
    """The source if it is a file, with what differs from it by its suffix; else what lies in it."""
    source = wanted.source
    if not _is_of(wanted.format, source.key):
        for rows in store.list(source):
            yield from rows
        return
    is_shape = source.key.lower().endswith(_SHAPE)
    # With the dot: not what belongs to `roads2.shp` beside `roads.shp`.
    stem = source.key[: 1 - len(_SHAPE)] if is_shape else source.key
    for row in store.list_page(stem, keys_max=LIST_PAGE_KEYS).files:
        if row.key == source.key or (is_shape and not _is_of(wanted.format, row.key)):
            yield row


def _is_of(format_: str, key: str) -> bool:
    return convertible_format(key.rpartition("/")[2]) == format_
