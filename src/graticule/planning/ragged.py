"""Lists of different lengths in a few flat arrays, and maps and texts built of them.

The content of a hundred thousand manifest entries as Python objects would be hundreds of megabytes;
flat, it is a tenth of that, and is stored and mapped as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

_NARROW: Final = (np.uint8, np.uint16, np.uint32)


def whole_numbers(array: Array) -> npt.NDArray[np.int64]:
    """Whole numbers as they were stored, which may be in fewer bytes: widened they would no longer
    lie in the file that all processes share.

    Raises:
        ValueError: numbers of another kind.
    """
    if array.dtype.kind not in "iu":
        raise ValueError(f"`{array.dtype}` is no type of whole numbers")
    return array


def narrowed(array: Array) -> Array:
    """Whole numbers in the fewest bytes that hold them all: field ids and offsets are small.

    Not in unsigned 64 bits, which NumPy would join with others to floats.
    """
    if array.dtype != np.int64 or not array.size or int(array.min()) < 0:
        return array
    largest = int(array.max())
    kind = next((kind for kind in _NARROW if largest <= np.iinfo(kind).max), np.int64)
    return array.astype(kind, copy=False)


def _ends(lengths: Iterable[int]) -> npt.NDArray[np.int64]:
    sizes = np.fromiter(lengths, dtype=np.int64)
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def _chained(offsets: Sequence[npt.NDArray[np.int64]]) -> Array:
    """The offsets of lists that are put one after the other."""
    lengths = np.concatenate([part[1:] - part[:-1] for part in offsets])
    chained = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=chained[1:])
    return narrowed(chained)


def run_places(
    starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The places of runs of different lengths, one run after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    places: npt.NDArray[np.int64] = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return places


@dataclass(frozen=True, slots=True)
class RaggedBytes:
    """Row i is `data[offsets[i]:offsets[i + 1]]`."""

    offsets: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, rows: Sequence[bytes]) -> Self:
        return cls(_ends(map(len, rows)), np.frombuffer(b"".join(rows), np.uint8))

    @classmethod
    def repeated(cls, row: bytes, times: int) -> Self:
        offsets = np.arange(times + 1, dtype=np.int64) * len(row)
        return cls(offsets, np.tile(np.frombuffer(row, np.uint8), times))

    @classmethod
    def gathered(
        cls,
        data: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
    ) -> Self:
        """Rows that lie anywhere in `data`."""
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        if not len(lengths):
            return cls(offsets, np.zeros(0, np.uint8))
        length = int(lengths[0])
        if (lengths == length).all():
            return cls(offsets, data[starts[:, None] + np.arange(length)].ravel())
        return cls(offsets, data[run_places(starts, lengths)])

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        return cls(_chained([p.offsets for p in parts]), np.concatenate([p.data for p in parts]))

    def between(self, first: int, last: int) -> Self:
        offsets = self.offsets[first : last + 1]
        return type(self)(offsets - offsets[0], self.data[offsets[0] : offsets[-1]])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, at: int) -> bytes:
        return self.data[self.offsets[at] : self.offsets[at + 1]].tobytes()

    def rows(self, at: npt.NDArray[np.int64]) -> list[bytes]:
        """Several rows, each several times faster than alone."""
        if not self.data.size:
            return [b""] * len(at)
        data: memoryview = self.data.data
        ends = self.offsets[at + 1].tolist()
        return [
            bytes(data[start:end])
            for start, end in zip(self.offsets[at].tolist(), ends, strict=True)
        ]

    def to_arrays(self) -> Arrays:
        return {"offsets": self.offsets, "data": self.data}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        offsets, data = _checked(arrays["offsets"], arrays["data"])
        return cls(offsets, data.astype(np.uint8, copy=False))


@dataclass(frozen=True, slots=True)
class RaggedInts:
    """Row i is `values[offsets[i]:offsets[i + 1]]`."""

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Self:
        flat = np.fromiter((value for row in rows for value in row), dtype=np.int64)
        return cls(_ends(map(len, rows)), flat)

    @classmethod
    def counted(cls, counts: npt.NDArray[np.int64], values: npt.NDArray[np.int64] | None) -> Self:
        offsets = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        return cls(offsets, np.zeros(0, np.int64) if values is None else values)

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        values = np.concatenate([part.values for part in parts])
        return cls(_chained([part.offsets for part in parts]), values)

    def between(self, first: int, last: int) -> Self:
        offsets = self.offsets[first : last + 1]
        return type(self)(offsets - offsets[0], self.values[offsets[0] : offsets[-1]])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, at: int) -> tuple[int, ...]:
        return tuple(self.values[self.offsets[at] : self.offsets[at + 1]].tolist())

    def rows(self, at: npt.NDArray[np.int64]) -> list[tuple[int, ...]]:
        """Several rows, each several times faster than alone."""
        starts = self.offsets[at].astype(np.int64)
        lengths = self.offsets[at + 1].astype(np.int64) - starts
        ends = np.cumsum(lengths)
        values = self.values[run_places(starts, lengths)].tolist()
        firsts = (ends - lengths).tolist()
        return [tuple(values[first:end]) for first, end in zip(firsts, ends.tolist(), strict=True)]

    def to_arrays(self) -> Arrays:
        return {"offsets": self.offsets, "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        offsets, values = _checked(arrays["offsets"], arrays["values"])
        return cls(offsets, whole_numbers(values))


@dataclass(frozen=True, slots=True)
class IntMaps:
    """One map per row from field id to number."""

    keys: RaggedInts
    values: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Mapping[int, int]]) -> Self:
        keys = RaggedInts.of([list(row) for row in rows])
        flat = np.fromiter((value for row in rows for value in row.values()), dtype=np.int64)
        return cls(keys, flat)

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        keys = RaggedInts.concatenated([part.keys for part in parts])
        return cls(keys, np.concatenate([part.values for part in parts]))

    def between(self, first: int, last: int) -> Self:
        start, end = self.keys.offsets[first], self.keys.offsets[last]
        return type(self)(self.keys.between(first, last), self.values[start:end])

    def places(self, key: int) -> npt.NDArray[np.int64]:
        """Where each row's value of `key` is; -1 in rows without one."""
        return _places(self.keys, key)

    def row(self, at: int) -> dict[int, int]:
        first, last = self.keys.offsets[at], self.keys.offsets[at + 1]
        if first == last:
            return {}
        keys = self.keys.values[first:last].tolist()
        return dict(zip(keys, self.values[first:last].tolist(), strict=True))

    def to_arrays(self) -> Arrays:
        return {**_prefixed("keys", self.keys.to_arrays()), "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        keys = RaggedInts.from_arrays(within("keys", arrays))
        values = whole_numbers(arrays["values"])
        if len(values) != len(keys.values):
            raise ValueError("a map has as many values as keys")
        return cls(keys, values)


@dataclass(frozen=True, slots=True)
class ByteMaps:
    """One map per row from field id to bytes."""

    keys: RaggedInts
    values: RaggedBytes

    @classmethod
    def of(cls, rows: Sequence[Mapping[int, bytes]]) -> Self:
        keys = RaggedInts.of([list(row) for row in rows])
        return cls(keys, RaggedBytes.of([value for row in rows for value in row.values()]))

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        keys = RaggedInts.concatenated([part.keys for part in parts])
        return cls(keys, RaggedBytes.concatenated([part.values for part in parts]))

    def between(self, first: int, last: int) -> Self:
        start, end = int(self.keys.offsets[first]), int(self.keys.offsets[last])
        return type(self)(self.keys.between(first, last), self.values.between(start, end))

    def places(self, key: int) -> npt.NDArray[np.int64]:
        """Where each row's value of `key` is; -1 in rows without one."""
        return _places(self.keys, key)

    def row(self, at: int) -> dict[int, bytes]:
        first, last = int(self.keys.offsets[at]), int(self.keys.offsets[at + 1])
        if first == last:
            return {}
        ends = self.values.offsets[first : last + 1].tolist()
        data = self.values.data[ends[0] : ends[-1]].tobytes()
        return {
            key: data[start - ends[0] : end - ends[0]]
            for key, start, end in zip(
                self.keys.values[first:last].tolist(), ends[:-1], ends[1:], strict=True
            )
        }

    def to_arrays(self) -> Arrays:
        return {
            **_prefixed("keys", self.keys.to_arrays()),
            **_prefixed("values", self.values.to_arrays()),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        keys = RaggedInts.from_arrays(within("keys", arrays))
        values = RaggedBytes.from_arrays(within("values", arrays))
        if len(values) != len(keys.values):
            raise ValueError("a map has as many values as keys")
        return cls(keys, values)


def _places(keys: RaggedInts, key: int) -> npt.NDArray[np.int64]:
    found = np.flatnonzero(keys.values == key)
    places = np.full(len(keys), -1, np.int64)
    # Of a key that a row has twice the last one counts, as in `row`.
    places[np.searchsorted(keys.offsets, found, side="right") - 1] = found
    return places


def _checked(offsets: Array, values: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """Offsets come from a file: what points outside must not be sliced."""
    offsets = whole_numbers(offsets)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(values):
        raise ValueError("offsets do not fit their values")
    if bool((offsets[1:] < offsets[:-1]).any()):
        raise ValueError("offsets must not go back")
    return offsets, values


def _prefixed(name: str, arrays: Arrays) -> Arrays:
    return {f"{name}.{key}": array for key, array in arrays.items()}


def within(name: str, arrays: Mapping[str, Array]) -> Arrays:
    """The arrays of one part, without its name."""
    prefix = name + "."
    return {key[len(prefix) :]: a for key, a in arrays.items() if key.startswith(prefix)}


def named(parts: Mapping[str, Arrays]) -> Arrays:
    """The arrays of all parts, each under its part's name."""
    whole: Arrays = {}
    for part, arrays in parts.items():
        whole |= _prefixed(part, arrays)
    return whole
