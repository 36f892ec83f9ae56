"""From groups of files and what their footers say to proposals.  Pure.

A file that cannot be read is reported and left out: a table with it would fail in every engine.
Files are gone through and summed up, and never all of them kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import merge
from typing import Final

from graticule.discovery.assembly import NAMES_SHOWN, Draft, Membership, assemble
from graticule.discovery.bunches import Inspections
from graticule.discovery.convertible import convertible_drafts
from graticule.discovery.copies import Copies
from graticule.discovery.existing_proposals import ExistingInspection, existing_drafts, words_of
from graticule.discovery.grouping import CandidateFiles, Grouping, Skipped, StoredObject
from graticule.discovery.hive_columns import HiveColumns
from graticule.discovery.inspection import FileInspection
from graticule.discovery.names import TableName, Wanted, assign_names, plain_name
from graticule.discovery.names_in_use import NOTHING_IN_USE, NamesInUse
from graticule.discovery.places import Places, explain_places
from graticule.discovery.proposal import HiveColumn, Proposal, Proposals
from graticule.discovery.proposed_files import ProposedFiles
from graticule.discovery.schema_merge import UNKNOWN_TYPE, Fields
from graticule.discovery.sources import Landscape, sources_below

UNREADABLE_REPORTED_MAX: Final = 10_000
"""Files that could be part of a table are told one by one; so many of them are one fact."""


class _Sum:
    """What the files of one draft add up to."""

    def __init__(self, draft: Draft) -> None:
        self.rows = 0
        self.size_bytes = 0
        self.files = 0
        self.places = Places()
        self.hive = HiveColumns(draft)
        self.unsupported: set[str] = set()


def propose(
    grouping: Grouping,
    inspections: Inspections,
    *,
    existing: Mapping[str, ExistingInspection | str] | None = None,
    root_name: str = "table",
    in_use: NamesInUse = NOTHING_IN_USE,
) -> Proposals:
    """Tables sorted by root.

    `existing` says what the Iceberg tables are that lie there already, by their root, or why one
    cannot be registered.  `root_name` names a table that lies at the very root of what was scanned.
    `in_use` are the names that the catalog's tables and views have.
    """
    drafts, membership = assemble(grouping, inspections)
    found, broken = existing_drafts(grouping.existing, existing or {})
    convertible = convertible_drafts(grouping.convertible, grouping.companions, base=grouping.base)
    landscape, copies = Landscape(), Copies()
    sums = [_Sum(draft) for draft in drafts]
    skipped: list[Skipped] = []
    skipped_count = 0
    others = sorted((each.metadata_key, -1 - number) for number, each in enumerate(found))

    def owned() -> Iterator[tuple[str, int]]:
        nonlocal skipped_count
        for file in grouping.files:
            key = file.object.key
            inspection = inspections.get(key)
            number = membership.of(file, inspection)
            if isinstance(number, str) or not isinstance(inspection, FileInspection):
                skipped_count += 1
                if len(skipped) < UNREADABLE_REPORTED_MAX:
                    skipped.append(Skipped(key, str(number)))
                continue
            own = sums[number]
            own.files += 1
            own.rows += inspection.rows
            own.size_bytes += file.object.size_bytes
            own.places.add(inspection)
            own.hive.add(file, inspection)
            own.unsupported.update(inspection.unsupported_columns)
            if inspection.rows:
                copies.add(file.object, number)
            yield key, number

    for key, owner in merge(owned(), others):
        landscape.add(key, owner)
    covers = landscape.covers()
    # All files of a draft may have gone while files were gone through.
    made = {
        draft.identity: sources_below(draft.root, covers[number])
        for number, draft in enumerate(drafts)
        if sums[number].files
    }
    sources = {identity: own for identity, (own, _) in made.items()}
    sources |= {each.root: (each.root,) for each in found}

    def is_taken(identity: str, name: TableName) -> bool:
        """What would be converted becomes a table of its own, which may be there already."""
        return identity in sources and in_use.is_taken(name, sources[identity])

    names = assign_names(
        [
            *(Wanted(draft.identity, draft.words or (root_name,)) for draft in drafts),
            *(Wanted(each.root, words_of(each.root, grouping.base, root_name)) for each in found),
            *(Wanted(each.identity, each.words or (root_name,)) for each in convertible),
        ],
        is_taken=is_taken,
    )
    for draft in drafts:
        words = draft.words or (root_name,)
        is_rival = is_taken(draft.identity, plain_name(words))
        _explain_name(draft, names[draft.identity], words, is_taken=is_rival)
    copies.note(drafts, _with_rows(grouping.files, inspections, membership))
    tables = []
    for number, draft in enumerate(drafts):
        if draft.identity not in made:
            continue
        own_sources, is_alone = made[draft.identity]
        files = ProposedFiles(grouping.files, inspections, membership, number, draft.root)
        table = _finished(draft, sums[number], names[draft.identity], own_sources, files)
        if not is_alone:
            stranger = files.first_stranger() or _first_below(draft.root, others)
            table = replace(table, neighbour=stranger)
        tables.append(table)
    return Proposals(
        tables=tuple(tables),
        existing=tuple(
            each.named(
                names[each.root],
                is_taken=is_taken(
                    each.root, plain_name(words_of(each.root, grouping.base, root_name))
                ),
            )
            for each in found
        ),
        convertible=tuple(each.named(names[each.identity]) for each in convertible),
        skipped=(*grouping.skipped, *broken, *skipped),
        skipped_count=grouping.skipped_count + len(broken) + skipped_count,
    )


def _first_below(root: str, owned: Iterable[tuple[str, int]]) -> str | None:
    return next((key for key, _ in owned if key.startswith(root)), None)


def _with_rows(
    files: CandidateFiles, inspections: Inspections, membership: Membership
) -> Iterator[tuple[StoredObject, int]]:
    for file in files:
        inspection = inspections.get(file.object.key)
        number = membership.of(file, inspection)
        if isinstance(number, int) and isinstance(inspection, FileInspection) and inspection.rows:
            yield file.object, number


def _explain_name(draft: Draft, name: TableName, words: Sequence[str], *, is_taken: bool) -> None:
    plain = plain_name(words)
    if is_taken:
        draft.lower(f"the catalog has a table or view `{plain}` already: this one got a mark")
    elif name.name != plain.name:
        draft.lower(f"another dataset is named almost like `{words[-1]}`: this one got a mark")


def _finished(
    draft: Draft, own: _Sum, name: TableName, sources: tuple[str, ...], files: ProposedFiles
) -> Proposal:
    hive_columns = own.hive.columns()
    # A column that is null in every file has no type in format version 2.
    fields = tuple(column for column in draft.fields if column["type"] != UNKNOWN_TYPE)
    place = own.places.place()
    geometry_columns = own.places.geometries()
    _explain(draft, own, fields, hive_columns)
    explain_places(draft, place, geometry_columns, own.places)
    return Proposal(
        name=name.name,
        namespace=name.namespace,
        root=draft.root,
        sources=sources,
        files=files.with_hive_columns(hive_columns),
        file_count=own.files,
        rows=own.rows,
        size_bytes=own.size_bytes,
        fields=fields,
        hive_columns=hive_columns,
        place=place,
        geometry_columns=geometry_columns,
        reasons=tuple(draft.reasons),
        confidence=draft.confidence,
    )


def _explain(
    draft: Draft,
    own: _Sum,
    fields: Fields,
    hive_columns: Sequence[HiveColumn],
) -> None:
    count = own.files
    draft.reasons.insert(0, "one file" if count == 1 else f"{count} files of one schema")
    if hive_columns:
        names = ", ".join(f"`{column.name}`" for column in hive_columns)
        draft.reasons.append(f"partitioned by {names} in folder names")
    missing: dict[str, int] = {}
    widened = []
    schemas = [
        ({column["name"]: column["type"] for column in bunch.fields}, bunch.count)
        for bunch in draft.bunches
    ]
    for column in fields:
        name, types = column["name"], Counter[object]()
        for by_name, files in schemas:
            types[repr(by_name.get(name))] += files
        if without := types.pop(repr(None), 0):
            missing[name] = without
        if set(types) - {repr(column["type"]), repr(UNKNOWN_TYPE)}:
            widened.append(name)
    if missing:
        draft.lower(f"{_columns(list(missing))} missing in {_files(max(missing.values()))}")
    if widened:
        draft.lower(f"{_columns(widened)} of different types that fit together")
    if own.unsupported:
        why = "Iceberg has no such type or name, and PyIceberg refuses the files"
        draft.lower(f"{_columns(sorted(own.unsupported))} left out: {why}")
    typeless = _typeless(draft)
    if typeless:
        draft.lower(f"{_columns(typeless)} of no type in some files: PyIceberg cannot read those")
    alike = _alike_but_for_case([*(column["name"] for column in fields), *draft.hive_keys])
    if alike:
        draft.lower(f"{_columns(alike)} alike but for upper and lower case: some engines refuse")


def _typeless(draft: Draft) -> list[str]:
    """Columns that a writer gave Parquet's type for nothing but nulls."""
    found = {
        field["name"]: None
        for bunch in draft.bunches
        for field in bunch.fields
        if field["type"] == UNKNOWN_TYPE
    }
    return list(found)


def _columns(names: Sequence[str]) -> str:
    """The subject and the verb of a sentence about columns."""
    shown = ", ".join(f"`{name}`" for name in names[:NAMES_SHOWN])
    if len(names) == 1:
        return f"column {shown} is"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"columns {shown}{more} are"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _alike_but_for_case(names: Sequence[str]) -> list[str]:
    by_lower: dict[str, set[str]] = {}
    for name in names:
        by_lower.setdefault(name.lower(), set()).add(name)
    return sorted(name for same in by_lower.values() if len(same) > 1 for name in same)
