"""Columns that only their name suggests to be geometries: one look decides for all.  Pure.

The files of a candidate come from one writer.  What a look into the first of them shows holds for
the others, as far as proposals go; the boxes of each are computed before it is registered.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from graticule.discovery.bunches import fields_of
from graticule.discovery.grouping import (
    CandidateFile,
    CandidateKey,
    StoredObject,
    candidate_of,
)
from graticule.discovery.inspection import FileInspection, GeometryInspection
from graticule.discovery.path_grammar import parse_path
from graticule.discovery.schema_merge import Fields
from graticule.spatial.bounding_box import EMPTY, UNKNOWN

CANDIDATE: Final = "candidate"


def unconfirmed(
    files: Iterable[CandidateFile], inspections: Mapping[str, FileInspection | str]
) -> dict[CandidateKey, StoredObject]:
    """The files to look into, one for each candidate whose rows' place hangs on it."""
    decided: set[CandidateKey] = set()
    open_: dict[CandidateKey, StoredObject] = {}
    for file in files:
        if file.candidate in decided:
            continue
        found = inspections.get(file.object.key)
        if not isinstance(found, FileInspection) or not found.rows:
            continue
        decided.add(file.candidate)
        is_placed = found.primary_geometry is not None or found.positions is not None
        if not is_placed and any(each.encoding == CANDIDATE for each in found.geometry.values()):
            open_[file.candidate] = file.object
    return open_


class Confirmed(Mapping[str, FileInspection | str]):
    """Inspections, with what a look into one of a candidate's files showed for all of them."""

    def __init__(
        self,
        known: Mapping[str, FileInspection | str],
        seen: Mapping[CandidateKey, FileInspection],
        *,
        base: str = "",
    ) -> None:
        """`base` is the key prefix of the folder that was looked through."""
        self._known = known
        self._seen = seen
        self._base = base

    def __getitem__(self, key: str) -> FileInspection | str:
        found = self._known[key]
        if not self._seen or isinstance(found, str):
            return found
        seen = self._seen.get(candidate_of(parse_path(key, base=self._base)))
        return found if seen is None else _confirmed(found, seen)

    def fields_of(self, key: str) -> Fields | str | None:
        """No look changes what columns there are."""
        return fields_of(self._known, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


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
