"""The boxes of many files in flat arrays.  Where they come from is told next door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from graticule.planning.ragged import Arrays
from graticule.spatial.bounding_box import LONGITUDE_MAX_DEG, BoundingBox, BoxStatus, FileBox

STATUSES: Final = (BoxStatus.UNKNOWN, BoxStatus.EXACT, BoxStatus.OUTER, BoxStatus.EMPTY)
"""The codes of `FileBoxes.statuses`; part of the stored form, so only ever append."""

UNKNOWN_CODE: Final = STATUSES.index(BoxStatus.UNKNOWN)
OUTER_CODE: Final = STATUSES.index(BoxStatus.OUTER)
EMPTY_CODE: Final = STATUSES.index(BoxStatus.EMPTY)


@dataclass(frozen=True, slots=True)
class FileBoxes:
    """`sides` has a row xmin, ymin, xmax, ymax for each rectangle and `files` says whose it is,
    rising: files that cross the antimeridian have two, empty and unknown ones none.
    """

    statuses: npt.NDArray[np.uint8]
    sides: npt.NDArray[np.float64]
    files: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, boxes: Sequence[FileBox]) -> Self:
        rows = [(at, box) for at, file_box in enumerate(boxes) for box in file_box.boxes]
        return cls(
            np.array([STATUSES.index(box.status) for box in boxes], np.uint8),
            np.array(
                [(box.xmin, box.ymin, box.xmax, box.ymax) for _, box in rows], np.float64
            ).reshape(-1, 4),
            np.array([at for at, _ in rows], np.uint32),
        )

    @classmethod
    def single(cls, statuses: npt.NDArray[np.uint8], sides: npt.NDArray[np.float64]) -> Self:
        """Of files with one row of sides each, which counts where the status says so.

        Where xmin is above xmax a file crosses the antimeridian, and gets two rectangles.
        """
        placed = np.flatnonzero((statuses != UNKNOWN_CODE) & (statuses != EMPTY_CODE))
        crosses = sides[placed, 0] > sides[placed, 2]
        if not crosses.any():
            return cls(statuses, sides[placed], placed.astype(np.uint32))
        times = np.where(crosses, 2, 1)
        rows = np.repeat(sides[placed], times, axis=0)
        firsts = (np.cumsum(times) - times)[crosses]
        rows[firsts, 2] = LONGITUDE_MAX_DEG
        rows[firsts + 1, 0] = -LONGITUDE_MAX_DEG
        return cls(statuses, rows, np.repeat(placed, times).astype(np.uint32))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        if not parts:
            return cls.of([])
        firsts = np.cumsum([0, *(len(part) for part in parts)])
        return cls(
            np.concatenate([part.statuses for part in parts]),
            np.concatenate([part.sides for part in parts]),
            np.concatenate(
                [part.files + np.uint32(first) for part, first in zip(parts, firsts, strict=False)]
            ),
        )

    def between(self, first: int, last: int) -> Self:
        """Of the files from position `first` to before `last`."""
        start, end = np.searchsorted(self.files, [first, last])
        return type(self)(
            self.statuses[first:last],
            self.sides[start:end],
            self.files[start:end] - np.uint32(first),
        )

    def taken(self, positions: npt.NDArray[np.int64]) -> Self:
        """Of the files at these positions, in their order; each at most once."""
        places = np.full(len(self), -1, np.int64)
        places[positions] = np.arange(len(positions))
        files = places[self.files]
        rows = np.flatnonzero(files >= 0)
        rows = rows[np.argsort(files[rows], kind="stable")]
        return type(self)(self.statuses[positions], self.sides[rows], files[rows].astype(np.uint32))

    def told(self, boxes: Mapping[int, FileBox]) -> Self:
        """With the boxes of some files that were unknown, by position."""
        if not boxes:
            return self
        positions = sorted(boxes)
        added = type(self).of([boxes[position] for position in positions])
        statuses = self.statuses.copy()
        statuses[positions] = added.statuses
        files = np.concatenate([self.files, np.array(positions, np.uint32)[added.files]])
        order = np.argsort(files, kind="stable")
        sides = np.concatenate([self.sides, added.sides])
        return type(self)(statuses, sides[order], files[order])

    def __len__(self) -> int:
        return len(self.statuses)

    @property
    def unknown(self) -> npt.NDArray[np.int64]:
        """The files that may lie anywhere."""
        return np.flatnonzero(self.statuses == UNKNOWN_CODE)

    def row(self, position: int) -> FileBox:
        [box] = self.rows(np.array([position]))
        return box

    def rows(self, positions: npt.NDArray[np.int64]) -> list[FileBox]:
        """Of several files, for much less than each by itself."""
        starts, ends = self.spans(positions)
        return [
            FileBox(
                STATUSES[status],
                tuple(BoundingBox(*row) for row in self.sides[start:end].tolist()),
            )
            for status, start, end in zip(
                self.statuses[positions].tolist(), starts.tolist(), ends.tolist(), strict=True
            )
        ]

    def spans(
        self, positions: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each file the row of its first rectangle, and the one after its last."""
        few = positions.astype(self.files.dtype)  # or NumPy would widen all of the others
        starts = np.searchsorted(self.files, few)
        return starts, np.searchsorted(self.files, few, side="right")

    def to_arrays(self) -> Arrays:
        return {"statuses": self.statuses, "sides": self.sides.ravel(), "files": self.files}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The inverse of `to_arrays`.

        Raises:
            KeyError: an array is missing.
            ValueError: arrays that do not belong together.
        """
        boxes = cls(
            arrays["statuses"].astype(np.uint8, copy=False),
            arrays["sides"].astype(np.float64, copy=False).reshape(-1, 4),
            arrays["files"].astype(np.uint32, copy=False),
        )
        if len(boxes.files) != len(boxes.sides) or bool((boxes.files >= len(boxes)).any()):
            raise ValueError("boxes of the index belong to no file")
        if bool((np.diff(boxes.files.astype(np.int64)) < 0).any()):
            raise ValueError("boxes of the index are not in the order of their files")
        return boxes
