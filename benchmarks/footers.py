"""Footers of Parquet files: what inspecting one costs, and reading many from a store."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.store import admin_client, store_in
from benchmarks.report import OURS, Options, Result
from graticule.domain.location import Location
from graticule.outbound.gate import ANYWHERE
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import inspect
from graticule.storage.s3 import ObjectStore

COLUMNS = 12
ROW_GROUPS = 8
ROWS_A_GROUP = 500
WARM_UP = 64
THREADS = 16
PROCESSES = 2
SEED = 3


def inspect_footers(result: Result, options: Options, files: int) -> None:
    data = _file()
    footer_bytes = int.from_bytes(data[-8:-4], "little")
    size = len(data)

    case = f"{files:,} footers of {footer_bytes:,} bytes in memory"
    tail_bytes = footer_bytes + 8
    tail = data[-tail_bytes:]
    for subject, one in (
        (OURS, lambda: inspect(lambda at, length: data[at : at + length], size)),
        ("pyarrow, parse only", lambda: pq.read_metadata(io.BytesIO(tail))),
    ):
        began = time.process_time()
        for _ in range(files):
            one()
        cpu_s = time.process_time() - began
        result.add(case, subject, files_per_s=round(files / cpu_s), cpu_s=round(cpu_s, 3))
    own = result.figure(case, OURS, "files_per_s")
    result.add_ratio("footers/s of one core, over the goal of 2,000", own / 2_000, "≥ 1")

    case = f"{files:,} footers from the store, {THREADS} threads"
    with store_in(options.folder / "footers") as s3, InspectionWorkers(PROCESSES) as workers:
        store = ObjectStore(
            Location.parse("s3://lake"),
            region=s3.region,
            endpoint=s3.endpoint,
            path_style=True,
            credentials=lambda: s3.admin_keys,
            outbound=ANYWHERE,
        )
        uris = [f"s3://lake/footers/{number}.parquet" for number in range(files)]
        client = admin_client(s3)

        def put(uri: str) -> None:
            client.put_object(Bucket="lake", Key=uri.removeprefix("s3://lake/"), Body=data)

        def get(uri: str) -> None:
            store.get(uri, range=(size - tail_bytes, tail_bytes))

        def inspect_one(uri: str) -> None:
            workers.inspect(lambda at, length: store.get(uri, range=(at, length)), size)

        _each(put, uris)
        _each(inspect_one, uris[:WARM_UP])  # starts the workers, which learn how long footers are
        for subject, action in ((OURS, inspect_one), ("bare ranged GETs", get)):
            wall_s = _each(action, uris)
            result.add(case, subject, files_per_s=round(files / wall_s), wall_s=round(wall_s, 2))
    walls = [result.figure(case, name, "wall_s") for name in (OURS, "bare ranged GETs")]
    result.add_ratio("wall to inspect from the store over bare GETs", walls[0] / walls[1], "≤ 1.3")


def _each(action: Callable[[str], None], uris: list[str]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(action, uris))
    return time.perf_counter() - began


def _file() -> bytes:
    """With a footer of some 13 kB."""
    random = np.random.default_rng(SEED)
    rows = ROW_GROUPS * ROWS_A_GROUP
    columns = {f"column_{at}": random.integers(0, 1000, rows) for at in range(COLUMNS)}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=ROWS_A_GROUP)
    return sink.getvalue()
