"""Scans of very many objects: memory, processor time by key and by file, and what a re-scan costs.

The store is one that makes its answers up (`huge_bucket`): so much takes hours to put anywhere.
Each figure is taken in a process of its own.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, event

from benchmarks.footers import footer_file
from benchmarks.huge_bucket import huge_bucket, key_of
from benchmarks.report import OURS, Options, Result
from graticule.access.keyring import Keyring
from graticule.db import file_inspections, integrations, organisations
from graticule.db.engine import create_engine, write
from graticule.db.file_inspections import KeptInspection
from graticule.db.upgrade import upgrade
from graticule.discovery.inspection_codec import to_bytes
from graticule.domain.catalog import AccessKeys, BucketType, StorageIntegration
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Edition, Organisation
from graticule.outbound.gate import ANYWHERE
from graticule.services.discovery.bucket_listing import Place
from graticule.services.discovery.bucket_survey import BucketSurveys
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import inspect
from graticule.storage.s3 import ObjectStore

OBJECTS = 1_000_000
FILES = 50_000
FOOTERS = 4_000
PROCESSES = 2
SEED = 3
NOW_MS = 1_790_000_000_000
LAKE = Location.parse("s3://lake")
PLACE = Place("i", LAKE)


def run(options: Options) -> Result:
    result = Result("Discovery")
    objects, files, footers = (20_000, 2_000, 300) if options.quick else (OBJECTS, FILES, FOOTERS)
    file = options.folder / "footer.parquet"
    file.write_bytes(footer_file(np.random.default_rng(SEED)))
    footer_bytes = int.from_bytes(file.read_bytes()[-8:-4], "little")
    database = options.folder / "discovery.db"
    result.notes.append(
        f"The store makes its answers up, over HTTP; {files:,} of {objects:,} objects are Parquet "
        "files in tables of 1,000. In the scan of all of them what their footers say is known "
        "already, as in a scan that goes on; inspecting is measured apart. SQLite. Memory is the "
        "peak of the process, with all that it has loaded."
    )
    case = f"listing {objects:,} objects"
    with huge_bucket(file, objects=objects, files=files) as endpoint:
        found = {
            subject: _measured(name, endpoint, database, file, files)
            for subject, name in (
                ("bare", "bare"),
                ("first scan", "first"),
                ("re-scan", "again"),
            )
        }
        for subject, figures in found.items():
            result.add(case, subject, **figures)
        scan = _measured("scan", endpoint, database, file, files)
        result.add(f"scan of {objects:,} objects, {files:,} files known", OURS, **scan)
    with huge_bucket(file, objects=objects, files=objects) as endpoint:
        into = options.folder / "files.db"
        every = _measured("scan", endpoint, into, file, objects)
    result.add(f"scan of {objects:,} data files, all of them known", OURS, **every)
    with huge_bucket(file, objects=footers, files=footers) as endpoint:
        into = options.folder / "footers.db"
        inspected = _measured("inspect", endpoint, into, file, footers)
    result.add(f"inspecting {footers:,} footers of {footer_bytes:,} bytes", OURS, **inspected)
    for found_in, peak_mb in (("objects", scan["peak_mb"]), ("data files", every["peak_mb"])):
        what = f"memory of a scan of {objects:,} {found_in} over the goal of 300 MB"
        result.add_ratio(what, peak_mb / 300, "≤ 1")
    for figure in ("wall_s", "cpu_s"):
        ratio = found["re-scan"][figure] / found["bare"][figure]
        result.add_ratio(
            f"re-scan with nothing changed over the bare listing, {figure}", ratio, "≤ 1.2"
        )
    result.add_ratio(
        "files/s of one core, fetched and inspected, over the goal of 2,000",
        inspected["files_per_cpu_s"] / 2_000,
        "≥ 1",
    )
    return result


def _measured(name: str, endpoint: str, database: Path, file: Path, files: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.discovery", name, endpoint]
    ended = subprocess.run(
        [*command, str(database), str(file), str(files)], stdout=subprocess.PIPE, check=True
    )
    return json.loads(ended.stdout)


# In a process of its own


def _bare(store: ObjectStore, _engine: Engine, _file: Path, _files: int) -> dict:
    return {"keys": sum(len(page) for page in store.list(LAKE))}


def _list(store: ObjectStore, engine: Engine, _file: Path, _files: int) -> dict:
    with InspectionWorkers(1) as workers:
        found = BucketSurveys(engine, workers, now_ms=lambda: NOW_MS).listed(store, PLACE)
    return {"keys": found.objects, "changed": found.changed}


def _scan(store: ObjectStore, engine: Engine, file: Path, files: int) -> dict:
    data = file.read_bytes()
    known = to_bytes(inspect(lambda at, length: data[at : at + length], len(data)))
    for start in range(0, files, 1000):
        kept = [
            KeptInspection(key_of(number, files), len(data), f"{number:032x}", known, None)
            for number in range(start, min(start + 1000, files))
        ]
        with write(engine) as conn:
            file_inspections.keep(conn, "i", kept)
    with InspectionWorkers(1) as workers:
        survey = BucketSurveys(engine, workers, now_ms=lambda: NOW_MS).look(store, PLACE)
    return {"keys": survey.objects_count, "tables": len(survey.proposals.tables)}


def _inspect(store: ObjectStore, engine: Engine, file: Path, files: int) -> dict:
    data = file.read_bytes()
    with InspectionWorkers(PROCESSES) as workers, ThreadPoolExecutor(PROCESSES) as pool:
        # Starts the processes, which takes a second of loading each.
        list(pool.map(lambda _: workers.inspect(_slowly(data), len(data)), range(PROCESSES)))
        before_s, began = _family_cpu_s(), time.perf_counter()
        survey = BucketSurveys(engine, workers, now_ms=lambda: NOW_MS).look(store, PLACE)
        wall_s, cpu_s = time.perf_counter() - began, _family_cpu_s() - before_s
    assert sum(table.file_count for table in survey.proposals.tables) == files
    return {"files_per_s": round(files / wall_s), "files_per_cpu_s": round(files / cpu_s)}


def _slowly(data: bytes) -> Callable[[int, int], bytes]:
    """Reads that take long enough for no process to do all of them."""

    def read(offset: int, length: int) -> bytes:
        time.sleep(0.2)
        return data[offset : offset + length]

    return read


def _family_cpu_s() -> float:
    """Processor time of this process and of those that it has started, which still run."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    ticks = 0
    for pid in (own, *children):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


