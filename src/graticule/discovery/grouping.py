"""Which objects belong together, by their keys alone.  Schemas have their say later.

A folder's files are one candidate, partition folders belong to the folder above the first of them,
and a folder inside a folder is a candidate of its own.
"""

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

from graticule.discovery.path_grammar import (
    DataPath,
    is_worth_reporting,
    parse_path,
    reason_to_ignore,
    table_format_root,
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
    """Files that their keys suggest to be one table, sorted by key."""

    root: str
    hive_keys: tuple[str, ...]
    files: tuple[CandidateFile, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    skipped_count: int
    """All that were worth a report, also those beyond the limit of `skipped`."""


def group(objects: Iterable[StoredObject]) -> Grouping:
    """Candidates sorted by root.  The order of `objects` does not matter."""
    listed = sorted(objects, key=lambda stored: stored.key)
    foreign = _foreign_tables(listed)
    skipped = [Skipped(root or "/", f"is {what}") for root, what in foreign.items()]
    groups: defaultdict[tuple[str, tuple[str, ...]], list[CandidateFile]] = defaultdict(list)
    for stored in listed:
        if _is_below(stored.key, foreign):
            continue
        reason = reason_to_ignore(stored.key, stored.size_bytes)
        if reason is not None:
            if is_worth_reporting(reason):
                skipped.append(Skipped(stored.key, reason))
            continue
        path = parse_path(stored.key)
        # Files with other partition keys cannot share a partition spec.
        groups[path.root, path.hive_keys].append(CandidateFile(stored, path))
    candidates = [
        Candidate(root, hive_keys, tuple(files))
        for (root, hive_keys), files in sorted(groups.items())
    ]
    return Grouping(tuple(candidates), tuple(skipped[:SKIPPED_REPORTED_MAX]), len(skipped))


def _foreign_tables(objects: Iterable[StoredObject]) -> dict[str, str]:
    found: dict[str, str] = {}
    for stored in objects:
        betrayed = table_format_root(stored.key)
        if betrayed is not None:
            found.setdefault(*betrayed)
    return found


def _is_below(key: str, roots: Container[str]) -> bool:
    """True if one of the folders above the key is in `roots`; the empty root is above all."""
    end = len(key)
    while end > 0:
        end = key.rfind("/", 0, end)
        if key[: end + 1] in roots:
            return True
    return False
