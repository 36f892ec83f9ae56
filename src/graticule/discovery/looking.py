"""Columns that only their name suggests to be geometries: one look decides for all.  Pure.

The files of a candidate come from one writer.  What a look into the first of them shows holds for
the others, as far as proposals go; the boxes of each are computed before it is registered.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from graticule.discovery.grouping import Candidate, StoredObject
from graticule.discovery.inspection import FileInspection, GeometryInspection
from graticule.spatial.bounding_box import EMPTY, UNKNOWN

CANDIDATE: Final = "candidate"


def unconfirmed(
    candidate: Candidate, inspections: Mapping[str, FileInspection | str]
) -> StoredObject | None:
    """The file to look into, if the place of the candidate's rows hangs on it."""
    for file in candidate.files:
        found = inspections.get(file.object.key)
        if isinstance(found, FileInspection) and found.rows:
            if found.primary_geometry is not None or found.positions is not None:
                return None
            is_open = any(each.encoding == CANDIDATE for each in found.geometry.values())
            return file.object if is_open else None
    return None


def confirmed(
    candidate: Candidate,
    inspections: Mapping[str, FileInspection | str],
    seen: FileInspection,
) -> dict[str, FileInspection | str]:
    """The inspections of a candidate's files, after one of them was looked into."""
    return {
        file.object.key: _confirmed(found, seen)
        for file in candidate.files
        if isinstance(found := inspections.get(file.object.key), FileInspection)
    }


def _confirmed(found: FileInspection, seen: FileInspection) -> FileInspection:
    geometry: dict[str, GeometryInspection] = {}
    for name, column in found.geometry.items():
        known = seen.geometry.get(name)
        if column.encoding != CANDIDATE:
            geometry[name] = column
        elif known is not None and known.encoding != CANDIDATE:
            note = f"column `{name}` is declared nowhere: a look into its first file shows"
            geometry[name] = replace(
                column,
                encoding=known.encoding,
                crs=known.crs,
                crs_source=known.crs_source,
                file_box=UNKNOWN if found.rows else EMPTY,
                notes=(*column.notes, f"{note} {known.encoding}"),
            )
    primary = found.primary_geometry or seen.primary_geometry
    if primary not in geometry:
        primary = None
    return replace(found, geometry=geometry, primary_geometry=primary)