WORK: dict[str, Callable[[ObjectStore, Engine, Path, int], dict]] = {
    "bare": _bare,
    "first": _list,
    "again": _list,
    "scan": _scan,
    "inspect": _inspect,
}


def main() -> None:
    name, endpoint, database, file, files = sys.argv[1:]
    store = ObjectStore(
        LAKE,
        region="us-east-1",
        endpoint=endpoint,
        path_style=True,
        credentials=lambda: AccessKeys("key", Secret("secret")),
        outbound=ANYWHERE,
    )
    engine = create_engine(f"sqlite:///{database}")
    if not Path(database).exists():
        upgrade(engine)
        _make_integration(engine)
    written = _Written(engine)
    began, cpu_began = time.perf_counter(), time.process_time()
    figures = WORK[name](store, engine, Path(file), int(files))
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if "keys" in figures:
        figures["cpu_us_per_key"] = round(cpu_s / figures["keys"] * 1e6, 2)
    print(
        json.dumps(
            {
                **figures,
                "wall_s": round(wall_s, 2),
                "cpu_s": round(cpu_s, 2),
                "peak_mb": round(peak_mb),
                "rows_written": written.rows,
            }
        )
    )
    engine.dispose()


class _Written:
    """Counts the rows that statements change."""

    def __init__(self, engine: Engine) -> None:
        self.rows = 0
        event.listen(engine, "after_cursor_execute", self._count)

    def _count(self, _conn, cursor, statement, *_: object) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            self.rows += max(0, cursor.rowcount)


def _make_integration(engine: Engine) -> None:
    integration = StorageIntegration(
        id="i",
        organisation_id="o",
        name="i",
        location=LAKE,
        region="us-east-1",
        endpoint=None,
        path_style=True,
        role_arn="arn:aws:iam::123456789012:role/lake",
        access_keys=None,
        external_id="o",
        bucket_type=BucketType.PRIVATE,
        version=1,
        created_at_ms=NOW_MS,
    )
    with write(engine) as conn:
        organisations.create(conn, Organisation("o", "o", Edition.ENTERPRISE, NOW_MS))
        integrations.create(conn, Keyring.from_keys([("k", b"k" * 32)]), integration)


if __name__ == "__main__":
    main()
