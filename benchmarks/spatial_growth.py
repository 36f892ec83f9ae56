"""How the index of a table grows, from 10,000 files to 10,000,000: build, map, query, memory."""

import multiprocessing
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import shapely

from benchmarks.growth_plot import Series, growth_svg
from benchmarks.load_generator import timed
from benchmarks.planning import COLUMNS, entries_of
from benchmarks.report import OURS, RESULTS, Options, Result
from graticule.planning.file_boxes import OUTER_CODE, FileBoxes
from graticule.planning.file_columns import BOUNDS, COUNTS, NUMBERS, FileColumns
from graticule.planning.index import FileIndex
from graticule.planning.ragged import ByteMaps, IntMaps, RaggedBytes, RaggedInts
from graticule.planning.table_places import place_of
from graticule.services.planning.snapshot_reading import SnapshotReader
from graticule.spatial.bounding_box import BoundingBox
from graticule.storage.index_files import About, map_index, write_index
from graticule.storage.manifest_writer import write_manifest_list, write_manifests

COUNTS_OF_FILES = (10_000, 100_000, 1_000_000, 10_000_000)
SHAPELY_FILES_MAX = 1_000_000
"""Beyond, its boxes alone take some 5 GB."""
MEMORY_FILES = 1_000_000
MANIFEST_COPIES = 50
WINDOWS = {
    "city": BoundingBox(2.1, 48.7, 2.6, 49.05),
    "region": BoundingBox(0.0, 47.0, 5.0, 51.0),
}
GOAL_MS = 5.0
"""Of a city window in the largest of them."""
QUERIES, SCANS = 200, 20
SUBLINEAR = (OURS, "shapely STRtree")
SEED = 20_261_122
PATH_BYTES = 64
ABOUT = About(7, "growth")


