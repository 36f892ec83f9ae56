"""Parquet's run-length and bit-packed hybrid, in which levels and dictionary indices are written.

Nobody here needs to know which row has which number: only which numbers there are, how often.
Spec: https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graticule.storage.thrift_compact import varint

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

WIDTH_BITS_MAX: Final = 24
"""Eight packed numbers are read as words of four bytes, which hold one at any bit up to here."""
GROUP: Final = 8
_WORD_BYTES: Final = 4
_NONE: Final = np.zeros(0, np.uint32)


class Malformed(Exception):
    """The bytes do not hold the numbers that they should."""


def count_ones(data: Bytes, count: int) -> int:
    """How many of `count` numbers of one bit are 1.

    Raises:
        Malformed: the bytes do not hold so many.
    """
    repeated, packed = _read(data, 1, count)
    ones = sum(times for value, times in repeated if value)
    return ones + int(np.count_nonzero(packed)) if len(packed) else ones


def which(data: Bytes, width: int, count: int, limit: int) -> Bools:
    """Which numbers below `limit` are among `count` numbers of `width` bits.

    Raises:
        Malformed: the bytes do not hold so many, or one of them is not below the limit.
    """
    repeated, packed = _read(data, width, count)
    found = np.zeros(limit, np.bool_)
    values = [value for value, _ in repeated]
    if max(values, default=-1) >= limit or (len(packed) and int(packed.max()) >= limit):
        raise Malformed("a number beyond the limit")
    found[values] = True
    found[packed] = True
    return found


def _read(data: Bytes, width: int, count: int) -> tuple[list[tuple[int, int]], Any]:
    """Numbers that are repeated, and how often; and all those that are packed."""
    if not 0 <= width <= WIDTH_BITS_MAX:
        raise Malformed(f"numbers of {width} bits")
    if not width:
        return [(0, count)] if count else [], _NONE
    value_bytes = (width + 7) // 8
    repeated: list[tuple[int, int]] = []
    packed: list[Bytes] = []
    packed_count = 0
    view = data.tobytes()
    at, left = 0, count
    try:
        while left > 0:
            begins = at
            head, at = varint(view, at)
            if head & 1:
                each = (head >> 1) * GROUP
                runs_max = -(-left // each) if each and at == begins + 1 else 1
                runs = _alike(data[begins:], at - begins + (head >> 1) * width, runs_max)
                end = begins + runs.size
                numbers = min(len(runs) * each, left)
                packed.append(runs[:, at - begins :].reshape(-1))
                packed_count += numbers
            else:
                end = at + value_bytes
                numbers = min(head >> 1, left)
                repeated.append((int.from_bytes(view[at:end], "little"), numbers))
            if not numbers or end > len(view):
                raise Malformed("a run that is empty, or longer than its bytes")
            at, left = end, left - numbers
    except (IndexError, ValueError) as error:
        raise Malformed(f"the bytes are no runs: {error}") from error
    return repeated, _unpacked(packed, width)[:packed_count]


def _alike(data: Bytes, size: int, runs_max: int) -> Bytes:
    """The runs of packed numbers, each of so many bytes with its head in the first of them, that
    follow each other from the beginning.

    Writers end a run before its head takes another byte, so there are many of one size.
    """
    runs = min(len(data) // size, runs_max)
    if runs < 1:
        raise Malformed("a run that is longer than its bytes")
    found = data[: runs * size].reshape(runs, size)
    others = np.flatnonzero(found[:, 0] != found[0, 0])
    return found[: int(others[0])] if len(others) else found


def _unpacked(packed: list[Bytes], width: int) -> Any:
    if not packed:
        return _NONE
    data = np.concatenate([*packed, np.zeros(_WORD_BYTES, np.uint8)])
    groups = (len(data) - _WORD_BYTES) // width
    numbers = np.empty((groups, GROUP), np.uint32)
    for place in range(GROUP):
        byte, bit = divmod(place * width, 8)
        words = np.ndarray((groups,), "<u4", data, byte, (width,))
        numbers[:, place] = (words >> np.uint32(bit)) & np.uint32((1 << width) - 1)
    return numbers.reshape(-1)
