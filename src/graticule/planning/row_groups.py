"""The row groups of many files in flat arrays: where each lies in its file and in the plane.

Pure and immutable.  Who fills it decides which files have any: one without is read as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from graticule.planning.file_boxes import FileBoxes
from graticule.planning.ragged import Arrays, named, whole_numbers, within
from graticule.planning.row_group import RowGroup, RowGroupSpan

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Row group i is number `ordinals[i]` of the file at position `files[i]`, which never falls.

    `starts` and `lengths` are its bytes in the file, `rows` how many it has; `boxes` says of row
    group i what it would say of a file at position i.
    """

    files: npt.NDArray[np.uint32]
    ordinals: npt.NDArray[np.uint32]
    starts: Numbers
    lengths: Numbers
    rows: Numbers
    boxes: FileBoxes

    @classmethod
    def none(cls) -> Self:
        ids, numbers = np.zeros(0, np.uint32), np.zeros(0, np.int64)
        return cls(ids, ids, numbers, numbers, numbers, FileBoxes.of([]))

    @classmethod
    def of(cls, groups: Mapping[int, Sequence[RowGroup]]) -> Self:
        """By the positions of their files."""
        listed = [(at, group) for at in sorted(groups) for group in groups[at]]
        spans = np.array([group.span for _, group in listed], np.int64).reshape(-1, 3)
        return cls(
            np.array([at for at, _ in listed], np.uint32),
            np.array([group.ordinal for _, group in listed], np.uint32),
            spans[:, 0],
            spans[:, 1],
            spans[:, 2],
            FileBoxes.of([group.box for _, group in listed]),
        )

    def __len__(self) -> int:
        return len(self.files)

    def row(self, at: int) -> RowGroup:
        span = RowGroupSpan(int(self.starts[at]), int(self.lengths[at]), int(self.rows[at]))
        return RowGroup(int(self.ordinals[at]), span, self.boxes.row(at))

    def told(self, groups: Mapping[int, Sequence[RowGroup]]) -> Self:
        """With the row groups of some files, by position, in place of those that they had."""
        if not groups:
            return self
        added = type(self).of(groups)
        stays = np.flatnonzero(~np.isin(self.files, np.fromiter(groups, np.uint32, len(groups))))
        files = np.concatenate([self.files[stays], added.files])
        order = np.argsort(files, kind="stable")
        rows = np.concatenate([stays, np.arange(len(self), len(self) + len(added))])[order]
        return type(self)(
            files[order],
            np.concatenate([self.ordinals, added.ordinals])[rows],
            np.concatenate([self.starts, added.starts])[rows],
            np.concatenate([self.lengths, added.lengths])[rows],
            np.concatenate([self.rows, added.rows])[rows],
            FileBoxes.concatenated([self.boxes, added.boxes]).taken(rows),
        )

    def of_file(self, position: int) -> range:
        """Which row groups are of one file."""
        first, last = np.searchsorted(self.files, [position, position + 1])
        return range(int(first), int(last))

    def between(self, first: int, last: int) -> Self:
        """Of the files from position `first` to before `last`."""
        start, end = np.searchsorted(self.files, [first, last]).tolist()
        return type(self)(
            self.files[start:end] - np.uint32(first),
            self.ordinals[start:end],
            self.starts[start:end],
            self.lengths[start:end],
            self.rows[start:end],
            self.boxes.between(start, end),
        )

    @classmethod
    def concatenated(cls, parts: Sequence[tuple[Self, int]]) -> Self:
        """One after the other, each with the number of files that it is about."""
        if not parts:
            return cls.none()
        firsts = np.cumsum([0, *(count for _, count in parts)])
        groups = [part for part, _ in parts]
        return cls(
            np.concatenate(
                [part.files + np.uint32(f) for part, f in zip(groups, firsts, strict=False)]
            ),
            np.concatenate([part.ordinals for part in groups]),
            np.concatenate([part.starts for part in groups]),
            np.concatenate([part.lengths for part in groups]),
            np.concatenate([part.rows for part in groups]),
            FileBoxes.concatenated([part.boxes for part in groups]),
        )

    def to_arrays(self) -> Arrays:
        return {
            "files": self.files,
            "ordinals": self.ordinals,
            "starts": self.starts,
            "lengths": self.lengths,
            "rows": self.rows,
            **named({"boxes": self.boxes.to_arrays()}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], *, file_count: int) -> Self:
        """The inverse of `to_arrays`; none when there are no arrays.

        Raises:
            KeyError: an array is missing.
            ValueError: arrays that do not belong together, or to that many files.
        """
        if not arrays:
            return cls.none()
        groups = cls(
            arrays["files"].astype(np.uint32, copy=False),
            arrays["ordinals"].astype(np.uint32, copy=False),
            whole_numbers(arrays["starts"]),
            whole_numbers(arrays["lengths"]),
            whole_numbers(arrays["rows"]),
            FileBoxes.from_arrays(within("boxes", arrays)),
        )
        sized = (groups.ordinals, groups.starts, groups.lengths, groups.rows, groups.boxes)
        if any(len(array) != len(groups) for array in sized):
            raise ValueError("the row groups of the index are not as many everywhere")
        if len(groups) and int(groups.files.max()) >= file_count:
            raise ValueError("a row group of the index belongs to no file")
        if bool((groups.files[1:] < groups.files[:-1]).any()):
            raise ValueError("the row groups of the index are not in the order of their files")
        return groups
