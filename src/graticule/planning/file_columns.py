"""Data files as columns: what their manifest entries say of them, in a few flat arrays.

Pure and immutable.  No Python object is kept per file, so millions of them stay affordable.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final, Self, TypeVar
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
    narrowed,
    whole_numbers,
    within,
)

NUMBERS: Final = (
    "size_bytes",
    "record_count",
    "spec_id",
    "sort_order_id",
    "sequence_number",
    "file_sequence_number",
    "first_row_id",
)
"""Fields kept as plain arrays; `ABSENT` stands for None."""

COUNTS: Final = ("column_sizes", "value_counts", "null_value_counts", "nan_value_counts")
BOUNDS: Final = ("lower_bounds", "upper_bounds")
ABSENT: Final = int(np.iinfo(np.int64).min)
RARE: Final = tuple(
    field.name
    for field in fields(DataFileEntry)
    if field.name not in {*NUMBERS, *COUNTS, *BOUNDS, "path", "partition", "split_offsets"}
)
_DEFAULTS: Final = DataFileEntry(path="", size_bytes=0, record_count=0, spec_id=0)


T = TypeVar("T")


def _keep() -> None:
    """For who has memory to spare."""


@dataclass(frozen=True, slots=True)
class FileColumns:
    """Files are known by their position, in the order they came."""

    paths: RaggedBytes
    numbers: Mapping[str, npt.NDArray[np.int64]]
    counts: Mapping[str, IntMaps]
    bounds: Mapping[str, ByteMaps]
    split_offsets: RaggedInts
    details: RaggedBytes
    """JSON of what most files lack or share, the partition included."""

    @classmethod
    def from_entries(cls, entries: Sequence[DataFileEntry]) -> Self:
        return cls(
            paths=RaggedBytes.of([entry.path.encode() for entry in entries]),
            numbers={name: _numbers(entries, name) for name in NUMBERS},
            counts={name: IntMaps.of([getattr(e, name) for e in entries]) for name in COUNTS},
            bounds={name: ByteMaps.of([getattr(e, name) for e in entries]) for name in BOUNDS},
            split_offsets=RaggedInts.of([entry.split_offsets for entry in entries]),
            details=RaggedBytes.of([_details(entry) for entry in entries]),
        )

    @classmethod
    def concatenated(cls, parts: Iterable[Self], *, give_back: Callable[[], None] = _keep) -> Self:
        """One after the other.

        Parts that nobody else holds are let go of column by column, so that little of them is in
        memory twice; `give_back` is called after each.
        """

        def let_go(column: T) -> T:
            give_back()
            return column

        pieces = list(parts)
        if len(pieces) == 1:
            return pieces[0]
        if not pieces:
            return cls.from_entries([])
        paths = [piece.paths for piece in pieces]
        numbers = {name: [piece.numbers[name] for piece in pieces] for name in NUMBERS}
        counts = {name: [piece.counts[name] for piece in pieces] for name in COUNTS}
        bounds = {name: [piece.bounds[name] for piece in pieces] for name in BOUNDS}
        split_offsets = [piece.split_offsets for piece in pieces]
        details = [piece.details for piece in pieces]
        del parts, pieces
        return cls(
            numbers={name: np.concatenate(numbers.pop(name)) for name in NUMBERS},
            counts={n: let_go(IntMaps.concatenated(counts.pop(n))) for n in COUNTS},
            bounds={n: let_go(ByteMaps.concatenated(bounds.pop(n))) for n in BOUNDS},
            split_offsets=RaggedInts.concatenated(split_offsets),
            details=RaggedBytes.concatenated(details),
            paths=RaggedBytes.concatenated(paths),
        )

    def between(self, first: int, last: int) -> Self:
        """The files from position `first` to before `last`."""
        return type(self)(
            paths=self.paths.between(first, last),
            numbers={name: column[first:last] for name, column in self.numbers.items()},
            counts={name: maps.between(first, last) for name, maps in self.counts.items()},
            bounds={name: maps.between(first, last) for name, maps in self.bounds.items()},
            split_offsets=self.split_offsets.between(first, last),
            details=self.details.between(first, last),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, position: int) -> str:
        return self.paths.row(position).decode()

    def entry(self, position: int, *, with_metrics: bool = True) -> DataFileEntry:
        """One file; many at once come several times faster."""
        [entry] = self.entries(np.array([position]), with_metrics=with_metrics)
        return entry

    def entries(
        self, positions: npt.NDArray[np.int64], *, with_metrics: bool = True
    ) -> list[DataFileEntry]:
        """Several files; without metrics they come several times faster."""
        values: dict[str, Sequence[Any]] = {
            name: [None if number == ABSENT else number for number in column[positions].tolist()]
            for name, column in self.numbers.items()
        }
        if with_metrics:
            at = positions.tolist()
            values |= {n: [maps.row(each) for each in at] for n, maps in self.counts.items()}
            values |= {n: [maps.row(each) for each in at] for n, maps in self.bounds.items()}
        values["path"] = [path.decode() for path in self.paths.rows(positions)]
        values["split_offsets"] = self.split_offsets.rows(positions)
        return [
            DataFileEntry(**_from_details(details), **dict(zip(values, row, strict=True)))
            for details, row in zip(
                self.details.rows(positions), zip(*values.values(), strict=True), strict=True
            )
        ]

    def narrowed(self) -> Self:
        """The same in half of the memory."""
        return self.from_arrays({name: narrowed(each) for name, each in self.to_arrays().items()})

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
            }
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The inverse of `to_arrays`; arrays are used in place where their types allow it.

        Raises:
            KeyError: an array is missing.
            ValueError: arrays that do not belong together.
        """
        numbers = within("numbers", arrays)
        columns = cls(
            paths=RaggedBytes.from_arrays(within("paths", arrays)),
            numbers={name: whole_numbers(numbers[name]) for name in NUMBERS},
            counts={n: IntMaps.from_arrays(within(f"counts.{n}", arrays)) for n in COUNTS},
            bounds={n: ByteMaps.from_arrays(within(f"bounds.{n}", arrays)) for n in BOUNDS},
            split_offsets=RaggedInts.from_arrays(within("split_offsets", arrays)),
            details=RaggedBytes.from_arrays(within("details", arrays)),
        )
        rows = [len(columns.details), len(columns.split_offsets)]
        rows += [len(column) for column in columns.numbers.values()]
        rows += [len(maps.keys) for maps in columns.counts.values()]
        rows += [len(maps.keys) for maps in columns.bounds.values()]
        if any(count != len(columns) for count in rows):
            raise ValueError("the arrays of the index are about different numbers of files")
        return columns


