"""How well a table is laid out for windows: what is measured, and what would help.  Pure.

Samples are drawn with a fixed seed where the data is, so one snapshot always gets one report.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from graticule.planning.file_boxes import EMPTY_CODE
from graticule.planning.index import FileIndex
from graticule.planning.positions import distinct, united
from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.crs import Crs
from graticule.spatial.reprojection import METRES_PER_DEGREE, unit_m

Floats = npt.NDArray[np.float64]

SAMPLES: Final = 64
SEED: Final = 20
WINDOWS_DEG: Final = (("city", 0.2, 0.2), ("metro", 2.0, 2.0), ("country", 8.0, 6.0))
EXTENT_WIDTH_DEG: Final = 200.0
"""What an extent in an unknown unit counts as, so that windows are shares of it."""

SMALL_FILE_BYTES: Final = 8_000_000
LARGE_FILE_BYTES: Final = 1_000_000_000
TARGET_FILE_BYTES: Final = 128_000_000
LARGE_ROW_GROUP_BYTES: Final = 64_000_000
OVERSIZE_SHARE: Final = 0.25
"""A box of more than this share of the extent's width and height is found by most windows."""
FEW_FILES: Final = 8
OVERLAP_MAX: Final = 4.0
SHARE_OVER_IDEAL_MAX: Final = 3.0


