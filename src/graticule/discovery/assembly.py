"""From candidates and what their files hold to drafts of tables: where schemas have their say.

Keys propose and schemas dispose: what does not fit is torn apart or reported, and folders by the
dozen that hold the same are one table and not dozens.  Pure; no file is kept, only what files of
one kind have in common.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

from graticule.discovery.bunches import (
    Bunch,
    CandidateBunches,
    Collected,
    Inspections,
    Kind,
    Span,
    collect,
    common_beginning,
    common_stem,
    readable,
)
from graticule.discovery.grouping import (
    CandidateFile,
    CandidateFiles,
    CandidateKey,
    Grouping,
    common_folder,
)
from graticule.discovery.inspection import FileInspection
from graticule.discovery.proposal import Confidence
from graticule.discovery.schema_merge import Family, Fields, families, first_conflict
from graticule.discovery.value_folders import FolderKind, describe

SIBLING_FOLDERS_MIN: Final = 10
"""As many folders of one schema side by side, whatever their names, are one table."""

LIKE_TABLES_MIN: Final = 30
"""As many tables of one schema anywhere below a folder are one table, too."""

NAMES_SHOWN: Final = 3


@dataclass(slots=True)
class Draft:
    """A proposal before it has a name; `words` are what its name is made of."""

    identity: str
    words: tuple[str, ...]
    root: str
    bunches: Sequence[Bunch]
    fields: Fields
    hive_keys: tuple[str, ...]
    confidence: Confidence = Confidence.HIGH
    reasons: list[str] = field(default_factory=list)

    @property
    def file_count(self) -> int:
        return sum(bunch.count for bunch in self.bunches)

    @property
    def first_key(self) -> str:
        return min(bunch.first_key for bunch in self.bunches)

    def lower(self, reason: str, to: Confidence = Confidence.MEDIUM) -> None:
        """Say why, and be at most so confident."""
        self.reasons.append(reason)
        if _RANK[to] < _RANK[self.confidence]:
            self.confidence = to


_RANK: Final = {Confidence.LOW: 0, Confidence.MEDIUM: 1, Confidence.HIGH: 2}


@dataclass(frozen=True, slots=True)
class Membership:
    """Which draft a file belongs to, by what it is: none is remembered."""

    collected: Collected
    numbers: Mapping[Kind, int]
    misfits: Mapping[Kind, str]
    """Why files of a kind belong to no draft."""

    def of(self, file: CandidateFile, found: FileInspection | str | None) -> int | str:
        """The number of the draft, or why the file is in none."""
        inspection = readable(found)
        if isinstance(inspection, str):
            return inspection
        kind = self.collected.kind_of(file.path, inspection.fields)
        number = self.numbers.get(kind)
        # A file that nobody had seen came while files were gone through.
        return self.misfits.get(kind, "came during the scan") if number is None else number


def assemble(grouping: Grouping, inspections: Inspections) -> tuple[list[Draft], Membership]:
    """Drafts sorted by root, and how to tell which file belongs to which."""
    collected = collect(grouping.files, inspections)
    misfits: dict[Kind, str] = {}
    drafts: list[Draft] = []
    for key, candidate in sorted(
        collected.candidates.items(), key=lambda item: (item[1].root, item[0])
    ):
        if not candidate.by_subject:
            continue
        if candidate.hive_keys:
            made = _of_partitions(key, candidate, misfits)
        else:
            made = _of_folder(key, candidate, grouping.base, _Lookout(grouping.files, inspections))
        if candidate.unreadable:
            made[0].lower(f"left out, since unreadable: {_files(candidate.unreadable)}")
        drafts.extend(made)
    drafts = _without_crowds(drafts)
    drafts.sort(key=lambda draft: (draft.root, draft.identity, draft.hive_keys))
    _tell_apart(drafts)
    _explain_neighbours(drafts)
    numbers = {bunch.kind: number for number, draft in enumerate(drafts) for bunch in draft.bunches}
    return drafts, Membership(collected, numbers, misfits)


def _tell_apart(drafts: Sequence[Draft]) -> None:
    """Give several that lie in one folder an identity each: files beside partitions, and
    partitions by different keys.
    """
    seen: set[str] = set()
    for draft in sorted(drafts, key=lambda draft: (not draft.hive_keys, draft.hive_keys)):
        if draft.identity in seen:
            draft.identity += "*".join(("", *draft.hive_keys)) or "*"
        seen.add(draft.identity)


def _explain_neighbours(drafts: Sequence[Draft]) -> None:
    """Files beside partition folders have no values of the partitions: they are no part of them."""
    partitioned = {draft.root: draft for draft in drafts if draft.hive_keys}
    for draft in drafts:
        table = partitioned.get(_folder_of(draft.root))
        if table is not None and not draft.hive_keys:
            keys = ", ".join(f"`{key}`" for key in table.hive_keys)
            draft.reasons.append(
                f"lies beside folders of {keys}, which are a table of their own: "
                "what has no value of these is no part of it"
            )
            table.reasons.append(
                f"without what lies beside its folders: {_files(draft.file_count)}"
            )


def _of_folder(
    key: CandidateKey, candidate: CandidateBunches, base: str, lookout: "_Lookout"
) -> list[Draft]:
    words, _ = key
    bunches = list(candidate.by_subject[()].values())
    drafts = [
        Draft(
            identity=candidate.root,
            words=words,
            root=candidate.root,
            bunches=[bunches[position] for position in positions],
            fields=fields,
            hive_keys=(),
        )
        for fields, positions in _families(bunches)
    ]
    if len(drafts) > 1:
        _separate(key, candidate.root, drafts, base, lookout)
    else:
        _explain_values(drafts[0])
        _name_by_stem(drafts[0])
    return drafts


def _families(bunches: Sequence[Bunch]) -> list[Family]:
    return families([bunch.fields for bunch in bunches], [bunch.count for bunch in bunches])


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


# Names from files.


def _name_by_stem(draft: Draft) -> None:
    """A file with a name of its own names its table, also where it comes once in each folder."""
    stem = common_stem(draft.bunches)
    if stem is None:
        return
    count = draft.file_count
    draft.words = (*draft.words, stem)
    if count == 1 and draft.bunches[0].beside:
        draft.identity = draft.root = draft.first_key
    else:
        draft.identity = f"{draft.root}{stem}"
        if count > 1:
            folders = f"each of {count} folders has a file named `{stem}`"
            draft.lower(f"{folders}; if each is a complete copy, register one of them alone")


# Several schemas.


class _Lookout:
    """Looks whether files of other kinds lie in a folder."""

    def __init__(self, files: CandidateFiles, inspections: Inspections) -> None:
        self._files = files
        self._inspections = inspections

    def sees(self, folder: str, key: CandidateKey, others: Sequence[Bunch]) -> bool:
        """True if files of these bunches of a candidate lie in the folder, or below it."""
        if any(
            end.startswith(folder)
            for bunch in others
            for end in (bunch.folders.first, bunch.folders.last)
        ):
            return True
        perhaps = [
            bunch.fields for bunch in others if bunch.folders.first < folder < bunch.folders.last
        ]
        if not perhaps:
            return False
        for file in self._files.below(folder):
            if file.candidate == key:
                found = self._inspections.get(file.object.key)
                if isinstance(found, FileInspection) and found.fields in perhaps:
                    return True
        return False


def _separate(
    key: CandidateKey, root: str, drafts: Sequence[Draft], base: str, lookout: _Lookout
) -> None:
    """Tell apart the tables of one candidate: by folder, else by file name, else by nothing."""
    words, _ = key
    spans = [reduce(Span.joined, (bunch.folders for bunch in each.bunches)) for each in drafts]
    others = len(drafts) - 1
    reason = f"{others} other schema{'s' if others > 1 else ''} in the same folder"
    for number, draft in enumerate(drafts):
        rest = [bunch for other in drafts if other is not draft for bunch in other.bunches]
        span = spans[number]
        around = common_folder([span.first, span.last])
        if not lookout.sees(around, key, rest):
            draft.root = draft.identity = around
            draft.words = tuple(around[len(base) :].split("/")[:-1])
            draft.lower("other schemas in the folders beside it")
            continue
        draft.reasons.append(reason)
        beginning = common_stem(draft.bunches) or common_beginning(draft.bunches)
        if beginning is not None:
            draft.words = (*words, beginning)
            draft.identity = f"{root}{beginning}"
        if draft.file_count == 1 and beginning is not None:
            draft.identity = draft.root = draft.first_key
        elif beginning is not None and span.first != span.last:
            draft.lower("told from the others by the names of the files")
        else:
            draft.lower("the files of one folder had to be torn apart", Confidence.LOW)
            if number and beginning is None:
                draft.identity = draft.first_key


def _of_partitions(
    key: CandidateKey, candidate: CandidateBunches, misfits: dict[Kind, str]
) -> list[Draft]:
    drafts = []
    hive_keys = tuple(candidate.hive_keys)
    for values, by_columns in candidate.by_subject.items():
        bunches = list(by_columns.values())
        root, words = candidate.root, key[0]
        if values:
            span = reduce(Span.joined, (bunch.folders for bunch in bunches))
            root = common_folder([span.first, span.last])
            words = (*words, *(value or "none" for value in values))
        (fields, positions), *others = _families(bunches)
        draft = Draft(
            identity=root,
            words=words,
            root=root,
            bunches=[bunches[position] for position in positions],
            fields=fields,
            hive_keys=hive_keys,
        )
        if values:
            keys = ", ".join(f"`{name}`" for name in hive_keys[: len(values)])
            draft.lower(f"one table of several that {keys} tell apart: their columns differ")
        # Partition folders promise one schema: what breaks it is an accident, not a table.
        left_out = 0
        for other, misfit in others:
            conflict = first_conflict(fields, other)
            for position in misfit:
                left_out += bunches[position].count
                misfits[bunches[position].kind] = f"does not fit the others: {conflict}"
        if left_out:
            draft.lower(f"left out, since the schema is another: {_files(left_out)}")
        depths = Counter[int]()
        for bunch in draft.bunches:
            depths.update(bunch.depths)
        lacking = sum(count for depth, count in depths.items() if depth < len(hive_keys))
        if lacking:
            files = _files(lacking)
            draft.lower(f"{files} in fewer partition folders: the other columns are null there")
        _explain_values(draft)
        drafts.append(draft)
    return drafts


def _explain_values(draft: Draft) -> None:
    """Why folders of many values are one table."""
    examples = [bunch.values for bunch in draft.bunches if bunch.values is not None]
    if not examples:
        return
    kind, description = describe(min(examples))
    if kind in {FolderKind.DATE, FolderKind.TILE}:
        draft.reasons.append(description)
    else:
        draft.lower(description)
    beside = sum(bunch.beside for bunch in draft.bunches)
    if beside:
        draft.lower(f"{beside} files lie beside these folders")


# Crowds.


def _without_crowds(drafts: list[Draft]) -> list[Draft]:
    """Many drafts of one schema as one: what a bucket means by a hundred folders is one table."""
    depth = max((len(draft.words) for draft in drafts), default=0)
    for position in reversed(range(depth)):
        drafts = _merged(drafts, position, SIBLING_FOLDERS_MIN, whole_rest=True)
    for position in reversed(range(depth)):
        drafts = _merged(drafts, position, LIKE_TABLES_MIN, whole_rest=False)
    return drafts


def _merged(drafts: Sequence[Draft], position: int, least: int, *, whole_rest: bool) -> list[Draft]:
    """Merge drafts that only differ in the folder at `position`, or also in all below it."""
    crowds: defaultdict[object, list[Draft]] = defaultdict(list)
    kept: list[Draft] = []
    for draft in drafts:
        if len(draft.words) <= position:
            kept.append(draft)
            continue
        rest = draft.words[position + 1 :] if whole_rest else ()
        columns = frozenset(column["name"] for column in draft.fields)
        crowds[draft.words[:position], rest, draft.hive_keys, columns].append(draft)
    for crowd in crowds.values():
        for fields, members in families([draft.fields for draft in crowd]):
            like = [crowd[member] for member in members]
            if len(like) < least:
                kept.extend(like)
            else:
                kept.append(_one_of(like, position, fields, keeps_rest=whole_rest))
    return kept


def _one_of(like: Sequence[Draft], position: int, fields: Fields, *, keeps_rest: bool) -> Draft:
    like = sorted(like, key=lambda draft: draft.root)
    root = common_folder([_folder_of(draft.root) for draft in like])
    words = like[0].words[:position] + (like[0].words[position + 1 :] if keeps_rest else ())
    bunches = [bunch for draft in like for bunch in draft.bunches]
    merged = Draft("/".join((root, *words)), words, root, bunches, fields, like[0].hive_keys)
    shown = ", ".join(f"`{draft.words[position]}`" for draft in like[:NAMES_SHOWN])
    merged.lower(
        f"{len(like)} folders of the same columns ({shown}, …) are taken for one table; "
        f"the alternative is a table for each: scan them one by one",
        Confidence.LOW,
    )
    for reason in dict.fromkeys(reason for draft in like for reason in draft.reasons):
        merged.reasons.append(reason)
    return merged


def _folder_of(root: str) -> str:
    return root[: root.rfind("/") + 1]
