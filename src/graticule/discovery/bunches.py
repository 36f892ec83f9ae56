"""Files that are alike, summed up: of one candidate, with the same columns.  Pure.

What tables are made of is decided by these, so that a bucket of a million files takes no more
memory than its kinds of files do.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Final

from graticule.discovery.grouping import (
    CandidateFile,
    CandidateKey,
    candidate_of,
    common_folder,
)
from graticule.discovery.inspection import FileInspection
from graticule.discovery.names import is_generic
from graticule.discovery.path_grammar import DataPath
from graticule.discovery.schema_merge import Fields
from graticule.discovery.value_folders import FolderKind, kind_of
from graticule.domain.errors import InvalidRequest

SCHEMAS_MAX: Final = 10_000
"""In one scan: each may be a table, and nobody looks through more proposals."""

COLUMNS_SHARED_MIN: Final = 0.6
"""Partitions that share fewer of their columns are tables of their own."""

BEGINNING_CHARACTERS_MIN: Final = 3
"""What file names have in common names a table if it could be a word."""

WITHOUT_COLUMNS: Final = "without a column that Iceberg has a type for"
NOT_INSPECTED: Final = "not inspected"

Inspections = Mapping[str, FileInspection | str]
"""By key; a text is the reason why the file cannot be read."""

FieldsOf = Callable[[str], Fields | str | None]
"""By key; None of what was not inspected."""

Subject = tuple[str | None, ...]
"""The values of the first partition folders, where these tell tables apart."""

Kind = tuple[CandidateKey, Subject, int]
"""Which bunch a file is in: a candidate, a subject, and a schema by its number."""

_SEVERAL: Final = object()


def fields_of(inspections: Inspections, key: str) -> Fields | str:
    """Of a file of which a table can be made, or why it cannot.

    Some inspections have a `fields_of` that need not read all that is known of a file.
    """
    # Not an isinstance of a protocol, which takes longer than all else here: once for each file.
    own: FieldsOf | None = getattr(inspections, "fields_of", None)
    if own is not None:
        found = own(key)
        return NOT_INSPECTED if found is None else found or WITHOUT_COLUMNS
    inspection = readable(inspections.get(key))
    return inspection if isinstance(inspection, str) else inspection.fields


def readable(found: FileInspection | str | None) -> FileInspection | str:
    """What was found in a file of which a table can be made, or why it cannot."""
    if found is None:
        return NOT_INSPECTED
    if isinstance(found, str) or found.fields:
        return found
    return WITHOUT_COLUMNS


class Schemas:
    """Numbers schemas, and keeps equal ones once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._fields: list[Fields] = []
        self._last: tuple[Fields, int] = ((), -1)

    def number_of(self, fields: Fields) -> int:
        """The number of a schema.

        Raises:
            InvalidRequest: there are too many.
        """
        if fields is self._last[0]:  # files of one schema come in a row, and share it
            return self._last[1]
        number = self._numbers.setdefault(repr(fields), len(self._fields))
        if number == len(self._fields):
            if number == SCHEMAS_MAX:
                raise InvalidRequest(
                    f"files of more than {SCHEMAS_MAX} different schemas; scan folders one by one"
                )
            self._fields.append(fields)
        self._last = (fields, number)
        return number

    def __getitem__(self, number: int) -> Fields:
        return self._fields[number]


@dataclass(slots=True)
class Span:
    """The first and the last of some texts."""

    first: str
    last: str

    def add(self, text: str) -> None:
        if text < self.first:
            self.first = text
        elif text > self.last:
            self.last = text

    def joined(self, other: "Span") -> "Span":
        return Span(min(self.first, other.first), max(self.last, other.last))


@dataclass(slots=True)
class Bunch:
    """What files of one kind have in common, and how many they are; never the files."""

    kind: Kind
    fields: Fields
    first_key: str
    folders: Span
    count: int = 0
    values: tuple[str, ...] | None = None
    """The first of the rows of value folders that files lie in."""
    beside: int = 0
    """Files in no value folder."""
    depths: dict[int, int] = field(default_factory=dict)
    """Files by the number of partition folders that they are in; empty where there are none."""
    _stem: object = None
    _beginning: object = None

    def add(self, path: DataPath) -> None:
        """In the order of keys."""
        stem = path.stem
        beginning = intern(_without_number(stem))  # mostly the same in all folders
        if not self.count:
            self._stem, self._beginning = stem, beginning
        if self._stem != stem:
            self._stem = _SEVERAL
        if self._beginning != beginning:
            self._beginning = _SEVERAL
        self.count += 1
        self.folders.add(path.folder)
        if path.hive:
            depth = len(path.hive)
            self.depths[depth] = self.depths.get(depth, 0) + 1
        if not path.values:
            self.beside += 1
        elif self.values is None or path.values < self.values:
            self.values = path.values

    @property
    def stem(self) -> str | None:
        """The stem that all files share."""
        return self._stem if isinstance(self._stem, str) else None

    @property
    def beginning(self) -> str | None:
        """What all stems begin with, if they only differ in what writers count."""
        return self._beginning if isinstance(self._beginning, str) else None


def common_stem(bunches: Collection[Bunch]) -> str | None:
    """The stem that all files share, if it is no writer's."""
    stems = {bunch.stem for bunch in bunches}
    stem = stems.pop()
    return None if stems or stem is None or is_generic(stem) else stem


