"""The index of one snapshot: its data files, compactly, and which of them a window may meet.

Pure and immutable.  `to_arrays` and `from_arrays` are all that storing it takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from graticule.planning.file_boxes import EMPTY_CODE, UNKNOWN_CODE, FileBoxes
from graticule.planning.file_columns import FileColumns
from graticule.planning.files import DataFileEntry
from graticule.planning.positions import Positions, distinct, united
from graticule.planning.ragged import Arrays, RaggedBytes, named, within
from graticule.planning.row_group import RowGroup
from graticule.planning.row_groups import RowGroups
from graticule.spatial.bounding_box import BoundingBox, FileBox
from graticule.spatial.packed_rtree import PackedRTree

Source = tuple[bytes, int]
"""What a run of files was read from, empty when that may not be known again, and their number."""

_OBJECT_BYTES: Final = 1_000
"""Of a delete file or a source, which are kept as objects."""


def lacking(columns: FileColumns, places: FileBoxes, row_groups: RowGroups) -> Positions:
    """Files that are unknown, and those of perhaps several row groups that have none."""
    offsets = columns.split_offsets.offsets
    lacks = offsets[1:] - offsets[:-1] != 1  # a box for its only row group is the file's
    lacks[row_groups.files] = False
    lacks[places.unknown] = True
    return np.flatnonzero(lacks)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class FileIndex:
    """Files are known by their position, 0 to `len(index)` - 1, in the order they came."""

    columns: FileColumns
    places: FileBoxes
    sources: tuple[Source, ...]
    """Whence the files came, run after run; none when nobody told."""
    deletes: tuple[DataFileEntry, ...]
    """Delete files, which have no position."""
    tree: PackedRTree
    """Over the finite ones of the boxes; its ids are places in `finite`."""
    finite: npt.NDArray[np.int64] | None
    """None when all are, and a number for each would only take memory."""
    infinite: npt.NDArray[np.int64]
    """The other rows of the boxes, few if any, looked at one by one."""
    unknown: Positions
    """Files that every window may meet."""
    crossing: Positions
    """Files that cross the antimeridian."""
    row_groups: RowGroups
    """Of the files that have been looked into; the others have none here."""
    is_mapped: bool = False
    """Its arrays lie in a file, whose pages the system may drop and all processes share."""

    @classmethod
    def from_entries(cls, entries: Sequence[DataFileEntry], boxes: Sequence[FileBox]) -> Self:
        return cls.build(FileColumns.from_entries(entries), FileBoxes.of(boxes))

    @classmethod
    def build(
        cls,
        columns: FileColumns,
        places: FileBoxes,
        *,
        sources: Sequence[Source] = (),
        deletes: Sequence[DataFileEntry] = (),
        row_groups: RowGroups | None = None,
        tree: PackedRTree | None = None,
    ) -> Self:
        """The index of files and their boxes; `tree` when it is known already.

        Raises:
            ValueError: more or fewer files than boxes, or than the sources gave.
        """
        if len(columns) != len(places):
            raise ValueError(f"{len(columns)} files and {len(places)} boxes")
        if sources and sum(count for _, count in sources) != len(columns):
            raise ValueError("the sources of the index gave another number of files")
        is_finite = np.isfinite(places.sides).all(axis=1)
        all_finite = bool(is_finite.all())
        again = places.files[1:] == places.files[:-1]
        return cls(
            columns=columns,
            places=places,
            sources=tuple(sources),
            deletes=tuple(deletes),
            tree=PackedRTree.build(places.sides if all_finite else places.sides[is_finite])
            if tree is None
            else tree,
            finite=None if all_finite else np.flatnonzero(is_finite),
            infinite=np.flatnonzero(~is_finite),
            unknown=places.unknown,
            crossing=distinct(places.files[1:][again]),
            row_groups=RowGroups.none() if row_groups is None else row_groups,
        )

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def lacking(self) -> Positions:
        """Files whose places, or those of whose row groups, are not known."""
        return lacking(self.columns, self.places, self.row_groups)

    def told(
        self, boxes: Mapping[int, FileBox], row_groups: Mapping[int, Sequence[RowGroup]]
    ) -> Self:
        """With the boxes of some files that were unknown, and with row groups, by position."""
        return type(self).build(
            self.columns,
            self.places.told(boxes),
            sources=self.sources,
            deletes=self.deletes,
            row_groups=self.row_groups.told(row_groups),
            tree=None if boxes else self.tree,
        )

    def select(
        self, windows: Sequence[BoundingBox] | None, *, with_crossing: bool = False
    ) -> Positions:
        """The positions, rising, of the files that may hold a geometry in one of the windows.

        None is no constraint: all files, also the empty ones.  No window is a contradiction: no
        file.  `with_crossing` adds every file that crosses the antimeridian: in the virtual box
        columns such a file spans the world, and a filter on those must be taken literally.
        """
        if windows is None:
            return np.arange(len(self), dtype=np.int64)
        if not windows:
            return np.zeros(0, np.int64)
        found: list[npt.NDArray[Any]] = [self.unknown]
        if with_crossing:
            found.append(self.crossing)
        found += [self.places.files[self.boxes_in(window)] for window in windows]
        return united(found, len(self))

    def boxes_in(self, window: BoundingBox) -> npt.NDArray[np.int64]:
        """The rows of the boxes that may meet a window, in no order."""
        # The tree rounds outward; the boxes themselves decide.
        near = self.tree.search(window)
        rows = near if self.finite is None else self.finite[near]
        rows = np.concatenate([rows, self.infinite])
        sides = self.places.sides[rows]
        hit = (
            (sides[:, 0] <= window.xmax)
            & (sides[:, 2] >= window.xmin)
            & (sides[:, 1] <= window.ymax)
            & (sides[:, 3] >= window.ymin)
        )
        return rows[hit].astype(np.int64, copy=False)

    def file_box(self, position: int) -> FileBox:
        return self.places.row(position)

    def file_boxes(self, positions: Positions) -> list[FileBox]:
        """Several at once, for much less than each by itself."""
        return self.places.rows(positions)

    def path(self, position: int) -> str:
        return self.columns.path(position)

    def entry(self, position: int, *, with_metrics: bool = True) -> DataFileEntry:
        """One file; many at once come several times faster."""
        return self.columns.entry(position, with_metrics=with_metrics)

    def entries(self, positions: Positions, *, with_metrics: bool = True) -> list[DataFileEntry]:
        """Several files; without metrics they come several times faster."""
        return self.columns.entries(positions, with_metrics=with_metrics)

    @property
    def size_bytes(self) -> int:
        """How much memory of its own the index takes, about."""
        own: list[npt.NDArray[Any]] = [self.infinite, self.unknown, self.crossing]
        if self.finite is not None:
            own.append(self.finite)
        if not self.is_mapped:
            for part in (self.columns, self.places, self.row_groups):
                own += part.to_arrays().values()
            own += [self.tree.ids, *self.tree.levels]
        entries = len(self.deletes) + len(self.sources)
        return sum(array.nbytes for array in own) + entries * _OBJECT_BYTES

    # Storing.

    def to_arrays(self) -> Arrays:
        """Everything as flat arrays of numbers, by name."""
        return {
            **self.columns.to_arrays(),
            **named(
                {
                    "boxes": self.places.to_arrays(),
                    "tree": dict(self.tree.to_arrays()),
                    "sources": RaggedBytes.of([key for key, _ in self.sources]).to_arrays(),
                    "source_counts": {
                        "values": np.array([count for _, count in self.sources], np.int64)
                    },
                    "deletes": FileColumns.from_entries(self.deletes).to_arrays(),
                    "row_groups": self.row_groups.to_arrays() if len(self.row_groups) else {},
                }
            ),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The inverse of `to_arrays`; arrays are used in place where their types allow it.

        Raises:
            ValueError: arrays that are missing or do not belong together.
        """
        try:
            keys = RaggedBytes.from_arrays(within("sources", arrays))
            counts = arrays["source_counts.values"].tolist()
            if len(keys) != len(counts) or any(count < 0 for count in counts):
                raise ValueError("the sources of the index are damaged")
            deletes = FileColumns.from_arrays(within("deletes", arrays))
            columns = FileColumns.from_arrays(arrays)
            index = cls.build(
                columns,
                FileBoxes.from_arrays(within("boxes", arrays)),
                sources=[(keys.row(at), int(count)) for at, count in enumerate(counts)],
                deletes=deletes.entries(np.arange(len(deletes))),
                row_groups=RowGroups.from_arrays(
                    within("row_groups", arrays), file_count=len(columns)
                ),
                tree=PackedRTree.from_arrays(within("tree", arrays)),
            )
        except KeyError as error:
            raise ValueError(f"the index lacks the array {error}") from error
        index._check()  # noqa: SLF001
        return index

    def _check(self) -> None:
        ids = self.tree.ids
        finite = len(self.places.files) - len(self.infinite)
        if len(ids) != finite or bool((ids >= finite).any()):
            raise ValueError("the tree of the index is not about its boxes")
        has_box = np.zeros(len(self), np.bool_)
        has_box[self.places.files] = True
        lacks = np.isin(self.places.statuses, (UNKNOWN_CODE, EMPTY_CODE))
        if bool((has_box == lacks).any()):
            raise ValueError("boxes of the index contradict its statuses")