@dataclass(frozen=True, slots=True)
class WindowShare:
    """What windows of one size read on average, as shares of the whole; `ideal_share` is about
    what they would read if rows were laid out along a Hilbert curve in as many files.
    """

    name: str
    width: float
    height: float
    files_share: float
    bytes_share: float
    ideal_share: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Counts are of files unless they say otherwise; `unit` is that of the windows."""

    files: int
    rows: int
    bytes: int
    row_groups: int | None
    unknown: int
    empty: int
    crossing: int
    oversize: Sequence[int]
    small: int
    large: int
    extent: BoundingBox | None
    overlap_mean: float | None
    overlap_max: int | None
    unit: str
    windows: Sequence[WindowShare]
    advice: Sequence[str]


def layout_of(index: FileIndex, crs: Crs) -> Layout:
    """The report of one snapshot."""
    numbers = index.columns.numbers
    sizes, rows = numbers["size_bytes"], numbers["record_count"]
    finite = np.isfinite(index.places.sides).all(axis=1)
    sides, files = index.places.sides[finite], index.places.files[finite].astype(np.int64)
    extent = None
    if len(sides):
        low, high = sides[:, :2].min(axis=0), sides[:, 2:].max(axis=0)
        extent = BoundingBox(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    overlap: Sequence[int] = ()
    windows: Sequence[WindowShare] = ()
    unit, step = _unit(crs, extent)
    if extent is not None:
        points = _samples(sides, rows[files])
        known = len(index.unknown)
        overlap = [len(index.select([BoundingBox(x, y, x, y)])) - known for x, y in points]
        windows = [
            _share(index, points, (name, width * step, height * step))
            for name, width, height in WINDOWS_DEG
        ]
    measured = Layout(
        files=len(index),
        rows=int(rows.sum()),
        bytes=int(sizes.sum()),
        row_groups=_row_groups(index),
        unknown=len(index.unknown),
        empty=int((index.places.statuses == EMPTY_CODE).sum()),
        crossing=len(index.crossing),
        oversize=_oversize(sides, files, extent),
        small=int((sizes < SMALL_FILE_BYTES).sum()),
        large=int((sizes > LARGE_FILE_BYTES).sum()),
        extent=extent,
        overlap_mean=float(np.mean(overlap)) if overlap else None,
        overlap_max=max(overlap) if overlap else None,
        unit=unit,
        windows=windows,
        advice=(),
    )
    return replace(measured, advice=tuple(_advice(index, measured)))


def _unit(crs: Crs, extent: BoundingBox | None) -> tuple[str, float]:
    """The unit of coordinates, and how many of it a degree is."""
    metres = unit_m(crs)
    if crs.is_lonlat or metres == METRES_PER_DEGREE:
        return "degrees", 1.0
    if metres is not None:
        return "metres" if metres == 1.0 else "units", METRES_PER_DEGREE / metres
    width = 1.0 if extent is None else max(extent.xmax - extent.xmin, extent.ymax - extent.ymin)
    return "units", width / EXTENT_WIDTH_DEG


def _samples(sides: Floats, weights: npt.NDArray[np.int64]) -> list[tuple[float, float]]:
    """Points in the boxes, as many in each as it has rows, about."""
    draw = np.random.default_rng(SEED)
    total = float(weights.sum())
    chances = weights / total if total else np.full(len(weights), 1 / len(weights))
    chosen = sides[draw.choice(len(sides), SAMPLES, p=chances)]
    at = draw.random((SAMPLES, 2))
    points = chosen[:, :2] + (chosen[:, 2:] - chosen[:, :2]) * at
    return [(float(x), float(y)) for x, y in points]


def _share(
    index: FileIndex, points: Sequence[tuple[float, float]], window: tuple[str, float, float]
) -> WindowShare:
    name, width, height = window
    sizes = index.columns.numbers["size_bytes"]
    total = max(int(sizes.sum(dtype=np.int64)), 1)
    found: list[tuple[float, float, float]] = []
    for east, north in points:
        around = BoundingBox(
            east - width / 2, north - height / 2, east + width / 2, north + height / 2
        )
        boxes = index.boxes_in(around)
        kept = united([index.places.files[boxes], index.unknown], len(index))
        sides = index.places.sides[boxes]
        with np.errstate(invalid="ignore"):  # of an infinite box there is no centre
            x, y = (sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2
            inside = (np.abs(x - east) <= width / 2) & (np.abs(y - north) <= height / 2)
        there = united([index.places.files[boxes[inside]]], len(index))
        ideal = min(1.0, _sum(sizes[there]) / total + 2 / len(index))
        found.append((len(kept) / len(index), _sum(sizes[kept]) / total, ideal))
    means = np.mean(found, axis=0).tolist()
    return WindowShare(name, width, height, means[0], means[1], min(means[2], means[1]))


def _sum(sizes: npt.NDArray[np.int64]) -> float:
    return float(sizes.sum(dtype=np.int64))


def _oversize(
    sides: Floats, files: npt.NDArray[np.int64], extent: BoundingBox | None
) -> Sequence[int]:
    """Files with a box of much of the extent, among so many that it need not be so."""
    if extent is None or len(files) < FEW_FILES:
        return ()
    width, height = extent.xmax - extent.xmin, extent.ymax - extent.ymin
    wide = sides[:, 2] - sides[:, 0] > OVERSIZE_SHARE * width
    tall = sides[:, 3] - sides[:, 1] > OVERSIZE_SHARE * height
    return tuple(distinct(files[wide & tall]).tolist())


def _row_groups(index: FileIndex) -> int | None:
    """As far as manifests say, which tell where row groups begin; None when they do not."""
    offsets = index.columns.split_offsets
    counts = [len(offsets.row(at)) for at in range(min(len(index), 10_000))]
    if not counts or not all(counts):
        return None
    return round(sum(counts) / len(counts) * len(index))


def _advice(index: FileIndex, found: Layout) -> Sequence[str]:
    said: list[str] = []
    sizes = index.columns.numbers["size_bytes"]
    if found.unknown:
        size = _size(int(sizes[index.unknown].sum()))
        said.append(
            f"{found.unknown:,} of {found.files:,} files lie anywhere, as far as is known: every "
            f"window reads their {size}. Write them with geospatial statistics or box columns."
        )
    city = found.windows[0] if found.windows else None
    if city is not None and found.overlap_mean is not None and found.files >= FEW_FILES:
        is_wasteful = city.bytes_share > SHARE_OVER_IDEAL_MAX * city.ideal_share
        if found.overlap_mean > OVERLAP_MAX or is_wasteful:
            said.append(
                f"An average point lies in {found.overlap_mean:.1f} of {found.files:,} files, so a "
                f"window of a city reads {city.bytes_share:.1%} of the bytes. With rows sorted "
                f"along a Hilbert curve it would be about {city.ideal_share:.1%}."
            )
    if found.oversize:
        said.append(
            f"{len(found.oversize):,} files have boxes of more than {OVERSIZE_SHARE:.0%} of the "
            "table's width and height: most windows read them. Split them by place."
        )
    if found.small > found.files / 2 and found.files >= FEW_FILES:
        few = max(1, round(found.bytes / TARGET_FILE_BYTES))
        said.append(
            f"{found.small:,} of {found.files:,} files are smaller than {_size(SMALL_FILE_BYTES)}: "
            f"their {_size(found.bytes)} would fit into {few:,} of {_size(TARGET_FILE_BYTES)}. "
            "Fewer files are opened faster, as long as their row groups stay small."
        )
    if found.large:
        said.append(
            f"{found.large:,} files are larger than {_size(LARGE_FILE_BYTES)}: engines split them, "
            "but their boxes are wide."
        )
    if found.row_groups and found.bytes / found.row_groups > LARGE_ROW_GROUP_BYTES:
        said.append(
            f"Row groups have {_size(found.bytes // found.row_groups)} on average. In row groups "
            f"of at most {_size(LARGE_ROW_GROUP_BYTES)} a window could skip more of each file."
        )
    return said


def _size(size_bytes: int) -> str:
    size, units = float(size_bytes), ["bytes", "KB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.0f} {units[0]}" if units[0] == "bytes" else f"{size:,.1f} {units[0]}"
