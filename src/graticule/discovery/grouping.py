"""Which objects belong together, by their keys alone.  Schemas have their say later.

A folder's files are one candidate.  Folders that are named by values (Hive's `key=value`, dates,
tiles, numbers, hashes) belong to the folder above the first of them; a folder with a name of its
own, inside another, is a candidate of its own.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final, Protocol

from graticule.discovery.existing_tables import ExistingTable, existing_tables
from graticule.discovery.formats import (
    SHAPEFILE_COMPANIONS,
    convertible_format,
    foreign_roots,
    suffix_of,
)
from graticule.discovery.ignoring import NOTHING_IGNORED, Ignored
from graticule.discovery.path_grammar import (
    NOT_PARQUET,
    DataPath,
    is_worth_reporting,
    parse_path,
    reason_to_ignore,
)

SKIPPED_REPORTED_MAX: Final = 1000
"""Of one grouping: a bucket of a million images is one fact, not a million."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One row of a listing; `key` is relative to the bucket."""

    key: str
    size_bytes: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An object, or a whole folder, that becomes no part of a table, and why."""

    key: str
    reason: str


class Objects(Protocol):
    """A listing that can be gone through again and again, each time in the order of keys."""

    def __iter__(self) -> Iterator[StoredObject]: ...

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """Those whose keys begin so."""


class SortedObjects:
    """A listing that is small enough for memory."""

    def __init__(self, objects: Iterable[StoredObject]) -> None:
        self._objects = sorted(objects, key=lambda stored: stored.key)

    def __iter__(self) -> Iterator[StoredObject]:
        return iter(self._objects)

    def below(self, prefix: str) -> Iterator[StoredObject]:
        start = bisect_left(self._objects, prefix, key=lambda stored: stored.key)
        rest = islice(self._objects, start, None)
        return takewhile(lambda stored: stored.key.startswith(prefix), rest)


CandidateKey = tuple[tuple[str, ...], str]
"""What the files of one candidate share: the folders that have names, and the first partition key.

