"""Which files of a snapshot, and which of their row groups, an area may touch.  Pure.

What is not known counts as touched: a file or row group that may match is never left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from graticule.planning.index import FileIndex
from graticule.planning.positions import Positions, common, flags, united
from graticule.planning.row_group import RowGroup
from graticule.spatial.bounding_box import BoxStatus
from graticule.spatial.search_area import PlacedArea


class ComparedBy(StrEnum):
    """What an area was compared with the boxes by."""

    NOTHING = "nothing"
    """No area, or one that cannot be placed among the coordinates."""
    BOXES = "boxes"
    """The rectangles around the area."""
    GEOMETRY = "geometry"
    """The area itself, which leaves fewer."""


@dataclass(frozen=True, slots=True)
class Totals:
    """`unknown_kept` of the kept files are kept because nobody knows where they lie."""

    files: int = 0
    files_kept: int = 0
    rows: int = 0
    rows_kept: int = 0
    bytes: int = 0
    bytes_kept: int = 0
    unknown_kept: int = 0


@dataclass(frozen=True, slots=True)
class Matches:
    """`kept` are positions of files, rising."""

    kept: Positions
    totals: Totals
    compared_by: ComparedBy

    def page(self, first: int, limit: int) -> tuple[Positions, int | None]:
        """`limit` of the kept files from position `first` of the index on, and where to go on.

        Not from a place among those kept: of the same snapshot fewer may be kept by the next page.
        """
        start = int(np.searchsorted(self.kept, first))
        listed = self.kept[start : start + limit].astype(np.int64)
        rest = self.kept[start + limit : start + limit + 1]
        return listed, int(rest[0]) if len(rest) else None


def match_files(index: FileIndex, area: PlacedArea | None) -> Matches:
    """The files that an area may touch; all of them without an area."""
    windows = None if area is None else area.search_windows
    kept = index.select(windows)
    compared_by = ComparedBy.NOTHING if windows is None else ComparedBy.BOXES
    if area is not None and area.is_refining and windows is not None:
        kept = _refined(index, kept, area)
        compared_by = ComparedBy.GEOMETRY
    numbers = index.columns.numbers
    rows, sizes, is_all = numbers["record_count"], numbers["size_bytes"], len(kept) == len(index)
    totals = Totals(
        files=len(index),
        files_kept=len(kept),
        rows=_sum(rows),
        rows_kept=_sum(rows if is_all else rows[kept]),
        bytes=_sum(sizes),
        bytes_kept=_sum(sizes if is_all else sizes[kept]),
        unknown_kept=len(common(index.unknown, kept, len(index))),
    )
    return Matches(kept, totals, compared_by)


def match_row_groups(groups: Sequence[RowGroup], area: PlacedArea | None) -> Sequence[RowGroup]:
    """Those of one file's row groups that an area may touch."""
    windows = None if area is None else area.search_windows
    if area is None or windows is None:
        return groups
    kept = [g for g in groups if any(g.box.may_intersect(window) for window in windows)]
    if not area.is_refining:
        return kept
    refined = []
    for group in kept:
        sides = np.array(
            [(box.xmin, box.ymin, box.xmax, box.ymax) for box in group.box.boxes], np.float64
        )
        if group.box.status is BoxStatus.UNKNOWN or area.met_by(sides.reshape(-1, 4)).any():
            refined.append(group)
    return refined


def _refined(index: FileIndex, kept: Positions, area: PlacedArea) -> Positions:
    """Those with a box that the geometry itself meets."""
    count = len(index)
    rows = np.flatnonzero(flags(kept, count)[index.places.files])
    met = index.places.files[rows[area.met_by(index.places.sides[rows])]]
    return common(kept, united([met, index.unknown], count), count)


def _sum(numbers: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> int:
    return int(numbers.sum(dtype=np.int64))
