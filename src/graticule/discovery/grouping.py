"""Which objects belong together, by their keys alone.  Schemas have their say later.

A folder's files are one candidate.  Folders that are named by values (Hive's `key=value`, dates,
tiles, numbers, hashes) belong to the folder above the first of them; a folder with a name of its
own, inside another, is a candidate of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class CandidateFile:
    object: StoredObject
    path: DataPath


@dataclass(frozen=True, slots=True)
class Candidate:
    """Files that their keys suggest to be one table, sorted by key.

    `root` is the deepest folder around all of them that is above their values; `words` are the
    folders on the way that have names, below the folder that was looked through.  `hive_keys` are
    all partition keys, in the order of the folders; not every file has each.
    """

    root: str
    words: tuple[str, ...]
    hive_keys: tuple[str, ...]
    files: tuple[CandidateFile, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """`base` is the key prefix of the folder that was looked through."""

    candidates: tuple[Candidate, ...]
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
    """Candidates sorted by root.  The order of `objects` does not matter.

    `base` is empty or ends with a slash; all keys begin with it.
    """
    patterns: Counter[str] = Counter()
    listed = []
    for stored in objects:
        pattern = ignored.by(stored.key)
        if pattern is None:
            listed.append(stored)
        else:
            patterns[pattern] += 1
    listed.sort(key=lambda stored: stored.key)
    existing = existing_tables(stored.key for stored in listed)
    foreign = _foreign_folders(listed, existing)
    skipped = [
        Skipped(pattern, f"ignored by this pattern: {_objects(count)}")
        for pattern, count in sorted(patterns.items())
    ]
    skipped += [Skipped(root or "/", f"is {what}") for root, what in foreign.items() if what]
    groups: defaultdict[tuple[tuple[str, ...], str], list[CandidateFile]] = defaultdict(list)
    convertible = []
    for stored in listed:
        if _is_below(stored.key, foreign):
            continue
        reason = reason_to_ignore(stored.key, stored.size_bytes)
        if reason is None:
            path = parse_path(stored.key, base=base)
            # Files with other partition keys cannot share a partition spec.
            first_key = path.hive[0].key if path.hive else ""
            groups[path.words, first_key].append(CandidateFile(stored, path))
        elif reason == NOT_PARQUET and convertible_format(stored.key):
            convertible.append(stored)
        elif is_worth_reporting(reason):
            skipped.append(Skipped(stored.key, reason))
    skipped, companions = _without_companions(skipped, convertible)
    candidates = [_candidate(words, files) for (words, _), files in groups.items()]
    candidates.sort(key=lambda found: (found.root, found.words, found.hive_keys))
    return Grouping(
        candidates=tuple(candidates),
        skipped=tuple(skipped[:SKIPPED_REPORTED_MAX]),
        skipped_count=len(skipped),
        existing=tuple(table for table in existing if table.root in foreign),
        convertible=tuple(convertible),
        companions=companions,
        base=base,
    )


def _objects(count: int) -> str:
    return "1 object" if count == 1 else f"{count} objects"


def _candidate(words: tuple[str, ...], files: Sequence[CandidateFile]) -> Candidate:
    keys: dict[str, None] = {}
    for file in files:
        keys.update(dict.fromkeys(file.path.hive_keys))
    root = common_folder([file.path.root for file in files])
    return Candidate(root, words, tuple(keys), tuple(files))


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


def _foreign_folders(
    objects: Iterable[StoredObject], existing: Iterable[ExistingTable]
) -> dict[str, str]:
    """Folders of other tables and what they are; empty for those that can be registered."""
    found = {table.root: "" for table in existing}
    for stored in objects:
        for root, what in foreign_roots(stored.key):
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


def _without_companions(
    skipped: Sequence[Skipped], convertible: Iterable[StoredObject]
) -> tuple[list[Skipped], frozenset[str]]:
    """What is skipped but for the other files of a Shapefile, which are part of it; and those."""
    stems = {
        stored.key[: -len(".shp")] for stored in convertible if stored.key.lower().endswith(".shp")
    }
    companions = frozenset(
        entry.key
        for entry in skipped
        if (suffix := suffix_of(entry.key, SHAPEFILE_COMPANIONS))
        and entry.key[: -len(suffix)] in stems
    )
    return [entry for entry in skipped if entry.key not in companions], companions