def run(options: Options) -> Result:
    result = Result("An index that grows")
    result.notes.append(
        "Synthetic arrays, not manifests: random boxes of up to a tenth of a degree, half of them "
        "in Europe, one a file; the windows are Paris and the north of France. The index is asked "
        "where it lies, mapped from a file; a query gives the files' positions. DuckDB and the "
        "scan compare four columns in memory, on one thread; shapely's tree is in memory. `cpu_ms` "
        "is of the processor, the mean of a query; the others are by the clock."
    )
    write_index(options.folder / "first", FileIndex.from_entries([], []), ABOUT)  # loads Arrow
    counts = COUNTS_OF_FILES[:2] if options.quick else COUNTS_OF_FILES
    for count in counts:
        _at(result, options, count)
    for window in WINDOWS:
        small, large = (_case(count, window) for count in (counts[0], counts[-1]))
        pair = [result.figure(case, OURS, "cpu_ms") for case in (large, small)]
        what = f"{window} window in {counts[-1]:,} files over {counts[0]:,}"
        # A region has a thousand times as many files to tell of in the largest of them.
        result.add_ratio(what, pair[0] / pair[1], "≤ 10" if window == "city" else "")
    case = _case(counts[-1], "city")
    result.add_ratio(
        f"{case}: goal of 5 ms over p50", 5 / result.figure(case, OURS, "p50_ms"), "≥ 1"
    )
    _memory(result, MEMORY_FILES // (20 if options.quick else 1))
    if not options.quick:
        (RESULTS / "spatial_growth.svg").write_text(_plot(result, counts))
        result.notes.append("![growth](spatial_growth.svg)")
    return result


def _case(count: int, window: str) -> str:
    return f"{window} window, {count:,} files"


def _at(result: Result, options: Options, count: int) -> None:
    sides = _sides(np.random.default_rng(SEED), count)
    boxes = FileBoxes.single(np.full(count, OUTER_CODE, np.uint8), sides)
    built, build_s = _clocked(lambda: FileIndex.build(_no_columns(count), boxes))
    path = options.folder / f"{count}.arrow"
    _, write_s = _clocked(lambda: write_index(path, built, ABOUT))
    tree_bytes = built.tree.size_bytes
    built = None
    index, map_s = _clocked(lambda: map_index(path, ABOUT))
    result.add(
        f"index of {count:,} files",
        OURS,
        build_cpu_s=round(build_s, 3),
        write_cpu_s=round(write_s, 3),
        map_cpu_s=round(map_s, 3),
        tree_bytes_a_box=round(tree_bytes / count, 1),
    )
    subjects: dict[str, Callable[[BoundingBox], int]] = {
        OURS: lambda window: len(index.select([window])),
        "DuckDB": _in_duckdb(sides),
        "numpy scan": _in_arrays(sides),
    }
    if count <= SHAPELY_FILES_MAX:
        subjects["shapely STRtree"] = _in_shapely(sides)
    for name, window in WINDOWS.items():
        found = {subject: ask(window) for subject, ask in subjects.items()}
        for subject, ask in subjects.items():
            times = QUERIES if subject in SUBLINEAR else SCANS
            began = time.process_time()
            figures = timed(lambda ask=ask, window=window: ask(window), times=times)
            cpu_ms = (time.process_time() - began) / (times + 1) * 1e3
            figures = {"cpu_ms": round(cpu_ms, 4), **figures, "found": found[subject]}
            result.add(_case(count, name), subject, **figures)
        if len(set(found.values())) > 1:
            result.notes.append(f"{_case(count, name)}: THEY FIND DIFFERENT FILES")
    path.unlink()


def _sides(random: np.random.Generator, count: int) -> np.ndarray:
    world = random.uniform((-180, -85), (179.9, 84.9), (count - count // 2, 2))
    europe = random.uniform((-10, 36), (30, 60), (count // 2, 2))
    corners = random.permutation(np.concatenate([world, europe]))
    return np.hstack([corners, corners + random.uniform(0, 0.1, (count, 2))])


def _no_columns(count: int) -> FileColumns:
    """Of files nothing else is known of: they take no memory, and a query looks at none."""
    zeros = np.broadcast_to(np.int64(0), (count,))
    offsets = np.broadcast_to(np.int64(0), (count + 1,))
    nothing = RaggedBytes(offsets, np.zeros(0, np.uint8))
    keys = RaggedInts(offsets, np.zeros(0, np.int64))
    return FileColumns(
        paths=nothing,
        numbers=dict.fromkeys(NUMBERS, zeros),
        counts=dict.fromkeys(COUNTS, IntMaps(keys, np.zeros(0, np.int64))),
        bounds=dict.fromkeys(BOUNDS, ByteMaps(keys, RaggedBytes.of([]))),
        split_offsets=keys,
        details=nothing,
    )


def _in_duckdb(sides: np.ndarray) -> Callable[[BoundingBox], int]:
    connection = duckdb.connect(config={"threads": 1})
    names = ("xmin", "ymin", "xmax", "ymax")
    table = pa.table({name: np.ascontiguousarray(sides[:, at]) for at, name in enumerate(names)})
    connection.register("given", table)
    connection.execute("create table boxes as select * from given")
    connection.unregister("given")
    query = "select rowid from boxes where xmin <= ? and xmax >= ? and ymin <= ? and ymax >= ?"

    def ask(window: BoundingBox) -> int:
        sought = [window.xmax, window.xmin, window.ymax, window.ymin]
        return len(connection.execute(query, sought).fetchnumpy()["rowid"])

    return ask


def _in_arrays(sides: np.ndarray) -> Callable[[BoundingBox], int]:
    xmin, ymin, xmax, ymax = (np.ascontiguousarray(side) for side in sides.T)

    def ask(window: BoundingBox) -> int:
        hit = (xmin <= window.xmax) & (xmax >= window.xmin)
        hit &= (ymin <= window.ymax) & (ymax >= window.ymin)
        return len(np.flatnonzero(hit))

    return ask


def _in_shapely(sides: np.ndarray) -> Callable[[BoundingBox], int]:
    tree = shapely.STRtree(shapely.box(*sides.T))

    def ask(window: BoundingBox) -> int:
        return len(tree.query(shapely.box(window.xmin, window.ymin, window.xmax, window.ymax)))

    return ask


def _memory(result: Result, count: int) -> None:
    """What building takes above what it is made of, each time in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        figures = pool.apply(_build_alone, (count,))
        read = pool.apply(_read_alone, (count,))
    result.add(f"memory, {count:,} files with bounds of three columns", OURS, **figures)
    result.add(f"from manifests to the index, {count:,} files", OURS, **read)


def _build_alone(count: int) -> dict[str, float]:
    columns = _columns(count)
    sides = _sides(np.random.default_rng(SEED), count)
    boxes = FileBoxes.single(np.full(count, OUTER_CODE, np.uint8), sides)
    columns_bytes = sum(array.nbytes for array in columns.to_arrays().values())
    tracemalloc.start()  # what NumPy takes from here on; Arrow writes without copies
    index = FileIndex.build(columns, boxes)
    built = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    kept = tracemalloc.get_traced_memory()[0]
    path = Path(f"/tmp/graticule-growth-{count}.arrow")
    try:
        write_index(path, index, ABOUT)
        written, size = tracemalloc.get_traced_memory()[1] - kept, path.stat().st_size
    finally:
        path.unlink(missing_ok=True)
    return {
        "columns_mb": round(columns_bytes / 2**20),
        "build_adds_mb": round(built / 2**20),
        "write_adds_mb": round(written / 2**20),
        "file_mb": round(size / 2**20),
        "bytes_a_file": round(size / count, 1),
    }


def _read_alone(count: int) -> dict[str, float]:
    """From manifests in memory to the index: what it takes of the processor, and at its peak."""
    store, snapshot, document = _manifests(count)
    place = place_of(document, document["schemas"][0])
    reader = SnapshotReader(store, None, document, place)
    before_mb = _of_status("VmRSS")
    index, read_s = _clocked(lambda: reader.index(snapshot, None))
    peak_mb = _of_status("VmHWM")  # `getrusage` counts the parent's peak as well
    assert len(index) == count
    return {
        "read_cpu_s": round(read_s, 2),
        "read_adds_mb": round(peak_mb - before_mb),
        "index_mb": round(index.size_bytes / 2**20),
    }


def _of_status(name: str) -> float:
    """A figure of this process in MB, as the kernel tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024


def _manifests(count: int) -> tuple["_Manifests", dict, dict]:
    """Manifests of some files, so often that they are `count`: a snapshot, and a table of it."""
    kinds = zip(COLUMNS, ("long", "double", "double"), strict=True)
    fields = [
        {"id": at + 1, "name": name, "required": False, "type": kind}
        for at, (name, kind) in enumerate(kinds)
    ]
    schema = {"type": "struct", "schema-id": 0, "fields": fields}
    document = {
        "schemas": [schema],
        "current-schema-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": []}],
    }
    written = write_manifests(
        entries_of("s3://lake/t", count // MANIFEST_COPIES),
        schema=schema,
        spec=document["partition-specs"][0],
        snapshot_id=ABOUT.snapshot_id,
        folder="s3://lake/t/metadata",
        token="one",
    )
    objects, listed = {}, []
    for copy in range(MANIFEST_COPIES):
        for one in written:
            path = f"{one.manifest.path}.{copy}"
            objects[path] = one.data
            listed.append(replace(one.manifest, path=path))
    at = "s3://lake/t/metadata/list"
    objects[at] = write_manifest_list(
        listed, snapshot_id=ABOUT.snapshot_id, parent_snapshot_id=None, sequence_number=1
    )
    snapshot = {"snapshot-id": ABOUT.snapshot_id, "manifest-list": at}
    return _Manifests(objects), snapshot, document


@dataclass(frozen=True)
class _Manifests:
    """A store of what is in memory."""

    objects: dict[str, bytes]

    def get(self, at: str) -> bytes:
        return self.objects[at]


def _columns(count: int) -> FileColumns:
    """As manifests say them: a path, counts and bounds of three columns."""
    numbers = np.arange(count, dtype=np.int64)
    keys = RaggedInts(np.arange(count + 1) * 3, np.tile(np.array([1, 2, 3], np.int64), count))
    bounds = RaggedBytes(np.arange(3 * count + 1) * 8, np.zeros(24 * count, np.uint8))
    return FileColumns(
        paths=RaggedBytes.repeated(b"s" * PATH_BYTES, count),
        numbers=dict.fromkeys(NUMBERS, numbers),
        counts=dict.fromkeys(COUNTS, IntMaps(keys, np.repeat(numbers, 3))),
        bounds=dict.fromkeys(BOUNDS, ByteMaps(keys, bounds)),
        split_offsets=RaggedInts(np.arange(count + 1), np.full(count, 4, np.int64)),
        details=RaggedBytes.repeated(b"{}", count),
    )


def _plot(result: Result, counts: tuple[int, ...]) -> str:
    subjects = dict.fromkeys(row["subject"] for row in result.rows)
    series = []
    for subject in subjects:
        points = [
            (count, figure)
            for count in counts
            if (figure := result.figure(_case(count, "city"), subject, "cpu_ms")) is not None
        ]
        series.append(Series(subject, points))
    return growth_svg(
        [one for one in series if one.points],
        title="Files in a city window, processor time of a query",
        x_label="files in the table",
        y_label="ms",
    )


def _clocked(action: Callable[[], object]) -> tuple:
    """What it returns, and the CPU seconds that it took."""
    began = time.process_time()
    made = action()
    return made, time.process_time() - began
