"""What was read in data files without statistics, as boxes for an index.

Kept by the path and size of a file, which say all of what an Iceberg table never changes: so a file
is read once, however often manifests are rewritten and indexes built.  Who reads is `box_filling`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from sqlalchemy import Engine

from graticule.db import computed_boxes as computed_boxes_db
from graticule.db.computed_boxes import ReadFile
from graticule.db.engine import read
from graticule.discovery.inspection import FileInspection
from graticule.discovery.inspection_codec import from_bytes, is_readable
from graticule.planning.file_columns import FileColumns
from graticule.planning.index import FileIndex
from graticule.planning.row_group import RowGroup
from graticule.services.planning.footer_boxes import FooterBoxes, PlaceInFiles
from graticule.spatial.bounding_box import BoxStatus

ROW_GROUP_FILES_MAX: Final = 10_000
"""Of the files whose place is known, those whose row groups are looked up beforehand; the footers
of others are read when somebody asks."""
ASKED_BY_PATH_MAX: Final = 1_000
"""Files that are asked for one by one; of more, all that is known of the table is read."""

Found = Mapping[int, FooterBoxes | None]
"""By the positions of files; None for one that nothing more can be learnt of."""


class ComputedBoxes:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def generation(self, table_id: str) -> int:
        """A number that rises with everything that is read in a table's files; 0 before."""
        with read(self._engine) as conn:
            return computed_boxes_db.generation(conn, table_id)

    def files(
        self, table_id: str, field_id: int, paths: Collection[str], *, since: int = 0
    ) -> dict[str, ReadFile]:
        """What was read in these files after a generation."""
        wanted = frozenset(paths)
        if not wanted:
            return {}
        with read(self._engine) as conn:
            rows: Iterable[ReadFile]
            if len(wanted) <= ASKED_BY_PATH_MAX:
                rows = computed_boxes_db.of_paths(conn, table_id, field_id, list(wanted))
            else:
                rows = computed_boxes_db.since(conn, table_id, field_id, since)
            return {row.path: row for row in rows if row.path in wanted}

    def unread(
        self, table_id: str, in_files: PlaceInFiles, index: FileIndex
    ) -> Iterator[tuple[int, ReadFile | None]]:
        """Files that lack boxes and were not read to their end, by position, those that lie
        anywhere first; and what is known of them.
        """
        if in_files.field_id is None:
            return
        unknown = index.unknown.tolist()
        others = np.setdiff1d(index.lacking, index.unknown)[:ROW_GROUP_FILES_MAX].tolist()
        by_path = {index.path(at): at for at in [*unknown, *others]}
        rows = self.files(table_id, in_files.field_id, by_path)
        sizes = index.columns.numbers["size_bytes"]
        for path, at in by_path.items():
            row = rows.get(path)
            if row is not None and row.size_bytes != int(sizes[at]):
                row = None
            if is_read(row):
                continue
            if index.entry(at, with_metrics=False).file_format == "parquet":
                yield at, row

    def of_files(
        self,
        table_id: str,
        in_files: PlaceInFiles,
        columns: FileColumns,
        positions: Iterable[int],
        *,
        since: int = 0,
    ) -> Found:
        """What is known of the files at these positions, those that were never read left out."""
        if in_files.field_id is None or self.generation(table_id) <= since:
            return {}
        by_path = {columns.path(position): position for position in positions}
        found: dict[int, FooterBoxes | None] = {}
        for path, row in self.files(table_id, in_files.field_id, by_path, since=since).items():
            position = by_path[path]
            if row.size_bytes != int(columns.numbers["size_bytes"][position]):
                continue
            inspection = decoded(row)
            if inspection is not None:
                found[position] = in_files.boxes_of(inspection)
            elif row.inspection is None:
                found[position] = None
        return found


def is_read(row: ReadFile | None) -> bool:
    """Whether there is nothing more to be learnt of a file."""
    if row is None or row.next_group is not None:
        return False
    return row.inspection is None or is_readable(row.inspection)


def decoded(row: ReadFile) -> FileInspection | None:
    """What was found in a file; None if nothing was, or another version has written it down."""
    if row.inspection is None:
        return None
    try:
        return from_bytes(row.inspection)
    except ValueError:
        return None


def told(index: FileIndex, found: Found) -> FileIndex:
    """The index with what was found, the same one if that adds nothing."""
    known = {at: boxes for at, boxes in found.items() if boxes is not None}
    unknown = set(index.unknown.tolist())
    boxes = {
        at: one.file_box
        for at, one in known.items()
        if at in unknown and one.file_box.status is not BoxStatus.UNKNOWN
    }
    groups = {at: one.row_groups for at, one in known.items() if _says_something(one.row_groups)}
    return index.told(boxes, groups) if boxes or groups else index


def _says_something(groups: Iterable[RowGroup]) -> bool:
    return any(group.box.status is not BoxStatus.UNKNOWN for group in groups)
