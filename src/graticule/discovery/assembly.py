"""From candidates and what their files hold to drafts of tables: where schemas have their say.

Keys propose and schemas dispose: what does not fit is torn apart or reported, and folders by the
dozen that hold the same are one table and not dozens.  Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from graticule.discovery.grouping import (
    Candidate,
    CandidateFile,
    Grouping,
    Skipped,
    common_folder,
)
from graticule.discovery.inspection import FileInspection
from graticule.discovery.names import is_generic
from graticule.discovery.proposal import Confidence
from graticule.discovery.schema_merge import Fields, families, first_conflict
from graticule.discovery.value_folders import FolderKind, describe, kind_of

SIBLING_FOLDERS_MIN: Final = 10
"""As many folders of one schema side by side, whatever their names, are one table."""

LIKE_TABLES_MIN: Final = 30
"""As many tables of one schema anywhere below a folder are one table, too."""

COLUMNS_SHARED_MIN: Final = 0.6
"""Partitions that share fewer of their columns are tables of their own."""

BEGINNING_CHARACTERS_MIN: Final = 3
"""What file names have in common names a table if it could be a word."""

NAMES_SHOWN: Final = 3

Inspections = Mapping[str, FileInspection | str]
"""By key; a text is the reason why the file cannot be read."""

Member = tuple[CandidateFile, FileInspection]


@dataclass(slots=True)
class Draft:
    """A proposal before it has a name; `words` are what its name is made of."""

    identity: str
    words: tuple[str, ...]
    root: str
    members: list[Member]
    fields: Fields
    hive_keys: tuple[str, ...]
    confidence: Confidence = Confidence.HIGH
    reasons: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return [file.object.key for file, _ in self.members]

    def lower(self, reason: str, to: Confidence = Confidence.MEDIUM) -> None:
        """Say why, and be at most so confident."""
        self.reasons.append(reason)
        if _RANK[to] < _RANK[self.confidence]:
            self.confidence = to


_RANK: Final = {Confidence.LOW: 0, Confidence.MEDIUM: 1, Confidence.HIGH: 2}


def assemble(grouping: Grouping, inspections: Inspections) -> tuple[list[Draft], list[Skipped]]:
    """Drafts sorted by root, and the files that belong to none of them."""
    drafts: list[Draft] = []
    skipped: list[Skipped] = []
    for candidate in grouping.candidates:
        readable: list[Member] = []
        unreadable = 0
        for file in candidate.files:
            found = inspections.get(file.object.key, "not inspected")
            if isinstance(found, str):
                skipped.append(Skipped(file.object.key, found))
                unreadable += 1
            elif not found.fields:
                reason = "without a column that Iceberg has a type for"
                skipped.append(Skipped(file.object.key, reason))
                unreadable += 1
            else:
                readable.append((file, found))
        if not readable:
            continue
        made = _of_candidate(candidate, readable, skipped, grouping.base)
        if unreadable:
            files = "1 file" if unreadable == 1 else f"{unreadable} files"
            made[0].lower(f"left out, since unreadable: {files}")
        drafts.extend(made)
    drafts = _without_crowds(drafts)
    drafts.sort(key=lambda draft: (draft.root, draft.identity))
    return drafts, skipped


def _of_candidate(
    candidate: Candidate, readable: Sequence[Member], skipped: list[Skipped], base: str
) -> list[Draft]:
    if candidate.hive_keys:
        return _of_partitions(candidate, readable, skipped)
    found = families([inspection.fields for _, inspection in readable])
    drafts = [
        Draft(
            identity=candidate.root,
            words=candidate.words,
            root=candidate.root,
            members=[readable[position] for position in positions],
            fields=fields,
            hive_keys=(),
        )
        for fields, positions in found
    ]
    if len(drafts) > 1:
        _separate(candidate, drafts, base)
    else:
        _explain_values(drafts[0])
        _name_by_stem(drafts[0])
    return drafts


# Names from files.


def _name_by_stem(draft: Draft) -> None:
    """A file with a name of its own names its table, also where it comes once in each folder."""
    stem = _common_stem(draft)
    if stem is None:
        return
    draft.words = (*draft.words, stem)
    if len(draft.members) == 1 and not draft.members[0][0].path.values:
        draft.identity = draft.root = draft.keys[0]
    else:
        draft.identity = f"{draft.root}{stem}"
        if len(draft.members) > 1:
            folders = f"each of {len(draft.members)} folders has a file named `{stem}`"
            draft.lower(f"{folders}; if each is a complete copy, register one of them alone")


def _common_stem(draft: Draft) -> str | None:
    """The stem that all files share, if it is no writer's."""
    stems = {file.path.stem for file, _ in draft.members}
    stem = stems.pop()
    return None if stems or is_generic(stem) else stem


def _common_beginning(draft: Draft) -> str | None:
    """What stems begin with that only differ in what writers count."""
    beginnings = {_without_number(file.path.stem) for file, _ in draft.members}
    beginning = beginnings.pop()
    if beginnings or len(beginning) < BEGINNING_CHARACTERS_MIN or is_generic(beginning):
        return None
    return beginning


