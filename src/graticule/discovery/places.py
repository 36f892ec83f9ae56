"""Where the rows of a proposed table lie: its geometry columns, or a pair of positions.  Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from graticule.discovery.assembly import Draft
from graticule.discovery.inspection import FileInspection, GeometryInspection
from graticule.discovery.proposal import ProposedPlace
from graticule.spatial.bounding_box import (
    LONGITUDE_MAX_DEG,
    BoundingBox,
    BoxStatus,
    union_of,
)
from graticule.spatial.box_columns import BoxColumns
from graticule.spatial.crs import Crs, agreed

TEXTS = frozenset({"WKT", "GeoJSON", "hex WKB"})


@dataclass(slots=True)
class _Column:
    """What the files say of one geometry column, or of the positions."""

    files: int = 0
    files_with_rows: int = 0
    unknown_boxes: int = 0
    encodings: Counter[str] = field(default_factory=Counter)
    systems: dict[Crs, None] = field(default_factory=dict)
    edges: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    box_columns: set[BoxColumns | None] = field(default_factory=set)
    """In files with rows."""
    sources: Counter[str] = field(default_factory=Counter)
    notes: set[str] = field(default_factory=set)
    extent: BoundingBox | None = None

    def add(self, found: GeometryInspection, *, has_rows: bool) -> None:
        self.files += 1
        self.files_with_rows += has_rows
        self.encodings[found.encoding] += 1
        self.systems.setdefault(found.crs)
        self.edges.add(found.edges)
        self.types.update(found.types)
        if has_rows:
            self.box_columns.add(found.box_columns)
        self.sources[found.source.value] += 1
        self.notes.update(found.notes)
        if found.file_box.status is BoxStatus.UNKNOWN:
            self.unknown_boxes += 1
        elif found.file_box.boxes:
            before = () if self.extent is None else (self.extent,)
            self.extent = union_of((*before, *found.file_box.boxes))


class Places:
    """What the files of one table say of places, file by file."""

    def __init__(self) -> None:
        self._files = 0
        self._files_with_rows = 0
        self._votes: Counter[str] = Counter()
        self._columns: dict[str, _Column] = {}
        self._positions = _Column()
        self._notes: Counter[str] = Counter()

    def add(self, inspection: FileInspection) -> None:
        has_rows = bool(inspection.rows)
        self._files += 1
        self._files_with_rows += has_rows
        if inspection.primary_geometry:
            self._votes[inspection.primary_geometry] += 1
        for name, found in inspection.geometry.items():
            self._columns.setdefault(name, _Column()).add(found, has_rows=has_rows)
        if inspection.positions is not None:
            self._positions.add(inspection.positions, has_rows=has_rows)
        self._notes.update(inspection.notes)

    def place(self) -> ProposedPlace | None:
        """The geometry that most files name first, else positions that all files have."""
        if self._votes:
            column = self._votes.most_common(1)[0][0]
            return self._summary(column, self._columns.get(column, _Column()))
        found = self._positions
        if len(found.box_columns) != 1 or found.files_with_rows != self._files_with_rows:
            return None
        return self._summary(None, found)

    def geometries(self) -> tuple[ProposedPlace, ...]:
        """All geometry columns, in the order in which they come first."""
        return tuple(self._summary(name, found) for name, found in self._columns.items())

    def _summary(self, column: str | None, found: _Column) -> ProposedPlace:
        box_columns = set(found.box_columns)
        if found.files_with_rows < self._files_with_rows:
            box_columns.add(None)
        extent = found.extent
        return ProposedPlace(
            column=column,
            encoding=found.encodings.most_common(1)[0][0],
            crs=agreed(*found.systems).identifier,
            edges=next(iter(found.edges)) if len(found.edges) == 1 else "unknown",
            types=tuple(sorted(found.types)),
            box_columns=box_columns.pop() if len(box_columns) == 1 else None,
            extent=None if extent is None else (extent.xmin, extent.ymin, extent.xmax, extent.ymax),
            sources=dict(sorted(found.sources.items())),
            unknown_files=found.unknown_boxes + self._files - found.files,
        )

    def notes_of(self, column: str) -> list[str]:
        own = self._columns.get(column)
        return [] if own is None else sorted(own.notes)

    def notes_of_files(self) -> list[str]:
        """What was noted of whole files, and of how many unless of all."""
        return [
            note if count == self._files else f"{note} (in {count} of {self._files} files)"
            for note, count in sorted(self._notes.items())
        ]

    def doubts(self) -> list[str]:
        """Why there are no positions, though some files have them."""
        found = self._positions
        if len(found.box_columns) > 1:
            return ["files differ in which columns hold positions: there are none to search by"]
        if found.box_columns and found.files_with_rows < self._files_with_rows:
            lacking = self._files_with_rows - found.files_with_rows
            return [
                f"no positions to search by: {lacking} of {self._files_with_rows} files lack them"
            ]
        return []

    def systems_of(self, column: str | None) -> set[Crs]:
        own = self._columns.get(column or "")
        return set(own.systems) if own is not None else set()


def explain_places(
    draft: Draft,
    place: ProposedPlace | None,
    geometry_columns: Sequence[ProposedPlace],
    places: Places,
) -> None:
    """What a person has to know of the geometries before a table is made of them."""
    for each in geometry_columns:
        if each.encoding in TEXTS:
            draft.reasons.append(
                f"column `{each.column}` holds geometries as {each.encoding}: "
                "engines see text until it is converted"
            )
        elif each.encoding not in {"WKB", "EWKB", "candidate"}:
            draft.reasons.append(
                f"column `{each.column}` is encoded as GeoArrow `{each.encoding}`: "
                "engines see its coordinates and no geometry"
            )
    draft.reasons.extend(places.notes_of_files())
    if place is None:
        draft.reasons.extend(places.doubts())
        return
    if place.column is None:
        if place.box_columns is not None:
            x, y = place.box_columns.xmin, place.box_columns.ymin
            draft.lower(f"positions in `{x}` and `{y}`, by their names and ranges")
        return
    others = [f"`{each.column}`" for each in geometry_columns if each.column != place.column]
    if others:
        draft.reasons.append(f"searched by `{place.column}`, not by {', '.join(others)}")
    _explain_crs(draft, place, places.systems_of(place.column))
    draft.reasons.extend(places.notes_of(place.column))


def _explain_crs(draft: Draft, place: ProposedPlace, declared: Collection[Crs]) -> None:
    if len(declared) > 1 and place.crs is None:
        names = ", ".join(sorted(str(crs) for crs in declared))
        draft.lower(f"files differ in their reference system ({names})")
    elif place.crs is None:
        draft.reasons.append(f"the reference system of `{place.column}` is not known")
    if place.extent is not None and place.crs in {"OGC:CRS84", "EPSG:4326"}:
        xmax = place.extent[2]
        if xmax > LONGITUDE_MAX_DEG:
            draft.reasons.append(f"longitudes go on to {xmax:g}: they count from 0 to 360")
