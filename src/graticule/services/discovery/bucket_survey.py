"""One look through a folder of a bucket: list, group, inspect, propose.

Changes nothing in the bucket.  What is listed and what footers say is kept in the database, so a
look that is cut off goes on, and the next one only reads what is new.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib.metadata import version
from itertools import chain
from typing import Any, Final

from sqlalchemy import Engine

from graticule.db import bucket_objects as objects_db
from graticule.db.bucket_objects import KeyRange
from graticule.db.engine import read
from graticule.discovery.bunches import Inspections
from graticule.discovery.grouping import (
    SKIPPED_REPORTED_MAX,
    Grouping,
    Skipped,
    StoredObject,
    group_listing,
)
from graticule.discovery.ignoring import NOTHING_IGNORED, Ignored
from graticule.discovery.inspection_codec import CODEC_VERSION
from graticule.discovery.looking import Confirmed
from graticule.discovery.names_in_use import NOTHING_IN_USE, NamesInUse
from graticule.discovery.path_grammar import reason_to_ignore
from graticule.discovery.proposal import Proposal, Proposals
from graticule.discovery.proposing import propose
from graticule.domain.errors import InvalidLocation, InvalidRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location, is_plain_key
from graticule.services.discovery.bucket_listing import BucketListing, Listing, Place
from graticule.services.discovery.closer_looks import look_into_geometries, read_existing
from graticule.services.discovery.footers import Footers, KnownFooters
from graticule.services.discovery.scan_watch import NOBODY, Watch
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

FILES_PER_SCAN_MAX: Final = 1_000_000
"""Data files, among any number of other objects."""
NOTHING_KEPT: Final[Mapping[str, Any]] = {}
REPORT_VERSION: Final = 1
"""Changes with whatever changes what is proposed for the same files."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found, with the inspections that registration goes on from."""

    location: Location
    proposals: Proposals
    inspections: Inspections
    objects_count: int
    bytes_total: int
    is_final: bool = True
    """False if the store refused some files: the next look may find more."""


