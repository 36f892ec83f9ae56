"""Where files lie, for a map: in longitude and latitude, and never more shapes than were asked for.

For looking at, not for pruning: what cannot be drawn is counted apart.  Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from graticule.domain.errors import InvalidRequest
from graticule.planning.index import FileIndex
from graticule.planning.positions import Positions, distinct, firsts, flags, without
from graticule.spatial.bounding_box import FULL_TURN_DEG, LONGITUDE_MAX_DEG, BoundingBox
from graticule.spatial.crs import CRS84, Crs
from graticule.spatial.reprojection import coordinates_between

Floats = npt.NDArray[np.float64]

SAMPLES_PER_SIDE: Final = 8
"""Points of a box's edge that are taken to longitude and latitude."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """One file, or one cell of a grid with the files whose centre lies in it."""

    boxes: tuple[BoundingBox, ...]
    files: int
    rows: int
    bytes: int
    position: int | None = None
    """Of the file; None for a cell."""


@dataclass(frozen=True, slots=True)
class Footprints:
    """`unplaced` files have no place on the map: unknown, empty, infinite, or not transformable."""

    is_grid: bool
    shapes: Sequence[Footprint]
    unplaced: Footprint


def footprints_of(index: FileIndex, kept: Positions, crs: Crs, *, limit: int) -> Footprints:
    """The footprints of files; `limit` shapes at most."""
    at = np.flatnonzero(flags(kept, len(index))[index.places.files])
    files, sides = index.places.files[at].astype(np.int64), _in_degrees(index.places.sides[at], crs)
    drawn = np.isfinite(sides).all(axis=1)
    files, sides = files[drawn], sides[drawn]
    placed = distinct(files)
    unplaced = _summed(index, without(kept, placed, len(index)))
    if len(placed) > limit:
        return Footprints(True, _grid(index, files, sides, limit), unplaced)
    rows = index.columns.numbers["record_count"]
    sizes = index.columns.numbers["size_bytes"]
    shapes = []
    edges = [*np.searchsorted(files, placed).tolist(), len(files)]
    for position, (first, last) in zip(placed.tolist(), pairwise(edges), strict=True):
        boxes = tuple(half for row in sides[first:last].tolist() for half in _halves(*row))
        shapes.append(Footprint(boxes, 1, int(rows[position]), int(sizes[position]), position))
    return Footprints(False, shapes, unplaced)


def _in_degrees(sides: Floats, crs: Crs) -> Floats:
    """Boxes in longitude and latitude; not finite where that cannot be."""
    if crs.is_lonlat or not len(sides):
        return sides
    nowhere = np.full_like(sides, np.nan)
    if not crs.is_known:
        return nowhere
    steps = np.linspace(0.0, 1.0, SAMPLES_PER_SIDE)
    across = np.concatenate([steps, steps, np.zeros_like(steps), np.ones_like(steps)])
    along = np.concatenate([np.zeros_like(steps), np.ones_like(steps), steps, steps])
    with np.errstate(invalid="ignore", over="ignore"):
        x = sides[:, :1] + (sides[:, 2:3] - sides[:, :1]) * across
        y = sides[:, 1:2] + (sides[:, 3:] - sides[:, 1:2]) * along
    try:
        moved = coordinates_between(np.column_stack([x.ravel(), y.ravel()]), crs, CRS84)
    except InvalidRequest:
        return nowhere
    x, y = moved[:, 0].reshape(x.shape), moved[:, 1].reshape(y.shape)
    found = np.column_stack([x.min(1), y.min(1), x.max(1), y.max(1)])
    return np.where(np.isfinite(found).all(axis=1)[:, None], found, np.nan)


def _halves(xmin: float, ymin: float, xmax: float, ymax: float) -> list[BoundingBox]:
    """The box between -180 and 180, in two where it crosses."""
    if xmax - xmin >= FULL_TURN_DEG:
        return [BoundingBox(-LONGITUDE_MAX_DEG, ymin, LONGITUDE_MAX_DEG, ymax)]
    turns = math.floor((xmin + LONGITUDE_MAX_DEG) / FULL_TURN_DEG) if abs(xmin) != 180 else 0
    west, east = xmin - turns * FULL_TURN_DEG, xmax - turns * FULL_TURN_DEG
    if east <= LONGITUDE_MAX_DEG:
        return [BoundingBox(west, ymin, east, ymax)]
    return [
        BoundingBox(west, ymin, LONGITUDE_MAX_DEG, ymax),
        BoundingBox(-LONGITUDE_MAX_DEG, ymin, east - FULL_TURN_DEG, ymax),
    ]


def _grid(
    index: FileIndex, files: npt.NDArray[np.int64], sides: Floats, limit: int
) -> list[Footprint]:
    """Each file is in one cell, that of the centre of its first box: the cells add up."""
    is_first = firsts(files)
    files, sides = files[is_first], sides[is_first]
    x, y = (sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2
    x = np.mod(x + LONGITUDE_MAX_DEG, FULL_TURN_DEG) - LONGITUDE_MAX_DEG
    count = max(1, math.isqrt(limit))
    x0, y0 = float(x.min()), float(y.min())
    width = max((float(x.max()) - x0) / count, 1e-9)
    height = max((float(y.max()) - y0) / count, 1e-9)
    column = np.minimum(((x - x0) / width).astype(np.int64), count - 1)
    row = np.minimum(((y - y0) / height).astype(np.int64), count - 1)
    cells = row * count + column
    numbers = index.columns.numbers
    in_cell = np.bincount(cells)
    rows = np.bincount(cells, weights=numbers["record_count"][files])
    sizes = np.bincount(cells, weights=numbers["size_bytes"][files])
    shapes = []
    for cell in np.flatnonzero(in_cell).tolist():
        west, south = x0 + (cell % count) * width, y0 + (cell // count) * height
        box = BoundingBox(west, south, west + width, south + height)
        shapes.append(Footprint((box,), int(in_cell[cell]), int(rows[cell]), int(sizes[cell])))
    return shapes


def _summed(index: FileIndex, positions: Positions) -> Footprint:
    numbers = index.columns.numbers
    rows, sizes = numbers["record_count"][positions], numbers["size_bytes"][positions]
    return Footprint((), len(positions), int(rows.sum()), int(sizes.sum()))
