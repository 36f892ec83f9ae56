"""The index of one snapshot: its data files, compactly, and which of them a window may meet.

Pure and immutable.  `to_arrays` and `from_arrays` are all that storing it takes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final, Self
from uuid import UUID

import numpy as np
import numpy.typing as npt

from graticule.planning.files import DataFileEntry
from graticule.planning.ragged import (
    Arrays,
    ByteMaps,
    IntMaps,
    RaggedBytes,
    RaggedInts,
    named,
    within,
)
from graticule.spatial.bounding_box import BoundingBox, BoxStatus, FileBox
from graticule.spatial.packed_rtree import PackedRTree

Positions = npt.NDArray[np.int64]

STATUSES: Final = (BoxStatus.UNKNOWN, BoxStatus.EXACT, BoxStatus.OUTER, BoxStatus.EMPTY)
"""The codes of `FileIndex.statuses`; part of the stored form, so only ever append."""

_UNKNOWN, _EMPTY = STATUSES.index(BoxStatus.UNKNOWN), STATUSES.index(BoxStatus.EMPTY)

NUMBERS: Final = (
    "size_bytes",
    "record_count",
    "spec_id",
    "sort_order_id",
    "sequence_number",
    "file_sequence_number",
    "first_row_id",
)
"""Fields kept as plain arrays; `_ABSENT` stands for None."""

COUNTS: Final = ("column_sizes", "value_counts", "null_value_counts", "nan_value_counts")
BOUNDS: Final = ("lower_bounds", "upper_bounds")
_ABSENT: Final = np.iinfo(np.int64).min
_RARE: Final = tuple(
    field.name
    for field in fields(DataFileEntry)
    if field.name not in {*NUMBERS, *COUNTS, *BOUNDS, "path", "partition", "split_offsets"}
)
_DEFAULTS: Final = DataFileEntry(path="", size_bytes=0, record_count=0, spec_id=0)


@dataclass(frozen=True, slots=True)
class FileIndex:
    """Files are known by their position, 0 to `len(index)` - 1, in the order they came.

    `boxes` holds a row xmin, ymin, xmax, ymax for each rectangle and `box_files` whose it is: files
    that cross the antigraticule have two, empty and unknown ones none.
    """

    paths: RaggedBytes
    numbers: Mapping[str, npt.NDArray[np.int64]]
    counts: Mapping[str, IntMaps]
    bounds: Mapping[str, ByteMaps]
    split_offsets: RaggedInts
    details: RaggedBytes
    """JSON of what most files lack or share, the partition included."""
    statuses: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float64]
    box_files: npt.NDArray[np.uint32]
    tree: PackedRTree
    """Over the finite ones of `boxes`; its ids are rows of `boxes[finite]`."""
    finite: npt.NDArray[np.int64]
    infinite: npt.NDArray[np.int64]
    """The other rows of `boxes`, few if any, looked at one by one."""
    unknown: Positions
    """Files that every window may meet."""
    crossing: Positions
    """Files that cross the antigraticule."""

    @classmethod
    def from_entries(cls, entries: Sequence[DataFileEntry], boxes: Sequence[FileBox]) -> Self:
        if len(entries) != len(boxes):
            raise ValueError(f"{len(entries)} files and {len(boxes)} boxes")
        statuses = np.array([STATUSES.index(box.status) for box in boxes], np.uint8)
        rows = [(at, box) for at, file_box in enumerate(boxes) for box in file_box.boxes]
        box_files = np.array([at for at, _ in rows], np.uint32)
        sides = np.array(
            [(box.xmin, box.ymin, box.xmax, box.ymax) for _, box in rows], np.float64
        ).reshape(-1, 4)
        return cls._built(
            paths=RaggedBytes.of([entry.path.encode() for entry in entries]),
            numbers={name: _numbers(entries, name) for name in NUMBERS},
            counts={name: IntMaps.of([getattr(e, name) for e in entries]) for name in COUNTS},
            bounds={name: ByteMaps.of([getattr(e, name) for e in entries]) for name in BOUNDS},
            split_offsets=RaggedInts.of([entry.split_offsets for entry in entries]),
            details=RaggedBytes.of([_details(entry) for entry in entries]),
            statuses=statuses,
            boxes=sides,
            box_files=box_files,
            tree=None,
        )

    @classmethod
    def _built(
        cls,
        *,
        statuses: npt.NDArray[np.uint8],
        boxes: npt.NDArray[np.float64],
        box_files: npt.NDArray[np.uint32],
        tree: PackedRTree | None,
        **columns: Any,
    ) -> Self:
        is_finite = np.isfinite(boxes).all(axis=1)
        per_file = np.bincount(box_files, minlength=len(statuses))
        return cls(
            **columns,
            statuses=statuses,
            boxes=boxes,
            box_files=box_files,
            tree=PackedRTree.build(boxes[is_finite]) if tree is None else tree,
            finite=np.flatnonzero(is_finite),
            infinite=np.flatnonzero(~is_finite),
            unknown=np.flatnonzero(statuses == _UNKNOWN),
            crossing=np.flatnonzero(per_file > 1),
        )

    def __len__(self) -> int:
        return len(self.statuses)

    def select(
        self, windows: Sequence[BoundingBox] | None, *, with_crossing: bool = False
    ) -> Positions:
        """The positions, rising, of the files that may hold a geometry in one of the windows.

        None is no constraint: all files, also the empty ones.  No window is a contradiction: no
        file.  `with_crossing` adds every file that crosses the antigraticule: in the virtual box
        columns such a file spans the world, and a filter on those must be taken literally.
        """
        if windows is None:
            return np.arange(len(self), dtype=np.int64)
        if not windows:
            return np.zeros(0, np.int64)
        found = [self.unknown]
        if with_crossing:
            found.append(self.crossing)
        for window in windows:
            # The tree rounds outward; the boxes themselves decide.
            rows = np.concatenate([self.finite[self.tree.search(window)], self.infinite])
            sides = self.boxes[rows]
            hit = (
                (sides[:, 0] <= window.xmax)
                & (sides[:, 2] >= window.xmin)
                & (sides[:, 1] <= window.ymax)
                & (sides[:, 3] >= window.ymin)
            )
            found.append(self.box_files[rows[hit]].astype(np.int64))
        return np.unique(np.concatenate(found))

    def file_box(self, position: int) -> FileBox:
        first, last = np.searchsorted(self.box_files, [position, position + 1])
        boxes = tuple(BoundingBox(*row) for row in self.boxes[first:last].tolist())
        return FileBox(STATUSES[self.statuses[position]], boxes)

    def path(self, position: int) -> str:
        return self.paths.row(position).decode()

    def entry(self, position: int, *, with_metrics: bool = True) -> DataFileEntry:
        """One file; without metrics it comes several times faster."""
        values: dict[str, Any] = {
            name: None if (number := int(column[position])) == _ABSENT else number
            for name, column in self.numbers.items()
        }
        if with_metrics:
            values |= {name: maps.row(position) for name, maps in self.counts.items()}
            values |= {name: maps.row(position) for name, maps in self.bounds.items()}
        return DataFileEntry(
            path=self.path(position),
            split_offsets=self.split_offsets.row(position),
            **_from_details(self.details.row(position)),
            **values,
        )

    @property
    def size_bytes(self) -> int:
        """How much memory the index takes, about."""
        return sum(array.nbytes for array in self.to_arrays().values())

    # Storing.

    def to_arrays(self) -> Arrays:
        """Everything as flat arrays of numbers, by name."""
        return named(
            {
                "paths": self.paths.to_arrays(),
                "numbers": dict(self.numbers),
                **{f"counts.{name}": maps.to_arrays() for name, maps in self.counts.items()},
                **{f"bounds.{name}": maps.to_arrays() for name, maps in self.bounds.items()},
                "split_offsets": self.split_offsets.to_arrays(),
                "details": self.details.to_arrays(),
                "boxes": {
                    "statuses": self.statuses,
                    "sides": self.boxes.ravel(),
                    "files": self.box_files,
                },
                "tree": dict(self.tree.to_arrays()),
            }
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The inverse of `to_arrays`; arrays are used in place where their types allow it.

        Raises:
            ValueError: arrays that are missing or do not belong together.
        """
        try:
            return cls._from_arrays(arrays)
        except KeyError as error:
            raise ValueError(f"the index lacks the array {error}") from error

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        boxes = within("boxes", arrays)
        numbers = within("numbers", arrays)
        index = cls._built(
            paths=RaggedBytes.from_arrays(within("paths", arrays)),
            numbers={name: numbers[name].astype(np.int64, copy=False) for name in NUMBERS},
            counts={n: IntMaps.from_arrays(within(f"counts.{n}", arrays)) for n in COUNTS},
            bounds={n: ByteMaps.from_arrays(within(f"bounds.{n}", arrays)) for n in BOUNDS},
            split_offsets=RaggedInts.from_arrays(within("split_offsets", arrays)),
            details=RaggedBytes.from_arrays(within("details", arrays)),
            statuses=boxes["statuses"].astype(np.uint8, copy=False),
            boxes=boxes["sides"].astype(np.float64, copy=False).reshape(-1, 4),
            box_files=boxes["files"].astype(np.uint32, copy=False),
            tree=PackedRTree.from_arrays(within("tree", arrays)),
        )
        index._check()  # noqa: SLF001
        return index

    def _check(self) -> None:
        rows = [len(self.paths), len(self.details), len(self.split_offsets.offsets) - 1]
        rows += [len(column) for column in self.numbers.values()]
        rows += [len(maps.keys.offsets) - 1 for maps in self.counts.values()]
        rows += [len(maps.keys.offsets) - 1 for maps in self.bounds.values()]
        if any(count != len(self) for count in rows):
            raise ValueError("the arrays of the index are about different numbers of files")
        if len(self.box_files) != len(self.boxes) or bool((self.box_files >= len(self)).any()):
            raise ValueError("boxes of the index belong to no file")
        ids = self.tree.ids
        if len(ids) != len(self.finite) or bool((ids >= len(ids)).any()):
            raise ValueError("the tree of the index is not about its boxes")
        has_box = np.bincount(self.box_files, minlength=len(self)) > 0
        if bool((has_box == np.isin(self.statuses, (_UNKNOWN, _EMPTY))).any()):
            raise ValueError("boxes of the index contradict its statuses")


