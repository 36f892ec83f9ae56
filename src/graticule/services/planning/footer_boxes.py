"""The boxes of data files and of their row groups, from the footers: many files side by side.

What cannot be read, or does not fit the table's column, is left out, and then nothing is known.
"""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from graticule.discovery.inspection import CrsSource, FileInspection, GeometryInspection
from graticule.discovery.registration import NAME_MAPPING_PROPERTY
from graticule.domain.errors import CatalogError
from graticule.iceberg import metadata
from graticule.planning.files import DataFileEntry
from graticule.planning.row_group import RowGroup
from graticule.planning.table_places import TablePlace, crs_of, edges_of
from graticule.spatial.bounding_box import UNKNOWN, FileBox
from graticule.spatial.crs import agreed
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet_computed import Wanted
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

FOOTERS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class FooterBoxes:
    """Of one column, or pair, of one file."""

    file_box: FileBox
    row_groups: tuple[RowGroup, ...]


class PlaceInFiles:
    """A table's place as its files tell of it: by other names, in their reference systems."""

    def __init__(self, document: Json, place: TablePlace) -> None:
        schema = metadata.current_schema(document)
        self._place = place
        self._names = _names_by_id(document)
        self._crs = crs_of(document, schema, place)
        self._edges = edges_of(document, schema, place)

    @property
    def field_id(self) -> int | None:
        """Of the geometry column; None without one."""
        geometry = self._place.geometry
        return None if geometry is None else self._place.field_ids[geometry]

    def boxes_of(self, inspection: FileInspection) -> FooterBoxes | None:
        """What a file's inspection means for the table; None if it lacks the column."""
        found = self._column(inspection)
        if found is None:
            return None
        if not (self._is_in_crs(found) and self._has_edges(found)):
            found = replace(
                found,
                file_box=UNKNOWN,
                row_group_boxes=tuple(UNKNOWN for _ in inspection.row_groups),
            )
        return FooterBoxes(found.file_box, inspection.row_groups_of(found))

    def wanted(self, inspection: FileInspection) -> Wanted | None:
        """The geometry column as this file calls it; None without one."""
        if self.field_id is None:
            return None
        name = self._name_in(inspection, self.field_id)
        return None if name is None else Wanted(name, self._edges)

    def _has_edges(self, found: GeometryInspection) -> bool:
        """False if the file bounds other edges between its vertices than the table has."""
        if self._place.geometry is None or found.edges == self._edges:
            return True
        kinds = {kind.partition(" ")[0] for kind in found.types}
        return bool(kinds) and kinds <= {"Point", "MultiPoint"}

    def _is_in_crs(self, found: GeometryInspection) -> bool:
        """False if the file's numbers cannot be compared with those of the table's other files."""
        if not self._crs.is_known:
            return True
        if found.crs_source is CrsSource.DISPUTED:
            return False
        return not found.crs.is_known or agreed(found.crs, self._crs).is_known

    def _column(self, inspection: FileInspection) -> GeometryInspection | None:
        """What the file says of the very column that the table means, whatever its name there."""
        geometry = self._place.geometry
        if geometry is not None:
            name = self._name_in(inspection, self._place.field_ids[geometry])
            return None if name is None else inspection.geometry.get(name)
        found = inspection.positions
        if found is None or found.box_columns is None:
            return None
        meant = {
            tuple(self._name_in(inspection, self._place.field_ids[n]) for n in columns.names)
            for columns in self._place.columns
        }
        return found if found.box_columns.names in meant else None

    def _name_in(self, inspection: FileInspection, field_id: int) -> str | None:
        """By the ids in the file, else by the table's name mapping; two columns are none."""
        if inspection.field_ids:
            names: Iterable[str] = (
                name for name, found in inspection.field_ids.items() if found == field_id
            )
        else:
            columns = {field["name"] for field in inspection.fields}
            names = self._names.get(field_id, frozenset()) & columns
        found = list(names)
        return found[0] if len(found) == 1 else None


class FooterReader:
    """Reads footers of one table's files; boxes are of its `place`."""

    def __init__(
        self, store: ObjectStore, workers: InspectionWorkers, document: Json, place: TablePlace
    ) -> None:
        self._store = store
        self._workers = workers
        self._has_place = bool(place.key)
        self._in_files = PlaceInFiles(document, place)

    def read(self, entries: Mapping[int, DataFileEntry]) -> dict[int, FooterBoxes]:
        """By the positions of the entries.  For an index that grows: of the added files only."""
        if not self._has_place:
            return {}
        with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
            found = zip(entries, pool.map(self.read_one, entries.values()), strict=True)
            return {at: boxes for at, boxes in found if boxes is not None}

    def read_one(self, entry: DataFileEntry) -> FooterBoxes | None:
        """None if the file is no Parquet file, cannot be read, or lacks the column."""
        if entry.file_format != "parquet":
            return None
        with suppress(CatalogError):
            inspection = self._workers.inspect(
                lambda offset, length: self._store.get(entry.path, range=(offset, length)),
                entry.size_bytes,
            )
            return self._in_files.boxes_of(inspection)
        return None


def _names_by_id(document: Json) -> dict[int, frozenset[str]]:
    """How top-level fields are called in files without ids: by the name mapping, if there is one.

    Without one, files without ids can only have been written under the current names.
    """
    text = metadata.properties(document).get(NAME_MAPPING_PROPERTY)
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        if text is not None:
            return {
                int(mapped["field-id"]): frozenset(map(str, mapped["names"]))
                for mapped in json.loads(text)
                if "field-id" in mapped
            }
    fields = metadata.current_schema(document).get("fields") or []
    return {int(field["id"]): frozenset({str(field["name"])}) for field in fields}
