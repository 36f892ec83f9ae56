"""From groups of files and what their footers say to proposals.  Pure.

A file that cannot be read is reported and left out: a table with it would fail in every engine.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graticule.discovery.grouping import Candidate, CandidateFile, Grouping, Skipped
from graticule.discovery.hive_types import infer_type, parse_value
from graticule.discovery.inspection import FileInspection, GeometryInspection
from graticule.discovery.names import assign_names, is_generic
from graticule.discovery.proposal import (
    Confidence,
    HiveColumn,
    Proposal,
    Proposals,
    ProposedFile,
    ProposedPlace,
)
from graticule.discovery.schema_merge import UNKNOWN_TYPE, Fields, families, first_conflict
from graticule.spatial.bounding_box import BoxStatus, combine
from graticule.spatial.crs import agreed

SOURCES_AS_FILES_MAX = 4
"""A table of more files of a shared folder is vended the folder: policies have little room."""

Inspections = Mapping[str, FileInspection | str]
"""By key; a text is the reason why the file cannot be read."""


@dataclass(slots=True)
class _Draft:
    """A proposal before it has a name; `path` is what its name is made of."""

    identity: str
    path: str
    root: str
    sources: tuple[str, ...]
    members: list[tuple[CandidateFile, FileInspection]]
    fields: Fields
    hive_keys: tuple[str, ...]
    confidence: Confidence = Confidence.HIGH
    reasons: list[str] = field(default_factory=list)


def propose(
    grouping: Grouping,
    inspections: Inspections,
    *,
    root_name: str = "table",
    taken: Mapping[str, str] | None = None,
) -> Proposals:
    """Tables sorted by root.

    `root_name` names a table that lies at the very root of what was scanned.  `taken` holds the
    names of tables that are registered already, by root.
    """
    skipped: list[Skipped] = []
    drafts: list[_Draft] = []
    for candidate in grouping.candidates:
        readable: list[tuple[CandidateFile, FileInspection]] = []
        for file in candidate.files:
            found = inspections.get(file.object.key, "not inspected")
            if isinstance(found, str):
                skipped.append(Skipped(file.object.key, found))
            elif not found.fields:
                skipped.append(
                    Skipped(file.object.key, "without a column that Iceberg has a type for")
                )
            else:
                readable.append((file, found))
        if readable:
            drafts.extend(_drafts(candidate, readable, skipped, root_name))
    names = assign_names([(draft.identity, draft.path) for draft in drafts], taken=taken)
    return Proposals(
        tables=tuple(_finished(draft, names[draft.identity]) for draft in drafts),
        skipped=(*grouping.skipped, *skipped),
        skipped_count=grouping.skipped_count + len(skipped),
    )


def _drafts(
    candidate: Candidate,
    readable: Sequence[tuple[CandidateFile, FileInspection]],
    skipped: list[Skipped],
    root_name: str,
) -> list[_Draft]:
    found = families([inspection.fields for _, inspection in readable])
    folder = candidate.root or root_name
    drafts = []
    for number, (fields, positions) in enumerate(found):
        members = [readable[position] for position in positions]
        keys = tuple(file.object.key for file, _ in members)
        if candidate.hive_keys and number:
            # Partition folders promise one schema: what breaks it is an accident, not a table.
            reason = first_conflict(found[0][0], fields)
            skipped.extend(Skipped(key, f"does not fit the others: {reason}") for key in keys)
            continue
        draft = _Draft(
            identity=candidate.root if not number else keys[0],
            path=folder,
            root=candidate.root,
            sources=(candidate.root,),
            members=members,
            fields=fields,
            hive_keys=candidate.hive_keys,
        )
        if len(found) > 1 and not candidate.hive_keys:
            _separate(draft, keys, others=len(found) - 1)
        elif len(keys) == 1 and not candidate.hive_keys and not is_generic(members[0][0].path.stem):
            _single(draft, members[0][0])
        drafts.append(draft)
    return drafts


def _single(draft: _Draft, file: CandidateFile) -> None:
    """A file with a name of its own is a table of its own."""
    draft.identity = draft.root = file.object.key
    draft.sources = (file.object.key,)
    draft.path = f"{file.path.root}{file.path.stem}"


def _separate(draft: _Draft, keys: tuple[str, ...], *, others: int) -> None:
    draft.reasons.append(f"{others} other schema{'s' if others > 1 else ''} in the same folder")
    if len(keys) == 1 and not is_generic(draft.members[0][0].path.stem):
        _single(draft, draft.members[0][0])
        return
    draft.confidence = Confidence.LOW
    if len(keys) <= SOURCES_AS_FILES_MAX:
        draft.sources = keys


def _finished(draft: _Draft, name: str) -> Proposal:
    hive_columns = _hive_columns(draft)
    hive_keys = [column.name for column in hive_columns]
    # A column that is null in every file has no type in format version 2.
    fields = tuple(column for column in draft.fields if column["type"] != UNKNOWN_TYPE)
    place = _place([inspection for _, inspection in draft.members])
    _explain(draft, fields, hive_columns, place)
    files = tuple(
        ProposedFile(
            key=file.object.key,
            size_bytes=file.object.size_bytes,
            etag=file.object.etag,
            rows=inspection.rows,
            hive=tuple(_hive_text(file, key) for key in hive_keys),
        )
        for file, inspection in draft.members
    )
    return Proposal(
        name=name,
        root=draft.root,
        sources=draft.sources,
        files=files,
        fields=fields,
        hive_columns=hive_columns,
        place=place,
        reasons=tuple(draft.reasons),
        confidence=draft.confidence,
    )


def _lower(draft: _Draft, reason: str) -> None:
    draft.reasons.append(reason)
    if draft.confidence is Confidence.HIGH:
        draft.confidence = Confidence.MEDIUM


def _explain(
    draft: _Draft,
    fields: Fields,
    hive_columns: Sequence[HiveColumn],
    place: ProposedPlace | None,
) -> None:
    count = len(draft.members)
    draft.reasons.insert(0, "one file" if count == 1 else f"{count} files of one schema")
    if hive_columns:
        names = ", ".join(f"`{column.name}`" for column in hive_columns)
        draft.reasons.append(f"partitioned by {names} in folder names")
    schemas = _distinct_schemas(draft)
    for column in fields:
        name, types = column["name"], Counter[object]()
        for by_name, files in schemas:
            types[repr(by_name.get(name))] += files
        if missing := types.pop(repr(None), 0):
            _lower(draft, f"column `{name}` is missing in {missing} files")
        if set(types) - {repr(column["type"]), repr(UNKNOWN_TYPE)}:
            _lower(draft, f"column `{name}` has different types that fit together")
    left_out = sorted(
        {name for _, inspection in draft.members for name in inspection.unsupported_columns}
    )
    for name in left_out:
        _lower(draft, f"column `{name}` is left out: Iceberg has no type for it")
    if place is not None and place.column is None and place.box_columns is not None:
        x, y = place.box_columns.xmin, place.box_columns.ymin
        _lower(draft, f"positions in `{x}` and `{y}`, by their names and ranges")


def _distinct_schemas(draft: _Draft) -> list[tuple[dict[str, object], int]]:
    """Types by column name, and how many files are so: there are few of them in many files."""
    counted: dict[str, tuple[dict[str, object], int]] = {}
    for _, inspection in draft.members:
        fields = inspection.fields
        known = counted.get(key := repr(fields))
        by_name = known[0] if known else {column["name"]: column["type"] for column in fields}
        counted[key] = (by_name, known[1] + 1 if known else 1)
    return list(counted.values())


def _hive_text(file: CandidateFile, key: str) -> str | None:
    return next((value.value for value in file.path.hive if value.key == key), None)


def _hive_columns(draft: _Draft) -> tuple[HiveColumn, ...]:
    columns = []
    in_files = {column["name"]: column["type"] for column in draft.fields}
    for key in dict.fromkeys(draft.hive_keys):
        texts = [_hive_text(file, key) for file, _ in draft.members]
        type_ = in_files.get(key, UNKNOWN_TYPE)
        if type_ == UNKNOWN_TYPE:
            columns.append(HiveColumn(key, infer_type(texts), in_files=False))
        elif isinstance(type_, str) and all(map(_reads_as(type_), texts)):
            columns.append(HiveColumn(key, type_, in_files=True))
        else:
            _lower(
                draft, f"folder names do not fit column `{key}`, which the files hold themselves"
            )
    return tuple(columns)


def _reads_as(type_: str) -> Callable[[str | None], bool]:
    def reads(text: str | None) -> bool:
        try:
            parse_value(type_, text)
        except Exception:  # noqa: BLE001 - any failure means the same: it does not read
            return False
        return True

    return reads


def _place(inspections: Sequence[FileInspection]) -> ProposedPlace | None:
    """The geometry that most files name first, else positions that all files have."""
    votes = Counter(
        inspection.primary_geometry for inspection in inspections if inspection.primary_geometry
    )
    if votes:
        column = votes.most_common(1)[0][0]
        found = [inspection.geometry.get(column) for inspection in inspections]
        return _summary(column, found, inspections)
    positions = [inspection.positions for inspection in inspections if inspection.rows]
    pairs = {found.box_columns for found in positions if found is not None}
    if len(pairs) != 1 or None in positions:
        return None
    return _summary(None, [inspection.positions for inspection in inspections], inspections)


def _summary(
    column: str | None,
    found: Sequence[GeometryInspection | None],
    inspections: Sequence[FileInspection],
) -> ProposedPlace:
    known = [geometry for geometry in found if geometry is not None]
    boxes = [geometry.file_box for geometry in known]
    located = [box for box in boxes if box.status is not BoxStatus.UNKNOWN]
    extent = combine(located).extent
    with_rows = [
        geometry for geometry, inspection in zip(found, inspections, strict=True) if inspection.rows
    ]
    columns = {geometry.box_columns if geometry is not None else None for geometry in with_rows}
    edges = {geometry.edges for geometry in known}
    crs = agreed(*(geometry.crs for geometry in known))
    return ProposedPlace(
        column=column,
        encoding=Counter(geometry.encoding for geometry in known).most_common(1)[0][0],
        crs=crs.identifier,
        edges=edges.pop() if len(edges) == 1 else "unknown",
        types=tuple(sorted({kind for geometry in known for kind in geometry.types})),
        box_columns=columns.pop() if len(columns) == 1 else None,
        extent=None if extent is None else (extent.xmin, extent.ymin, extent.xmax, extent.ymax),
        sources=dict(sorted(Counter(geometry.source.value for geometry in known).items())),
        unknown_files=sum(box.status is BoxStatus.UNKNOWN for box in boxes)
        + sum(geometry is None for geometry in found),
    )