def _numbers(entries: Sequence[DataFileEntry], name: str) -> npt.NDArray[np.int64]:
    values = (getattr(entry, name) for entry in entries)
    return np.fromiter((_ABSENT if v is None else v for v in values), np.int64, len(entries))


def _details(entry: DataFileEntry) -> bytes:
    rare = {
        name: value for name in _RARE if (value := getattr(entry, name)) != getattr(_DEFAULTS, name)
    }
    document = {"partition": list(entry.partition), **rare} if entry.partition else rare
    return json.dumps(document, default=_tagged, separators=(",", ":")).encode()


def _from_details(data: bytes) -> dict[str, Any]:
    document = json.loads(data, object_hook=_untagged)
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in document.items()
        if name == "partition" or name in _RARE
    }


def _tagged(value: object) -> Any:
    match value:
        case bytes():
            return {"$bytes": value.hex()}
        case Decimal():
            return {"$decimal": str(value)}
        case UUID():
            return {"$uuid": str(value)}
        case np.generic():
            return value.item()
    raise TypeError(f"`{type(value).__name__}` is not a partition value")


def _untagged(document: dict[str, Any]) -> Any:
    match document:
        case {"$bytes": str(text)}:
            return bytes.fromhex(text)
        case {"$decimal": str(text)}:
            return Decimal(text)
        case {"$uuid": str(text)}:
            return UUID(text)
    return document
