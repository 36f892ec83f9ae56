"""From groups of files and what their footers say to proposals.  Pure.

A file that cannot be read is reported and left out: a table with it would fail in every engine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from graticule.discovery.assembly import NAMES_SHOWN, Draft, Inspections, assemble
from graticule.discovery.convertible import convertible_drafts
from graticule.discovery.copies import note_copies
from graticule.discovery.existing_proposals import ExistingInspection, existing_drafts, words_of
from graticule.discovery.grouping import Grouping
from graticule.discovery.hive_columns import hive_columns_of, hive_text
from graticule.discovery.names import TableName, Wanted, assign_names, plain_name
from graticule.discovery.names_in_use import NOTHING_IN_USE, NamesInUse
from graticule.discovery.places import explain_places, geometries_of, place_of
from graticule.discovery.proposal import HiveColumn, Proposal, Proposals, ProposedFile
from graticule.discovery.schema_merge import UNKNOWN_TYPE, Fields
from graticule.discovery.sources import Landscape


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
    drafts, skipped = assemble(grouping, inspections)
    found, broken = existing_drafts(grouping.existing, existing or {})
    convertible = convertible_drafts(grouping.convertible, grouping.companions, base=grouping.base)
    landscape = Landscape(
        [
            *((key, draft.identity) for draft in drafts for key in draft.keys),
            *((each.metadata_key, each.root) for each in found),
        ]
    )
    sources = {
        draft.identity: landscape.sources_of(draft.identity, draft.root, draft.keys)
        for draft in drafts
    }
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
    note_copies(drafts)
    return Proposals(
        tables=tuple(
            _finished(draft, names[draft.identity], sources[draft.identity]) for draft in drafts
        ),
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
        skipped_count=grouping.skipped_count + len(broken) + len(skipped),
    )


def _explain_name(draft: Draft, name: TableName, words: Sequence[str], *, is_taken: bool) -> None:
    plain = plain_name(words)
    if is_taken:
        draft.lower(f"the catalog has a table or view `{plain}` already: this one got a mark")
    elif name.name != plain.name:
        draft.lower(f"another dataset is named almost like `{words[-1]}`: this one got a mark")


def _finished(draft: Draft, name: TableName, sources: tuple[str, ...]) -> Proposal:
    hive_columns = hive_columns_of(draft)
    hive_keys = [column.name for column in hive_columns]
    # A column that is null in every file has no type in format version 2.
    fields = tuple(column for column in draft.fields if column["type"] != UNKNOWN_TYPE)
    inspections = [inspection for _, inspection in draft.members]
    place = place_of(inspections)
    geometry_columns = geometries_of(inspections)
    _explain(draft, fields, hive_columns)
    explain_places(draft, place, geometry_columns, inspections)
    files = tuple(
        ProposedFile(
            key=file.object.key,
            size_bytes=file.object.size_bytes,
            etag=file.object.etag,
            rows=inspection.rows,
            hive=tuple(hive_text(file, key) for key in hive_keys),
        )
        for file, inspection in draft.members
    )
    return Proposal(
        name=name.name,
        namespace=name.namespace,
        root=draft.root,
        sources=sources,
        files=files,
        fields=fields,
        hive_columns=hive_columns,
        place=place,
        geometry_columns=geometry_columns,
        reasons=tuple(draft.reasons),
        confidence=draft.confidence,
    )


def _explain(
    draft: Draft,
    fields: Fields,
    hive_columns: Sequence[HiveColumn],
) -> None:
    count = len(draft.members)
    draft.reasons.insert(0, "one file" if count == 1 else f"{count} files of one schema")
    if hive_columns:
        names = ", ".join(f"`{column.name}`" for column in hive_columns)
        draft.reasons.append(f"partitioned by {names} in folder names")
    missing: dict[str, int] = {}
    widened = []
    schemas = _distinct_schemas(draft)
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
    left_out = {name for _, inspection in draft.members for name in inspection.unsupported_columns}
    if left_out:
        why = "Iceberg has no such type, and PyIceberg refuses the files"
        draft.lower(f"{_columns(sorted(left_out))} left out: {why}")
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
        for _, inspection in draft.members
        for field in inspection.fields
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


def _distinct_schemas(draft: Draft) -> list[tuple[dict[str, object], int]]:
    """Types by column name, and how many files are so: there are few of them in many files."""
    counted: dict[str, tuple[dict[str, object], int]] = {}
    for _, inspection in draft.members:
        fields = inspection.fields
        known = counted.get(key := repr(fields))
        by_name = known[0] if known else {column["name"]: column["type"] for column in fields}
        counted[key] = (by_name, known[1] + 1 if known else 1)
    return list(counted.values())
