"""Some files of an index as they are listed: as columns, since objects would cost more.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from graticule.planning.file_boxes import STATUSES, UNKNOWN_CODE
from graticule.planning.index import FileIndex
from graticule.planning.positions import Positions
from graticule.planning.ragged import run_places
from graticule.spatial.bounding_box import BoxStatus


@dataclass(frozen=True, slots=True)
class FileListing:
    """File i is at position `positions[i]` of the index.

    Its rectangles are `sides[ends[i]:ends[i + 1]]`; those without an end are left out.
    """

    positions: Positions
    paths: Sequence[bytes]
    sizes_bytes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    status_codes: npt.NDArray[np.uint8]
    sides: npt.NDArray[np.float64]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, index: FileIndex, positions: Positions) -> Self:
        numbers, places = index.columns.numbers, index.places
        starts, stops = places.spans(positions)
        lengths = stops - starts
        sides = places.sides[run_places(starts, lengths)]
        finite = np.isfinite(sides).all(axis=1)
        of_file = np.repeat(np.arange(len(positions)), lengths)[finite]
        ends = np.zeros(len(positions) + 1, np.int64)
        np.cumsum(np.bincount(of_file, minlength=len(positions)), out=ends[1:])
        return cls(
            positions=positions,
            paths=index.columns.paths.rows(positions),
            sizes_bytes=numbers["size_bytes"][positions],
            rows=numbers["record_count"][positions],
            status_codes=places.statuses[positions],
            sides=sides[finite],
            ends=ends,
        )

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def statuses(self) -> list[BoxStatus]:
        return [STATUSES[code] for code in self.status_codes.tolist()]

    @property
    def unknown(self) -> list[int]:
        """The places in the listing of files that may lie anywhere."""
        return np.flatnonzero(self.status_codes == UNKNOWN_CODE).tolist()