class BucketSurveys:
    def __init__(
        self, engine: Engine, workers: InspectionWorkers, *, now_ms: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._now_ms = now_ms

    def look(
        self,
        store: ObjectStore,
        place: Place,
        *,
        ignored: Ignored = NOTHING_IGNORED,
        watch: Watch = NOBODY,
        resume: Mapping[str, Any] | None = None,
    ) -> Survey:
        """Look through everything in `place`, from where `resume`, a checkpoint, says.

        Raises:
            StorageRefused: the store does not let us list.
            InvalidRequest: more files than one scan takes.
        """
        listing = self.listed(store, place, watch=watch, resume=resume)
        return self.inspected(store, place, listing, ignored=ignored, watch=watch)

    def listed(
        self,
        store: ObjectStore,
        place: Place,
        *,
        watch: Watch = NOBODY,
        resume: Mapping[str, Any] | None = None,
    ) -> Listing:
        """Bring what is known of the objects into step with the store."""
        try:
            state = Listing(**(resume or {})["listing"])
        except (KeyError, TypeError):  # none, or one that another version of the server kept
            state = Listing(self._now_ms())
        if state.is_complete:
            return state
        return BucketListing(self._engine, store, place, watch).run(state)

    def inspected(
        self,
        store: ObjectStore,
        place: Place,
        listing: Listing,
        *,
        ignored: Ignored = NOTHING_IGNORED,
        in_use: NamesInUse = NOTHING_IN_USE,
        watch: Watch = NOBODY,
        kept: Mapping[str, Any] = NOTHING_KEPT,
    ) -> Survey:
        """Inspect what is new among the listed files, and propose tables.

        `kept` is in every checkpoint, beside the listing.
        """
        counts = {"objects": listing.objects, "bytes": listing.bytes}
        watch.progress({"phase": "grouping", **counts})
        grouping = self._grouped(place, ignored)
        footers = Footers(self._engine, self._workers, store, place, watch)
        count, is_final = footers.complete(
            lambda: (file.object for file in grouping.files),
            progress=counts,
            checkpoint={**kept, "listing": listing.to_json()},
        )
        watch.progress({"phase": "grouping", **counts, "files": count, "inspected": count})
        survey = self._proposed(store, place, grouping, listing, in_use)
        return replace(survey, is_final=is_final)

    def pending(
        self,
        store: ObjectStore,
        place: Place,
        listing: Listing,
        *,
        ignored: Ignored = NOTHING_IGNORED,
        watch: Watch = NOBODY,
    ) -> Callable[[], Iterator[StoredObject]]:
        """The listed files that `inspected` would read, by key; may be called again."""
        watch.progress({"phase": "grouping", "objects": listing.objects, "bytes": listing.bytes})
        grouping = self._grouped(place, ignored)
        footers = Footers(self._engine, self._workers, store, place, watch)
        return lambda: footers.unknown(file.object for file in grouping.files)

    def recall(
        self,
        store: ObjectStore,
        place: Place,
        *,
        ignored: Ignored = NOTHING_IGNORED,
        in_use: NamesInUse = NOTHING_IN_USE,
    ) -> Survey:
        """What the last look found: nothing is listed, and no footer read."""
        return self._proposed(store, place, self._grouped(place, ignored), Listing(0), in_use)

    def _grouped(self, place: Place, ignored: Ignored) -> Grouping:
        objects = _Objects(self._engine, place, ignored)
        grouping = group_listing(objects, base=place.location.key_prefix, ignored=ignored)
        unsafe = objects.unsafe.values()
        return replace(
            grouping,
            skipped=(*grouping.skipped, *unsafe)[:SKIPPED_REPORTED_MAX],
            skipped_count=grouping.skipped_count + len(unsafe),
        )

    def _proposed(
        self,
        store: ObjectStore,
        place: Place,
        grouping: Grouping,
        listing: Listing,
        in_use: NamesInUse,
    ) -> Survey:
        known = KnownFooters(self._engine, place)
        seen = look_into_geometries(store, self._workers, grouping, known)
        inspections = Confirmed(known, seen, base=grouping.base)
        proposals = propose(
            grouping,
            inspections,
            existing=read_existing(store, grouping.existing),
            root_name=place.location.name,
            in_use=in_use,
        )
        return Survey(
            location=place.location,
            proposals=proposals,
            inspections=inspections,
            objects_count=listing.objects,
            bytes_total=listing.bytes,
        )


def digest_of(listing: Listing, ignored: Ignored = NOTHING_IGNORED) -> str:
    """The same for two looks that cannot but propose the same."""
    versions = [version("graticule"), str(REPORT_VERSION), str(CODEC_VERSION)]
    parts = [listing.digest, *versions, *ignored.patterns]
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


class _Objects:
    """The objects of a place, read from what is known of it whenever they are gone through.

    Data files whose keys no location can name are left out, and told in `unsafe`.
    """

    def __init__(self, engine: Engine, place: Place, ignored: Ignored) -> None:
        self._engine = engine
        self._place = place
        self._ignored = ignored
        self.unsafe: dict[str, Skipped] = {}

    def __iter__(self) -> Iterator[StoredObject]:
        return self._within(self._place.keys)

    def below(self, prefix: str) -> Iterator[StoredObject]:
        keys = KeyRange.below(self._place.integration_id, prefix)
        if not prefix.endswith("/"):  # the key of a file, which lies at the start of that range
            return chain(self._named(prefix), self._within(keys))
        return self._within(keys)

    def _named(self, key: str) -> Iterator[StoredObject]:
        with read(self._engine) as conn:
            known = objects_db.known_among(conn, self._place.integration_id, [key]).get(key)
        if known is not None and known.missing_since_ms is None:
            yield StoredObject(key, known.size_bytes, known.etag)

    def _within(self, keys: KeyRange) -> Iterator[StoredObject]:
        files = 0
        for key, size_bytes, etag in objects_db.in_order(self._engine, keys):
            if reason_to_ignore(key, size_bytes) is None and self._ignored.by(key) is None:
                if not is_plain_key(key) and not self._is_safe(key):
                    continue
                files += 1
                if files > FILES_PER_SCAN_MAX:
                    raise InvalidRequest(
                        f"`{self._place.location}` holds more than {FILES_PER_SCAN_MAX} data "
                        "files; scan its folders one by one"
                    )
            yield StoredObject(key, size_bytes, etag)

    def _is_safe(self, key: str) -> bool:
        try:
            Location.parse(f"s3://{self._place.location.bucket}/{key}")
        except InvalidLocation as error:
            self.unsafe[key] = Skipped(key, error.message)
            return False
        return True


def survey_report(survey: Survey, *, registered: Mapping[str, TableIdentifier]) -> Json:
    """The report of a scan, in which tables that are registered already are marked."""
    report = survey.proposals.to_json()
    return marked(
        report | {"objects": survey.objects_count, "bytes": survey.bytes_total},
        survey.location.bucket,
        registered,
    )


def marked(report: Json, bucket: str, registered: Mapping[str, TableIdentifier]) -> Json:
    """A report in which tables are marked that are registered by now."""
    tables = []
    for table in report["tables"]:
        known = _reading(table["sources"], bucket, registered)
        tables.append({**table, "registered-as": None if known is None else str(known)})
    return {**report, "tables": tables}


def registered_as(
    survey: Survey, proposal: Proposal, registered: Mapping[str, TableIdentifier]
) -> TableIdentifier | None:
    """The table that reads the same sources already, if there is one."""
    return _reading(proposal.sources, survey.location.bucket, registered)


def _reading(
    sources: Any, bucket: str, registered: Mapping[str, TableIdentifier]
) -> TableIdentifier | None:
    for source in sources:
        known = registered.get(f"s3://{bucket}/{source}")
        if known is not None:
            return known
    return None