def _numbers(entries: Sequence[DataFileEntry], name: str) -> npt.NDArray[np.int64]:
    values = (getattr(entry, name) for entry in entries)
    return np.fromiter((ABSENT if v is None else v for v in values), np.int64, len(entries))


def _details(entry: DataFileEntry) -> bytes:
    rare = {
        name: value for name in RARE if (value := getattr(entry, name)) != getattr(_DEFAULTS, name)
    }
    return encoded_details(entry.partition, rare)


def encoded_details(partition: Sequence[object], rare: Mapping[str, object]) -> bytes:
    """What `FileColumns.details` holds of a file; `rare` without what is as in most files."""
    document = {"partition": list(partition), **rare} if partition else rare
    return _JSON.encode(document).encode() if document else b"{}"


def _from_details(data: bytes) -> dict[str, Any]:
    if data == b"{}":
        return {}
    document = json.loads(data, object_hook=_untagged)
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in document.items()
        if name == "partition" or name in RARE
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


_JSON: Final = json.JSONEncoder(default=_tagged, separators=(",", ":"))


def _untagged(document: dict[str, Any]) -> Any:
    match document:
        case {"$bytes": str(text)}:
            return bytes.fromhex(text)
        case {"$decimal": str(text)}:
            return Decimal(text)
        case {"$uuid": str(text)}:
            return UUID(text)
    return document