def common_beginning(bunches: Collection[Bunch]) -> str | None:
    """What stems begin with that only differ in what writers count, if it could be a word."""
    beginnings = {bunch.beginning for bunch in bunches}
    beginning = beginnings.pop()
    if beginnings or beginning is None or is_generic(beginning):
        return None
    return None if len(beginning) < BEGINNING_CHARACTERS_MIN else beginning


def _without_number(stem: str) -> str:
    return stem.rstrip("0123456789").rstrip("-_. ")


@dataclass(slots=True)
class CandidateBunches:
    """The bunches of one candidate, by subject, in the order of their first files.

    `hive_keys` are all partition keys, in the order of the folders; not every file has each.
    """

    roots: Span
    hive_keys: dict[str, None] = field(default_factory=dict)
    by_subject: dict[Subject, dict[int, Bunch]] = field(default_factory=dict)
    unreadable: int = 0

    @property
    def root(self) -> str:
        """The deepest folder around all files that is above their values."""
        return common_folder([self.roots.first, self.roots.last])


@dataclass(frozen=True, slots=True)
class Collected:
    """All candidates.  `depths` are by how many partition folders a candidate is torn apart."""

    candidates: Mapping[CandidateKey, CandidateBunches]
    depths: Mapping[CandidateKey, int]
    schemas: Schemas

    def kind_of(self, path: DataPath, fields: Fields) -> Kind:
        candidate = candidate_of(path)
        subject = subject_of(path, self.depths.get(candidate, 0))
        return candidate, subject, self.schemas.number_of(fields)


def collect(files: Iterable[CandidateFile], inspections: Inspections) -> Collected:
    """Sum all files up.

    `files` are gone through once, and twice more for the rare buckets whose partitions differ.
    """
    found = Collected({}, {}, Schemas())
    found = replace(found, candidates=_candidates(files, inspections, found))
    unlike = {
        key: len(candidate.hive_keys)
        for key, candidate in found.candidates.items()
        if candidate.hive_keys and not _is_alike(_columns(candidate))
    }
    depths = _subject_depths(files, inspections, unlike) if unlike else {}
    if not depths:
        return found
    found = replace(found, depths=depths)
    apart = _candidates(files, inspections, found, only=depths)
    return replace(found, candidates={**found.candidates, **apart})


def _candidates(
    files: Iterable[CandidateFile],
    inspections: Inspections,
    collected: Collected,
    only: Collection[CandidateKey] | None = None,
) -> dict[CandidateKey, CandidateBunches]:
    found: dict[CandidateKey, CandidateBunches] = {}
    for file in files:
        key, path = file.candidate, file.path
        if only is not None and key not in only:
            continue
        candidate = found.get(key)
        if candidate is None:
            candidate = found[key] = CandidateBunches(Span(path.root, path.root))
        candidate.roots.add(path.root)
        for value in path.hive:
            candidate.hive_keys.setdefault(value.key)
        fields = fields_of(inspections, file.object.key)
        if isinstance(fields, str):
            candidate.unreadable += 1
            continue
        _, subject, number = collected.kind_of(path, fields)
        bunches = candidate.by_subject.setdefault(subject, {})
        bunch = bunches.get(number)
        if bunch is None:
            # Of a hundred thousand folders each text counts that is held twice.
            folder = path.root if path.root == path.folder else path.folder
            folders = Span(folder, folder)
            own = collected.schemas[number]
            bunch = bunches[number] = Bunch((key, subject, number), own, file.object.key, folders)
        bunch.add(path)
    return found


def subject_of(path: DataPath, depth: int) -> Subject:
    return tuple(value.value for value in path.hive[:depth])


# Partitions whose first keys say what is in them.


def _subject_depths(
    files: Iterable[CandidateFile], inspections: Inspections, unlike: Mapping[CandidateKey, int]
) -> dict[CandidateKey, int]:
    """By how many folders partitions have to be told apart so that each has its own columns
    (`theme=roads`); without those that no number of folders helps.

    Only words do that: a table whose columns grow from year to year is one table.
    """
    apart: dict[CandidateKey, list[dict[Subject, set[frozenset[str]]]]] = {
        key: [{} for _ in range(count)] for key, count in unlike.items()
    }
    for file in files:
        depths = apart.get(file.candidate)
        if not depths:
            continue
        fields = fields_of(inspections, file.object.key)
        if isinstance(fields, str):
            continue
        columns = frozenset(column["name"] for column in fields)
        for depth in range(1, len(depths) + 1):
            subject = subject_of(file.path, depth)
            if not _is_word(subject):
                del depths[depth - 1 :]
                break
            depths[depth - 1].setdefault(subject, set()).add(columns)
    found = {}
    for key, depths in apart.items():
        for depth, subjects in enumerate(depths, 1):
            if all(_is_alike(schemas) for schemas in subjects.values()):
                found[key] = depth
                break
    return found


def _is_word(values: Subject) -> bool:
    return all(value is not None and kind_of(value) is FolderKind.WORD for value in values)


def _columns(candidate: CandidateBunches) -> Iterator[frozenset[str]]:
    for bunches in candidate.by_subject.values():
        for bunch in bunches.values():
            yield frozenset(column["name"] for column in bunch.fields)


def _is_alike(schemas: Iterable[frozenset[str]]) -> bool:
    """True if files share most of their columns."""
    distinct = set(schemas)
    every = frozenset[str]().union(*distinct)
    return all(len(each) >= COLUMNS_SHARED_MIN * len(every) for each in distinct)
