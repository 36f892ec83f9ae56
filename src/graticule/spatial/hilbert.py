"""Order boxes along a Hilbert curve, so that neighbours in the plane are neighbours in a list."""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
UInts = npt.NDArray[np.uint64]

HILBERT_ORDER: Final = 16
"""Bits per axis: over the whole globe a cell is some 600 m wide."""


def hilbert_index(
    x: npt.NDArray[np.uint32], y: npt.NDArray[np.uint32], order: int = HILBERT_ORDER
) -> UInts:
    """The position on the curve of each cell (x, y), both below 2**order.

    Each step takes one bit of both, picks the quadrant, and turns the frame: the swap and the two
    complements are kept as bits and applied to the next bit, instead of rewriting x and y.
    """
    index = np.zeros(x.shape, np.uint32 if order <= 16 else np.uint64)
    kind = index.dtype.type
    swap = np.zeros(x.shape, kind)
    flip = np.zeros(x.shape, kind)
    for bit in range(order - 1, -1, -1):
        a = (x >> bit).astype(kind) & kind(1) ^ flip
        b = (y >> bit).astype(kind) & kind(1) ^ flip
        different = (a ^ b) & swap
        a ^= different
        b ^= different
        index = (index << kind(2)) | ((kind(3) * a) ^ b)
        turns = b ^ kind(1)
        flip ^= turns & a
        swap ^= turns
    return index.astype(np.uint64)


def hilbert_order(boxes: Floats) -> npt.NDArray[np.int64]:
    """The order of the boxes (rows of xmin, ymin, xmax, ymax) along the curve by their centres.

    Boxes that are not finite come last, as they came.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    finite = np.isfinite(boxes).all(axis=1)
    keys = np.full(len(boxes), np.iinfo(np.uint64).max, np.uint64)
    if finite.any():
        keys[finite] = _keys_of_centres(boxes if finite.all() else boxes[finite])
    return np.argsort(keys, kind="stable").astype(np.int64)


def _keys_of_centres(boxes: Floats) -> UInts:
    cells = [_cells(boxes[:, low], boxes[:, low + 2]) for low in (0, 1)]
    return hilbert_index(cells[0], cells[1])


def _cells(low: Floats, high: Floats) -> npt.NDArray[np.uint32]:
    centres = low * 0.5 + high * 0.5  # halves first: the sum of two large numbers may overflow
    first = centres.min()
    extent = centres.max() * 0.5 - first * 0.5
    if not extent > 0:
        return np.zeros(len(centres), np.uint32)
    scaled = (centres * 0.5 - first * 0.5) / extent * ((1 << HILBERT_ORDER) - 1)
    return np.asarray(np.clip(scaled, 0, (1 << HILBERT_ORDER) - 1), dtype=np.uint32)
