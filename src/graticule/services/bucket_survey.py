"""One look through a folder of a bucket: list, group, inspect, propose.  Changes nothing."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from graticule.discovery.grouping import Grouping, Skipped, StoredObject, group
from graticule.discovery.ignoring import NOTHING_IGNORED, Ignored
from graticule.discovery.inspection import FileInspection
from graticule.discovery.proposal import Proposal, Proposals
from graticule.discovery.proposing import propose
from graticule.domain.errors import (
    CatalogError,
    InvalidLocation,
    InvalidRequest,
    StorageUnavailable,
    Unavailable,
    UnreadableFile,
)
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.services.closer_looks import look_into_geometries, read_existing
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import ReadRange
from graticule.storage.s3 import ObjectStore
from graticule.storage.verification.probe import PROBE_FOLDER

Json = dict[str, Any]
Progress = Callable[[Json], None]

OBJECTS_PER_SCAN_MAX: Final = 1_000_000
FETCHES_AT_ONCE: Final = 16
PROGRESS_EVERY_FILES: Final = 50


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found, with the inspections that registration goes on from."""

    location: Location
    proposals: Proposals
    inspections: Mapping[str, FileInspection | str]
    objects_count: int
    bytes_total: int


def look(
    store: ObjectStore,
    location: Location,
    workers: InspectionWorkers,
    *,
    excluded: Sequence[Location],
    ignored: Ignored = NOTHING_IGNORED,
    progress: Progress = lambda _: None,
) -> Survey:
    """Look through everything below `location` but the `excluded` folders.

    `progress` is called often and may raise to stop.

    Raises:
        StorageRefused: the store does not let us list.
        InvalidRequest: more objects than one scan takes.
    """
    objects, unsafe = _list(store, location, excluded, progress)
    grouping = group(objects, base=location.key_prefix, ignored=ignored)
    grouping = replace(
        grouping,
        skipped=(*grouping.skipped, *unsafe),
        skipped_count=grouping.skipped_count + len(unsafe),
    )
    inspections = _inspect(store, workers, grouping, len(objects), progress)
    inspections |= look_into_geometries(store, workers, grouping, inspections)
    proposals = propose(
        grouping,
        inspections,
        existing=read_existing(store, grouping.existing),
        root_name=location.name,
    )
    return Survey(
        location=location,
        proposals=proposals,
        inspections=inspections,
        objects_count=len(objects),
        bytes_total=sum(stored.size_bytes for stored in objects),
    )


def _list(
    store: ObjectStore, location: Location, excluded: Sequence[Location], progress: Progress
) -> tuple[list[StoredObject], list[Skipped]]:
    own = tuple(f"{folder.key_prefix}" for folder in excluded)
    objects: list[StoredObject] = []
    unsafe: list[Skipped] = []
    for summaries in store.list(location):
        for summary in summaries:
            if summary.key.startswith(own) or PROBE_FOLDER in summary.key:
                continue
            try:
                Location.parse(f"s3://{location.bucket}/{summary.key.rstrip('/')}")
            except InvalidLocation as error:
                unsafe.append(Skipped(summary.key, error.message))
                continue
            objects.append(StoredObject(summary.key, summary.size_bytes, summary.etag))
        if len(objects) > OBJECTS_PER_SCAN_MAX:
            raise InvalidRequest(
                f"`{location}` holds more than {OBJECTS_PER_SCAN_MAX} objects; "
                "scan its folders one by one"
            )
        progress({"phase": "listing", "objects": len(objects)})
    return objects, unsafe


def _inspect(
    store: ObjectStore,
    workers: InspectionWorkers,
    grouping: Grouping,
    objects_count: int,
    progress: Progress,
) -> dict[str, FileInspection | str]:
    files = [file.object for candidate in grouping.candidates for file in candidate.files]
    inspections: dict[str, FileInspection | str] = {}
    with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="inspect") as pool:
        found = pool.map(lambda stored: _inspect_file(store, workers, stored), files)
        try:
            for number, (stored, inspection) in enumerate(zip(files, found, strict=True), 1):
                inspections[stored.key] = inspection
                if number % PROGRESS_EVERY_FILES == 0 or number == len(files):
                    progress(
                        {
                            "phase": "inspecting",
                            "objects": objects_count,
                            "files": len(files),
                            "inspected": number,
                        }
                    )
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return inspections


def _inspect_file(
    store: ObjectStore, workers: InspectionWorkers, stored: StoredObject
) -> FileInspection | str:
    """The inspection, or why there is none: one bad file is a line in the report."""
    try:
        return workers.inspect(reader_of(store, stored), stored.size_bytes)
    except (StorageUnavailable, Unavailable):
        raise
    except UnreadableFile as error:
        return error.message
    except CatalogError as error:
        return f"cannot be read: {error.message}"


def reader_of(store: ObjectStore, stored: StoredObject) -> ReadRange:
    """Reads ranges of one object."""
    uri = f"s3://{store.root.bucket}/{stored.key}"
    return lambda offset, length: store.get(uri, range=(offset, length))


def survey_report(survey: Survey, *, registered: Mapping[str, TableIdentifier]) -> Json:
    """The report of a scan, in which tables that are registered already are marked."""
    report = survey.proposals.to_json()
    # Iceberg tables come last, and have no sources.
    proposals = (*survey.proposals.tables, *survey.proposals.existing)
    for table, proposal in zip(report["tables"], proposals, strict=True):
        known = None
        if isinstance(proposal, Proposal):
            known = registered_as(survey, proposal, registered)
        table["registered-as"] = None if known is None else str(known)
    return report | {"objects": survey.objects_count, "bytes": survey.bytes_total}


def registered_as(
    survey: Survey, proposal: Proposal, registered: Mapping[str, TableIdentifier]
) -> TableIdentifier | None:
    """The table that reads the same sources already, if there is one."""
    for source in proposal.sources:
        known = registered.get(f"s3://{survey.location.bucket}/{source}")
        if known is not None:
            return known
    return None
