"""Footers of Parquet files: what inspecting one costs, and reading many from a store."""

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.peer import cpu_s_of
from benchmarks.peers.store import admin_client, store_in
from benchmarks.report import OURS, Options, Result
from graticule.demo.seaweedfs import SeaweedFS
from graticule.domain.location import Location
from graticule.outbound.gate import ANYWHERE
from graticule.services.discovery.footers import FILES_A_TASK
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import ReadRange, inspect_footer
from graticule.storage.s3 import ObjectStore

COLUMNS = 12
ROW_GROUPS = 8
ROWS_A_GROUP = 500
VARIANTS = 100
"""Files with other values, as a table has them; those behind them are the same again."""
WARM_UP = 400
THREADS = 16
PROCESSES = 2
ROUNDS = 3
SEED = 3

PYTHON = Path(sys.executable)

BARE = "bare ranged GETs"


def inspect_footers(result: Result, options: Options, files: int) -> None:
    random = np.random.default_rng(SEED)
    variants = [footer_file(random) for _ in range(VARIANTS)]
    every = [variants[number % VARIANTS] for number in range(files)]
    tails = [tail_of(data) for data in every]
    mean_bytes = round(sum(map(len, tails)) / files)

    case = f"{files:,} footers of {mean_bytes:,} bytes in memory"
    sizes = [len(data) for data in every]
    for subject, one in (
        (OURS, inspect_footer),
        ("pyarrow, parse only", lambda tail, _: pq.read_metadata(io.BytesIO(tail))),
    ):
        began = time.process_time()
        for tail, size in zip(tails, sizes, strict=True):
            one(tail, size)
        cpu_s = time.process_time() - began
        result.add(case, subject, files_per_s=round(files / cpu_s), cpu_s=round(cpu_s, 3))
    own = result.figure(case, OURS, "files_per_s")
    result.add_ratio("footers/s of one core, over the goal of 2,000", own / 2_000, "≥ 1")
    with store_in(options.folder / "footers") as s3, InspectionWorkers(PROCESSES) as workers:
        _from_store(result, s3, workers, every)


def _from_store(
    result: Result, s3: SeaweedFS, workers: InspectionWorkers, every: list[bytes]
) -> None:
    files = len(every)
    case = f"{files:,} footers from the store, {THREADS} threads"
    store = ObjectStore(
        Location.parse("s3://lake"),
        region=s3.region,
        endpoint=s3.endpoint,
        path_style=True,
        credentials=lambda: s3.admin_keys,
        outbound=ANYWHERE,
    )
    client = admin_client(s3)

    def put(number: int) -> None:
        client.put_object(Bucket="lake", Key=f"footers/{number}.parquet", Body=every[number])

    def get(number: int) -> None:
        data = every[number]
        tail_bytes = len(tail_of(data))
        store.get(_uri(number), range=(len(data) - tail_bytes, tail_bytes))

    def inspect_some(numbers: Sequence[int]) -> None:
        found = workers.inspect_to_bytes((reader(number), len(every[number])) for number in numbers)
        assert all(isinstance(each, bytes) for each in found)

    def reader(number: int) -> ReadRange:
        return lambda at, length: store.get(_uri(number), range=(at, length))

    numbers = range(files)
    some = [numbers[at : at + FILES_A_TASK] for at in range(0, files, FILES_A_TASK)]
    _each(put, numbers)
    # Starts the processes, which learn how long footers are and how they are written.
    _each(inspect_some, some[: WARM_UP // FILES_A_TASK])
    _each(get, numbers[:WARM_UP])
    measured = {OURS: (inspect_some, some), BARE: (get, numbers)}
    clocked = {subject: [] for subject in measured}
    for _ in range(ROUNDS):  # in turns, so that what else the machine does meets both
        for subject, (action, items) in measured.items():
            cpu_s = family_cpu_s()
            wall_s = _each(action, items)
            clocked[subject].append((wall_s, family_cpu_s() - cpu_s))
    for subject, rounds in clocked.items():
        wall_s, cpu_s = (sorted(each)[ROUNDS // 2] for each in zip(*rounds, strict=True))
        result.add(
            case,
            subject,
            files_per_s=round(files / wall_s),
            wall_s=round(wall_s, 2),
            client_cpu_s=round(cpu_s, 2),
            files_per_client_cpu_s=round(files / cpu_s),
        )
    walls = [result.figure(case, name, "wall_s") for name in (OURS, BARE)]
    result.add_ratio("wall to inspect from the store over bare GETs", walls[0] / walls[1], "≤ 1.3")
    per_core = result.figure(case, OURS, "files_per_client_cpu_s")
    result.add_ratio("footers/s of one core, fetched too, over 2,000", per_core / 2_000, "≥ 1")


def _uri(number: int) -> str:
    return f"s3://lake/footers/{number}.parquet"


def family_cpu_s() -> float:
    """Processor time of this process and of the Python processes that it has started."""
    own = os.getpid()
    return sum(cpu_s_of(int(pid)) for pid in (own, *_children_of(own)))


def _children_of(pid: int) -> list[str]:
    every = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for of_thread in every for child in of_thread.read_text().split()]
    return [child for child in children if Path(f"/proc/{child}/exe").resolve() == PYTHON.resolve()]


def _each(action: Callable[[Any], None], items: Sequence[Any]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(action, items))
    return time.perf_counter() - began


def footer_file(random: np.random.Generator) -> bytes:
    """With a footer of some 13 kB."""
    rows = ROW_GROUPS * ROWS_A_GROUP
    columns = {f"column_{at}": random.integers(0, 1000, rows) for at in range(COLUMNS)}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=ROWS_A_GROUP)
    return sink.getvalue()


def tail_of(data: bytes) -> bytes:
    """The footer, and what says how long it is."""
    return data[-int.from_bytes(data[-8:-4], "little") - 8 :]
