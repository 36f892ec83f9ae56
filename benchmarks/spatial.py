"""Finding files in space: the R-tree, boxes from WKB, footers, and a plan with a map window."""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import shapely

from benchmarks.footers import inspect_footers
from benchmarks.load_generator import timed
from benchmarks.planning import plan_against_pyiceberg
from benchmarks.report import OURS, Options, Result
from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.packed_rtree import PackedRTree
from graticule.spatial.wkb import box_of_wkb

BOXES = 1_000_000
CITY = BoundingBox(2.1, 48.7, 2.6, 49.05)
POINTS = 2_000_000
POLYGONS = 200_000
POLYGON_VERTICES = 50
FOOTERS = 1_000
FILES = 100_000
SEED = 20_261_121


def run(options: Options) -> Result:
    result = Result("Finding files in space")
    result.notes.append(
        "Random places, half of them in Europe; the window is Paris. CPU figures are of one thread."
    )
    shrink = 20 if options.quick else 1
    random = np.random.default_rng(SEED)
    _tree(result, random, BOXES // shrink)
    _growth(result, random, BOXES // shrink)
    _points(result, random, POINTS // shrink)
    _polygons(result, random, POLYGONS // shrink)
    inspect_footers(result, options, FOOTERS // shrink)
    plan_against_pyiceberg(result, options, FILES // shrink)
    return result


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    """Half of them all over the world, half in Europe: places are never spread evenly."""
    world = random.uniform((-180, -85), (179.9, 84.9), (count - count // 2, 2))
    europe = random.uniform((-10, 36), (30, 60), (count // 2, 2))
    corners = random.permutation(np.concatenate([world, europe]))
    return np.hstack([corners, corners + random.uniform(0, 0.1, (count, 2))])


def _tree(result: Result, random: np.random.Generator, count: int) -> None:
    boxes = _boxes(random, count)
    case = f"{count:,} boxes"
    tree, build_s = _clocked(lambda: PackedRTree.build(boxes))
    figures = timed(lambda: tree.search(CITY), times=200)
    result.add(
        case,
        OURS,
        build_s=round(build_s, 3),
        bytes_a_box=round(tree.size_bytes / count, 1),
        **figures,
        found=len(tree.search(CITY)),
    )
    rectangles = shapely.box(*boxes.T)
    window = shapely.box(CITY.xmin, CITY.ymin, CITY.xmax, CITY.ymax)

    def build() -> shapely.STRtree:
        made = shapely.STRtree(rectangles)
        made.query(window)  # it is built when first asked
        return made

    other, build_s = _clocked(build)
    figures = timed(lambda: other.query(window), times=200)
    result.add(
        case,
        "shapely STRtree",
        build_s=round(build_s, 3),
        **figures,
        found=len(other.query(window)),
    )
    result.compare_with_best(case, "p50_ms")
    own = result.figure(case, OURS, "build_s")
    result.add_ratio("seconds to build, shapely over ours", build_s / own)


def _growth(result: Result, random: np.random.Generator, count: int) -> None:
    """The same window in a hundredth of the boxes."""
    small = PackedRTree.build(_boxes(random, count // 100))
    case = f"{count // 100:,} boxes"
    result.add(case, OURS, **timed(lambda: small.search(CITY), times=200))
    pair = [result.figure(f"{n:,} boxes", OURS, "p50_ms") for n in (count, count // 100)]
    result.add_ratio("search in 100 times the boxes", pair[0] / pair[1], "≤ 10")


def _points(result: Result, random: np.random.Generator, count: int) -> None:
    layout = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
    values = np.zeros(count, layout)
    values["order"], values["type"] = 1, 1
    values["x"], values["y"] = random.uniform(-180, 180, count), random.uniform(-90, 90, count)
    data = values.view(np.uint8)
    offsets = np.arange(count + 1, dtype=np.int64) * layout.itemsize
    _wkb(result, "points in WKB", offsets, data, count)


def _polygons(result: Result, random: np.random.Generator, count: int) -> None:
    angles = np.linspace(0, 2 * np.pi, POLYGON_VERTICES)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    circle[-1] = circle[0]
    centres = random.uniform((-170, -80), (170, 80), (count, 1, 2))
    values = shapely.to_wkb(shapely.polygons(centres + 0.01 * circle))
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    data = np.frombuffer(b"".join(values), np.uint8)
    _wkb(result, f"polygons of {POLYGON_VERTICES} vertices in WKB", offsets, data, count)


def _wkb(result: Result, what: str, offsets: np.ndarray, data: np.ndarray, count: int) -> None:
    case = f"box of {count:,} {what}"
    own_s = min(_clocked(lambda: box_of_wkb(offsets, data))[1] for _ in range(3))
    rows = [data[a:b].tobytes() for a, b in pairwise(offsets.tolist())]
    shapely_s = min(
        _clocked(lambda: shapely.total_bounds(shapely.from_wkb(rows)))[1] for _ in range(3)
    )
    for subject, took in ((OURS, own_s), ("shapely", shapely_s)):
        result.add(case, subject, millions_per_s=round(count / took / 1e6, 2), cpu_s=round(took, 3))
    result.compare_with_best(case, "millions_per_s")


def _clocked(action: Callable[[], object]) -> tuple:
    """What it returns, and the CPU seconds that it took."""
    began = time.process_time()
    made = action()
    return made, time.process_time() - began
