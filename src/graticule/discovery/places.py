"""Where the rows of a proposed table lie: its geometry columns, or a pair of positions.  Pure."""

from collections import Counter
from collections.abc import Sequence

from graticule.discovery.assembly import Draft
from graticule.discovery.inspection import FileInspection, GeometryInspection
from graticule.discovery.proposal import ProposedPlace
from graticule.spatial.bounding_box import LONGITUDE_MAX_DEG, BoxStatus, combine
from graticule.spatial.crs import agreed

TEXTS = frozenset({"WKT", "GeoJSON", "hex WKB"})


def place_of(inspections: Sequence[FileInspection]) -> ProposedPlace | None:
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


def geometries_of(inspections: Sequence[FileInspection]) -> tuple[ProposedPlace, ...]:
    """All geometry columns, in the order in which they come first."""
    names = dict.fromkeys(name for inspection in inspections for name in inspection.geometry)
    return tuple(
        _summary(name, [inspection.geometry.get(name) for inspection in inspections], inspections)
        for name in names
    )


def explain_places(
    draft: Draft,
    place: ProposedPlace | None,
    geometry_columns: Sequence[ProposedPlace],
    inspections: Sequence[FileInspection],
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
    if place is None:
        return
    if place.column is None:
        if place.box_columns is not None:
            x, y = place.box_columns.xmin, place.box_columns.ymin
            draft.lower(f"positions in `{x}` and `{y}`, by their names and ranges")
        return
    others = [f"`{each.column}`" for each in geometry_columns if each.column != place.column]
    if others:
        draft.reasons.append(f"searched by `{place.column}`, not by {', '.join(others)}")
    _explain_crs(draft, place, inspections)
    notes = {
        note
        for inspection in inspections
        for note in (*inspection.notes, *_notes_of(inspection, place.column))
    }
    draft.reasons.extend(sorted(notes))


def _explain_crs(draft: Draft, place: ProposedPlace, inspections: Sequence[FileInspection]) -> None:
    declared = {
        inspection.geometry[place.column].crs
        for inspection in inspections
        if place.column is not None and place.column in inspection.geometry
    }
    if len(declared) > 1 and place.crs is None:
        names = ", ".join(sorted(str(crs) for crs in declared))
        draft.lower(f"files differ in their reference system ({names})")
    elif place.crs is None:
        draft.reasons.append(f"the reference system of `{place.column}` is not known")
    if place.extent is not None and place.crs in {"OGC:CRS84", "EPSG:4326"}:
        xmax = place.extent[2]
        if xmax > LONGITUDE_MAX_DEG:
            draft.reasons.append(f"longitudes go on to {xmax:g}: they count from 0 to 360")


def _notes_of(inspection: FileInspection, column: str) -> tuple[str, ...]:
    found = inspection.geometry.get(column)
    return found.notes if found is not None else ()
