"""Finding files in space: the R-tree, boxes from WKB, footers, and a plan with a map window."""

import io
import json
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from benchmarks.footers import inspect_footers
from benchmarks.load_generator import timed
from benchmarks.planning import plan_against_pyiceberg
from benchmarks.report import OURS, Options, Result
from graticule.spatial.bounding_box import BoundingBox, FileBox, exact
from graticule.spatial.packed_rtree import PackedRTree
from graticule.storage.parquet import inspect
from graticule.storage.parquet_computed import compute_boxes

BOXES = 1_000_000
CITY = BoundingBox(2.1, 48.7, 2.6, 49.05)
POINTS = 2_000_000
POLYGONS = 200_000
POLYGON_VERTICES = 50
POINTS_GOAL = 15.0
POLYGONS_GOAL = 0.9
GEO = json.dumps(
    {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}},
    }
)
FOOTERS = 4_000
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
    positions = random.uniform((-180, -90), (180, 90), (count, 2))
    _wkb(result, "points", shapely.to_wkb(shapely.points(positions)), POINTS_GOAL)


def _polygons(result: Result, random: np.random.Generator, count: int) -> None:
    angles = np.linspace(0, 2 * np.pi, POLYGON_VERTICES)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    circle[-1] = circle[0]
    centres = random.uniform((-170, -80), (170, 80), (count, 1, 2))
    values = shapely.to_wkb(shapely.polygons(centres + 0.01 * circle))
    _wkb(result, f"polygons of {POLYGON_VERTICES} vertices", values, POLYGONS_GOAL)


def _wkb(result: Result, what: str, values: np.ndarray, goal_millions: float) -> None:
    """From the file to the box: what reading a column without statistics costs."""
    case = f"box of {len(values):,} {what}, decoded from zstd"
    table = pa.table({"geometry": pa.array(values.tolist(), pa.binary())})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table, row_group_size=50_000)
        writer.add_key_value_metadata({"geo": GEO})
    data = sink.getvalue()

    def read(at: int, length: int) -> bytes:
        return data[at : at + length]

    inspection = inspect(read, len(data))

    def own() -> FileBox:
        found = compute_boxes(read, len(data), inspection, budget_bytes=1 << 40)
        return found.geometry["geometry"].file_box

    def decode() -> None:
        for _ in pq.ParquetFile(io.BytesIO(data)).iter_batches(4096, use_threads=False):
            pass

    def with_shapely() -> FileBox:
        extents = [
            shapely.total_bounds(shapely.from_wkb(batch.column(0).to_pylist()))
            for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(4096, use_threads=False)
        ]
        low, high = np.min(extents, axis=0), np.max(extents, axis=0)
        return exact(BoundingBox(*low[:2].tolist(), *high[2:].tolist()))

    if own() != with_shapely():
        raise AssertionError(f"{own()} is not {with_shapely()}")
    subjects = ((OURS, own), ("pyarrow, decode only", decode), ("shapely", with_shapely))
    for subject, action in subjects:
        took = min(_clocked(action)[1] for _ in range(3))
        result.add(
            case, subject, millions_per_s=round(len(values) / took / 1e6, 2), cpu_s=round(took, 3)
        )
    rate = result.figure(case, OURS, "millions_per_s")
    result.add_ratio(f"{what}/s of one core, over the goal", rate / goal_millions, "≥ 1")
    shapely_rate = result.figure(case, "shapely", "millions_per_s")
    result.add_ratio(f"{what}/s, ours over shapely's", rate / shapely_rate)


def _clocked(action: Callable[[], object]) -> tuple:
    """What it returns, and the CPU seconds that it took."""
    began = time.process_time()
    made = action()
    return made, time.process_time() - began
