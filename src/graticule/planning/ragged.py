"""Lists of different lengths in a few flat arrays, and maps and texts built of them.

The content of a hundred thousand manifest entries as Python objects would be hundreds of megabytes;
flat, it is a tenth of that, and is stored and mapped as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


def _ends(lengths: Iterable[int]) -> npt.NDArray[np.int64]:
    sizes = np.fromiter(lengths, dtype=np.int64)
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


@dataclass(frozen=True, slots=True)
class RaggedBytes:
    """Row i is `data[offsets[i]:offsets[i + 1]]`."""

    offsets: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, rows: Sequence[bytes]) -> Self:
        return cls(_ends(map(len, rows)), np.frombuffer(b"".join(rows), np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, at: int) -> bytes:
        return self.data[self.offsets[at] : self.offsets[at + 1]].tobytes()

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

    def row(self, at: int) -> tuple[int, ...]:
        return tuple(self.values[self.offsets[at] : self.offsets[at + 1]].tolist())

    def to_arrays(self) -> Arrays:
        return {"offsets": self.offsets, "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        offsets, values = _checked(arrays["offsets"], arrays["values"])
        return cls(offsets, values.astype(np.int64, copy=False))


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
        values = np.asarray(arrays["values"]).astype(np.int64, copy=False)
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


def _checked(offsets: Array, values: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """Offsets come from a file: what points outside must not be sliced."""
    offsets = np.asarray(offsets).astype(np.int64, copy=False)
    values = np.asarray(values)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(values):
        raise ValueError("offsets do not fit their values")
    if bool((np.diff(offsets) < 0).any()):
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
