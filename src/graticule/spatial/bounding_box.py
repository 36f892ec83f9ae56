"""Planar boxes, and what is known of the box of a file.  Plain floats, no arrays.

A box never crosses the antimeridian: who does is two boxes.  Empty, unknown and everything are
three different things: no box with status `empty`, no box with status `unknown`, `EVERYWHERE`.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from graticule.domain.errors import InvalidRequest

FULL_TURN_DEG: Final = 360.0
LONGITUDE_MAX_DEG: Final = 180.0
LATITUDE_MAX_DEG: Final = 90.0
DEGREES_SLACK: Final = 1e-3
"""How far beyond 90° and 360° boxes of degrees reach when they were rounded or padded."""
SPHERICAL_PADDING_DEG: Final = 1e-9
"""Bounds of spherical edges come from trigonometry and may end a few ulps inside of the truth."""


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A closed rectangle; a point is one too.  Sides may be infinite, never NaN, never inverted."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not (self.xmin <= self.xmax and self.ymin <= self.ymax):
            raise ValueError(f"not a box: {self.xmin}, {self.ymin}, {self.xmax}, {self.ymax}")

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, (self.xmin, self.ymin, self.xmax, self.ymax)))

    def intersects(self, other: "BoundingBox") -> bool:
        """True if the two share at least a point; touching counts."""
        return (
            self.xmin <= other.xmax
            and self.xmax >= other.xmin
            and self.ymin <= other.ymax
            and self.ymax >= other.ymin
        )

    def contains_point(self, x: float, y: float) -> bool:
        return self.xmin <= x <= self.xmax and self.ymin <= y <= self.ymax

    def contains(self, other: "BoundingBox") -> bool:
        return (
            self.xmin <= other.xmin
            and self.ymin <= other.ymin
            and self.xmax >= other.xmax
            and self.ymax >= other.ymax
        )

    def union(self, other: "BoundingBox") -> "BoundingBox":
        return BoundingBox(
            min(self.xmin, other.xmin),
            min(self.ymin, other.ymin),
            max(self.xmax, other.xmax),
            max(self.ymax, other.ymax),
        )

    def intersection(self, other: "BoundingBox") -> "BoundingBox | None":
        if not self.intersects(other):
            return None
        return BoundingBox(
            max(self.xmin, other.xmin),
            max(self.ymin, other.ymin),
            min(self.xmax, other.xmax),
            min(self.ymax, other.ymax),
        )

    def shifted(self, dx: float) -> "BoundingBox":
        return BoundingBox(self.xmin + dx, self.ymin, self.xmax + dx, self.ymax)


EVERYWHERE: Final = BoundingBox(-math.inf, -math.inf, math.inf, math.inf)


class BoxStatus(StrEnum):
    """How far the boxes of a file can be trusted.

    `exact` is the smallest box and `outer` contains it.  `empty` was read and has no coordinate;
    `unknown` was not read, or cannot be.
    """

    EXACT = "exact"
    OUTER = "outer"
    EMPTY = "empty"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FileBox:
    """Where the geometries of a file (or of a part of it) lie.

    One box, or two for what crosses the antimeridian: then the eastern one (which ends at 180°)
    comes first.
    """

    status: BoxStatus
    boxes: tuple[BoundingBox, ...] = ()

    def __post_init__(self) -> None:
        has_place = self.status in {BoxStatus.EXACT, BoxStatus.OUTER}
        if has_place != bool(self.boxes):
            raise ValueError(f"`{self.status}` does not go with {len(self.boxes)} rectangles")

    def may_intersect(self, window: BoundingBox) -> bool:
        """False only if no geometry of the file can meet the window."""
        if self.status is BoxStatus.UNKNOWN:
            return True
        return any(box.intersects(window) for box in self.boxes)

    @property
    def extent(self) -> BoundingBox | None:
        """One box around all; None when empty or unknown."""
        return union_of(self.boxes)


UNKNOWN: Final = FileBox(BoxStatus.UNKNOWN)
EMPTY: Final = FileBox(BoxStatus.EMPTY)


def exact(box: BoundingBox) -> FileBox:
    return FileBox(BoxStatus.EXACT, (box,))


def outer(*boxes: BoundingBox) -> FileBox:
    return FileBox(BoxStatus.OUTER, boxes)


def union_of(boxes: Iterable[BoundingBox]) -> BoundingBox | None:
    united: BoundingBox | None = None
    for box in boxes:
        united = box if united is None else united.union(box)
    return united


def combine(parts: Iterable[FileBox]) -> FileBox:
    """The box of a whole from those of its parts; of nothing, it is empty.

    One unknown part makes the whole unknown.  When a part crosses the antimeridian the whole keeps
    an eastern and a western rectangle, since one around both would span the world.
    """
    status = BoxStatus.EXACT
    single: list[BoundingBox] = []
    east: list[BoundingBox] = []
    west: list[BoundingBox] = []
    for part in parts:
        match part.status:
            case BoxStatus.UNKNOWN:
                return UNKNOWN
            case BoxStatus.OUTER:
                status = BoxStatus.OUTER
        if len(part.boxes) == 1:
            single.append(part.boxes[0])
        else:
            halves = sorted(part.boxes, key=lambda box: -box.xmin)
            east.extend(halves[:1])
            west.extend(halves[1:])
    if not east:
        united = union_of(single)
        return EMPTY if united is None else FileBox(status, (united,))
    for box in single:
        (east if box.xmin + box.xmax >= 0 else west).append(box)
    sides = [side for side in (union_of(east), union_of(west)) if side is not None]
    if len(sides) == 2 and sides[0].xmin <= sides[1].xmax:
        return FileBox(BoxStatus.OUTER, (sides[0].union(sides[1]),))
    return FileBox(status, tuple(sides))


# Query windows.


def windows_of(xmin: float, ymin: float, xmax: float, ymax: float) -> tuple[BoundingBox, ...]:
    """A query box as one rectangle, or as two when it crosses the antimeridian (xmin > xmax).

    Raises:
        InvalidRequest: a NaN or infinite number, ymin > ymax, or a crossing box beyond ±180°.
    """
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))):
        raise InvalidRequest("a bounding box is made of finite numbers")
    if ymin > ymax:
        raise InvalidRequest(f"the bounding box is upside down: ymin {ymin} is above ymax {ymax}")
    if xmin <= xmax:
        return (BoundingBox(xmin, ymin, xmax, ymax),)
    if xmin > LONGITUDE_MAX_DEG or xmax < -LONGITUDE_MAX_DEG:
        raise InvalidRequest(
            f"the bounding box runs from x {xmin} to {xmax}: a box that crosses the antimeridian "
            "must stay within -180 and 180"
        )
    return (
        BoundingBox(xmin, ymin, LONGITUDE_MAX_DEG, ymax),
        BoundingBox(-LONGITUDE_MAX_DEG, ymin, xmax, ymax),
    )


def parse_bbox(text: str) -> tuple[BoundingBox, ...]:
    """Parse `xmin,ymin,xmax,ymax`; see `windows_of`.

    Raises:
        InvalidRequest: not four numbers, or not a box.
    """
    parts = text.split(",")
    if len(parts) != 4:
        raise InvalidRequest(
            f"`{text}` is not a bounding box; write four numbers: xmin,ymin,xmax,ymax"
        )
    try:
        xmin, ymin, xmax, ymax = (float(part) for part in parts)
    except ValueError as error:
        raise InvalidRequest(
            f"`{text}` is not a bounding box; write four numbers: xmin,ymin,xmax,ymax"
        ) from error
    return windows_of(xmin, ymin, xmax, ymax)


def with_other_turns(windows: Iterable[BoundingBox]) -> tuple[BoundingBox, ...]:
    """The windows and the same places one turn to the east and to the west.

    Longitudes are written -180..180 or 0..360; a query in one must find files in the other.
    """
    return tuple(
        window.shifted(turn) for window in windows for turn in (0.0, FULL_TURN_DEG, -FULL_TURN_DEG)
    )


# Boxes as the partition values of the virtual columns (see `box_columns.FILE_BOX_COLUMNS`).

_LARGEST: Final = sys.float_info.max

WHOLE_PLANE: Final = (-_LARGEST, -_LARGEST, _LARGEST, _LARGEST)
"""Partition values of a file whose box is unknown.  Finite, since JSON has no infinity; never NULL,
since engines drop a file whose partition value is NULL when they compare it."""

NO_PLACE: Final = (_LARGEST, _LARGEST, -_LARGEST, -_LARGEST)
"""Partition values of a file that was read and has no coordinate: inside no window, and outside
each, so that a search for what is *not* in a window keeps it."""


def to_partition_values(file_box: FileBox) -> tuple[float, float, float, float]:
    """xmin, ymin, xmax, ymax; what crosses the antimeridian spans the world here."""
    if file_box.status is BoxStatus.EMPTY:
        return NO_PLACE
    extent = file_box.extent
    if extent is None or not extent.is_finite:
        return WHOLE_PLANE
    return (extent.xmin, extent.ymin, extent.xmax, extent.ymax)


def from_partition_values(values: Sequence[object]) -> FileBox:
    """The inverse of `to_partition_values`; whatever is not a proper box is unknown."""
    if tuple(values) == NO_PLACE:
        return EMPTY
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if len(numbers) != 4 or len(values) != 4:
        return UNKNOWN
    if not all(abs(number) < _LARGEST for number in numbers):  # NaN fails as well
        return UNKNOWN
    xmin, ymin, xmax, ymax = numbers
    if xmin > xmax or ymin > ymax:
        return UNKNOWN
    return outer(BoundingBox(xmin, ymin, xmax, ymax))
