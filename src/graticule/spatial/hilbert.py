"""Order boxes along a Hilbert curve, so that neighbours in the plane are neighbours in a list."""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
UInts = npt.NDArray[np.uint64]

HILBERT_ORDER: Final = 16
"""Bits per axis: over the whole globe a cell is some 600 m wide."""

CENTRES_AT_ONCE: Final = 65_536


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
    with np.errstate(invalid="ignore"):  # the centre of infinities of both signs
        # Halves first: the sum of two large numbers may overflow.
        x, y = (boxes[:, low] * 0.5 + boxes[:, low + 2] * 0.5 for low in (0, 1))
    return centre_order(x, y)


def centre_order(x: Floats, y: Floats) -> npt.NDArray[np.int64]:
    """As `hilbert_order`, for boxes of which only the centres are known."""
    finite = np.isfinite(x) & np.isfinite(y)
    keys = np.full(len(x), np.iinfo(np.uint64).max, np.uint64)
    if finite.any():
        spans = [_span(ordinates, finite) for ordinates in (x, y)]
        # Some at a time: what one step leaves for the next takes five times as much memory.
        for start in range(0, len(x), CENTRES_AT_ONCE):
            some = slice(start, start + CENTRES_AT_ONCE)
            cells = [
                _cells(ordinates[some][finite[some]], *span)
                for ordinates, span in zip((x, y), spans, strict=True)
            ]
            keys[some][finite[some]] = hilbert_index(cells[0], cells[1])
    return np.argsort(keys, kind="stable").astype(np.int64, copy=False)


def _span(ordinates: Floats, finite: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The first of the ordinates, and half of their extent."""
    first = float(ordinates.min(where=finite, initial=np.inf))
    last = float(ordinates.max(where=finite, initial=-np.inf))
    return first, last * 0.5 - first * 0.5


def _cells(ordinates: Floats, first: float, extent: float) -> npt.NDArray[np.uint32]:
    if not extent > 0:
        return np.zeros(len(ordinates), np.uint32)
    scaled = (ordinates * 0.5 - first * 0.5) / extent * ((1 << HILBERT_ORDER) - 1)
    return np.asarray(np.clip(scaled, 0, (1 << HILBERT_ORDER) - 1), dtype=np.uint32)