def _without_number(stem: str) -> str:
    return stem.rstrip("0123456789").rstrip("-_. ")


# Several schemas.


def _separate(candidate: Candidate, drafts: Sequence[Draft], base: str) -> None:
    """Tell apart the tables of one candidate: by folder, else by file name, else by nothing."""
    folders = [{file.path.folder for file, _ in draft.members} for draft in drafts]
    others = len(drafts) - 1
    reason = f"{others} other schema{'s' if others > 1 else ''} in the same folder"
    for number, draft in enumerate(drafts):
        rest = set[str]().union(*(folders[n] for n in range(len(drafts)) if n != number))
        around = common_folder(sorted(folders[number]))
        if not any(folder.startswith(around) for folder in rest):
            draft.root = draft.identity = around
            draft.words = tuple(around[len(base) :].split("/")[:-1])
            draft.lower("other schemas in the folders beside it")
            continue
        draft.reasons.append(reason)
        beginning = _common_stem(draft) or _common_beginning(draft)
        if beginning is not None:
            draft.words = (*candidate.words, beginning)
            draft.identity = f"{candidate.root}{beginning}"
        if len(draft.members) == 1 and beginning is not None:
            draft.identity = draft.root = draft.keys[0]
        elif beginning is not None and len(folders[number]) > 1:
            draft.lower("told from the others by the names of the files")
        else:
            draft.lower("the files of one folder had to be torn apart", Confidence.LOW)
            if number and beginning is None:
                draft.identity = draft.keys[0]


def _of_partitions(
    candidate: Candidate, readable: Sequence[Member], skipped: list[Skipped]
) -> list[Draft]:
    drafts = []
    for values, members in _by_subject(candidate, readable).items():
        root, words = candidate.root, candidate.words
        if values:
            root = common_folder(sorted(file.path.folder for file, _ in members))
            words = (*words, *(value or "none" for value in values))
        found = families([inspection.fields for _, inspection in members])
        (fields, positions), *misfits = found
        draft = Draft(
            identity=root,
            words=words,
            root=root,
            members=[members[position] for position in positions],
            fields=fields,
            hive_keys=candidate.hive_keys,
        )
        if values:
            keys = ", ".join(f"`{key}`" for key in candidate.hive_keys[: len(values)])
            draft.lower(f"one table of several that {keys} tell apart: their columns differ")
        # Partition folders promise one schema: what breaks it is an accident, not a table.
        for other, misfit in misfits:
            conflict = first_conflict(fields, other)
            for position in misfit:
                key = members[position][0].object.key
                skipped.append(Skipped(key, f"does not fit the others: {conflict}"))
        if misfits:
            left_out = sum(len(misfit) for _, misfit in misfits)
            files = "1 file" if left_out == 1 else f"{left_out} files"
            draft.lower(f"left out, since the schema is another: {files}")
        lacking = sum(len(file.path.hive) < len(candidate.hive_keys) for file, _ in draft.members)
        if lacking:
            files = "1 file" if lacking == 1 else f"{lacking} files"
            draft.lower(f"{files} in fewer partition folders: the other columns are null there")
        _explain_values(draft)
        drafts.append(draft)
    return drafts


def _by_subject(
    candidate: Candidate, readable: Sequence[Member]
) -> dict[tuple[str | None, ...], list[Member]]:
    """Partitions whose first keys say what is in them (`theme=roads`), apart; else all as one.

    Only words do that: a table whose columns grow from year to year is one table.
    """
    for depth in range(len(candidate.hive_keys) + 1):
        apart: defaultdict[tuple[str | None, ...], list[Member]] = defaultdict(list)
        for member in readable:
            apart[tuple(value.value for value in member[0].path.hive[:depth])].append(member)
        if depth and not all(_is_word(values) for values in apart):
            break
        if all(_is_alike(members) for members in apart.values()):
            return dict(apart)
    return {(): list(readable)}


def _is_word(values: Sequence[str | None]) -> bool:
    return all(value is not None and kind_of(value) is FolderKind.WORD for value in values)


def _is_alike(members: Iterable[Member]) -> bool:
    """True if files share most of their columns."""
    columns = {frozenset(column["name"] for column in found.fields) for _, found in members}
    every = frozenset().union(*columns)
    return all(len(each) >= COLUMNS_SHARED_MIN * len(every) for each in columns)


def _explain_values(draft: Draft) -> None:
    """Why folders of many values are one table."""
    examples = sorted({file.path.values for file, _ in draft.members if file.path.values})
    if not examples:
        return
    kind, description = describe(examples[0])
    if kind in {FolderKind.DATE, FolderKind.TILE}:
        draft.reasons.append(description)
    else:
        draft.lower(description)
    beside = sum(not file.path.values for file, _ in draft.members)
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
    members = sorted(
        (member for draft in like for member in draft.members),
        key=lambda member: member[0].object.key,
    )
    merged = Draft("/".join((root, *words)), words, root, members, fields, like[0].hive_keys)
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