Files with other partition keys cannot share a partition spec.
"""


@dataclass(frozen=True, slots=True)
class CandidateFile:
    object: StoredObject
    path: DataPath

    @property
    def candidate(self) -> CandidateKey:
        return candidate_of(self.path)


def candidate_of(path: DataPath) -> CandidateKey:
    return path.words, path.hive[0].key if path.hive else ""


class CandidateFiles:
    """The data files of a listing, those that keys suggest to be parts of tables.

    They are found anew whenever they are gone through, in the order of keys, and never all at once
    in memory.
    """

    def __init__(
        self,
        objects: Objects,
        *,
        base: str = "",
        ignored: Ignored = NOTHING_IGNORED,
        foreign: Collection[str] = (),
    ) -> None:
        """`foreign` are the folders of other tables."""
        self._objects = objects
        self._base = base
        self._ignored = ignored
        self._foreign = foreign

    def __iter__(self) -> Iterator[CandidateFile]:
        return self._among(iter(self._objects))

    def below(self, prefix: str) -> Iterator[CandidateFile]:
        """Those whose keys begin so."""
        return self._among(self._objects.below(prefix))

    def _among(self, objects: Iterator[StoredObject]) -> Iterator[CandidateFile]:
        for stored in objects:
            if reason_to_ignore(stored.key, stored.size_bytes) is not None:
                continue
            if self._ignored.by(stored.key) is not None:
                continue
            if not self._foreign or not _is_below(stored.key, self._foreign):
                yield CandidateFile(stored, parse_path(stored.key, base=self._base))


@dataclass(frozen=True, slots=True)
class Grouping:
    """`base` is the key prefix of the folder that was looked through."""

    files: CandidateFiles
    skipped: tuple[Skipped, ...]
    skipped_count: int
    """All that were worth a report, also those beyond the limit of `skipped`."""
    existing: tuple[ExistingTable, ...] = ()
    """Iceberg tables that lie there already."""
    convertible: tuple[StoredObject, ...] = ()
    """Files that could be tables after a conversion, sorted by key."""
    companions: frozenset[str] = frozenset()
    """Files that belong to a Shapefile."""
    base: str = ""


def group(
    objects: Iterable[StoredObject], *, base: str = "", ignored: Ignored = NOTHING_IGNORED
) -> Grouping:
    """Group what is in memory.  The order of `objects` does not matter."""
    return group_listing(SortedObjects(objects), base=base, ignored=ignored)


def group_listing(
    objects: Objects, *, base: str = "", ignored: Ignored = NOTHING_IGNORED
) -> Grouping:
    """`base` is empty or ends with a slash; all keys begin with it."""
    betrayed: dict[str, str] = {}
    existing = existing_tables(_keys_of(objects, ignored, betrayed))
    foreign = _outermost({table.root: "" for table in existing}, betrayed)
    patterns: Counter[str] = Counter()
    convertible: list[StoredObject] = []
    companions: list[Skipped] = []
    others: list[Skipped] = []
    others_count = 0
    for stored in objects:
        pattern = ignored.by(stored.key)
        if pattern is not None:
            patterns[pattern] += 1
            continue
        reason = reason_to_ignore(stored.key, stored.size_bytes)
        if reason is None or _is_below(stored.key, foreign):
            continue
        if reason == NOT_PARQUET and convertible_format(stored.key):
            convertible.append(stored)
        elif not is_worth_reporting(reason):
            continue
        elif suffix_of(stored.key, SHAPEFILE_COMPANIONS):
            companions.append(Skipped(stored.key, reason))
        else:
            others_count += 1
            if len(others) < SKIPPED_REPORTED_MAX:
                others.append(Skipped(stored.key, reason))
    belonging, alone = _companions(companions, convertible)
    ignored_by = [
        Skipped(pattern, f"ignored by this pattern: {_objects(count)}")
        for pattern, count in sorted(patterns.items())
    ]
    tables = [Skipped(root or "/", f"is {what}") for root, what in foreign.items() if what]
    files = sorted([*alone, *others], key=lambda entry: entry.key)
    skipped = [*ignored_by, *tables, *files][:SKIPPED_REPORTED_MAX]
    return Grouping(
        files=CandidateFiles(objects, base=base, ignored=ignored, foreign=foreign),
        skipped=tuple(skipped),
        skipped_count=len(ignored_by) + len(tables) + len(alone) + others_count,
        existing=tuple(table for table in existing if table.root in foreign),
        convertible=tuple(convertible),
        companions=belonging,
        base=base,
    )


def _objects(count: int) -> str:
    return "1 object" if count == 1 else f"{count} objects"


def common_folder(folders: Sequence[str]) -> str:
    """The deepest folder around all of these, which are empty or end with a slash."""
    first, last = min(folders), max(folders)
    length = 0
    for position, (one, other) in enumerate(zip(first, last, strict=False), 1):
        if one != other:
            break
        if one == "/":
            length = position
    return first[:length]


def _keys_of(objects: Objects, ignored: Ignored, betrayed: dict[str, str]) -> Iterator[str]:
    """All keys; on the way it is noted which folders they betray as tables of other formats."""
    for stored in objects:
        if ignored.by(stored.key) is None:
            for root, what in foreign_roots(stored.key):
                betrayed.setdefault(root, what)
            yield stored.key


def _outermost(existing: Mapping[str, str], betrayed: Mapping[str, str]) -> dict[str, str]:
    """Folders of other tables and what they are; empty for those that can be registered."""
    found = dict(existing)
    for root, what in betrayed.items():
        found.setdefault(root, what)
    return {root: what for root, what in found.items() if not _is_below(root[:-1], found)}


def _is_below(key: str, roots: Container[str]) -> bool:
    """True if one of the folders above the key is in `roots`; the empty root is above all."""
    end = len(key)
    while end > 0:
        end = key.rfind("/", 0, end)
        if key[: end + 1] in roots:
            return True
    return False


def _companions(
    beside: Sequence[Skipped], convertible: Iterable[StoredObject]
) -> tuple[frozenset[str], list[Skipped]]:
    """Files that are part of a Shapefile, and those that only look so."""
    stems = {
        stored.key[: -len(".shp")] for stored in convertible if stored.key.lower().endswith(".shp")
    }
    belonging = frozenset(
        entry.key
        for entry in beside
        if entry.key[: -len(suffix_of(entry.key, SHAPEFILE_COMPANIONS))] in stems
    )
    return belonging, [entry for entry in beside if entry.key not in belonging]
