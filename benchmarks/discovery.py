"""Scans of very many objects: memory, processor time by key and by file, and what a re-scan costs.

The store is one that makes its answers up (`huge_bucket`): so much takes hours to put anywhere.
Each figure is taken in a process of its own.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, event

from benchmarks.footers import family_cpu_s, footer_file
from benchmarks.huge_bucket import (
    FILES_PER_FOLDER,
    Layout,
    huge_bucket,
    key_of,
    table_of,
    word_of,
)
from benchmarks.report import OURS, Options, Result
from graticule.access.keyring import Keyring
from graticule.db import file_inspections, integrations, organisations
from graticule.db.engine import create_engine, write
from graticule.db.file_inspections import KeptInspection
from graticule.db.upgrade import upgrade
from graticule.discovery.inspection import FileInspection
from graticule.discovery.inspection_codec import to_bytes
from graticule.domain.catalog import AccessKeys, BucketType, StorageIntegration
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Edition, Organisation
from graticule.outbound.gate import ANYWHERE
from graticule.services.discovery.bucket_listing import Place
from graticule.services.discovery.bucket_survey import BucketSurveys, survey_report
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import inspect
from graticule.storage.s3 import ObjectStore

OBJECTS = 1_000_000
FILES = 50_000
LAYOUT_FILES = 200_000
LAYOUTS = {
    Layout.HIVE: "one table in folders of regions and days, a thousand files in each",
    Layout.TABLES: "tables of a thousand files, each with columns of its own",
    Layout.SMALL_TABLES: "ten files of the same columns in each folder",
}
FOOTERS = 4_000
PROCESSES = 2
SEED = 3
NOW_MS = 1_790_000_000_000
LAKE = Location.parse("s3://lake")
PLACE = Place("i", LAKE)


def run(options: Options) -> Result:
    result = Result("Discovery")
    objects, files, footers = (20_000, 2_000, 300) if options.quick else (OBJECTS, FILES, FOOTERS)
    laid_out = OBJECTS if options.full else 10_000 if options.quick else LAYOUT_FILES
    file = options.folder / "footer.parquet"
    file.write_bytes(footer_file(np.random.default_rng(SEED)))
    footer_bytes = int.from_bytes(file.read_bytes()[-8:-4], "little")
    database = options.folder / "discovery.db"
    result.notes.append(
        f"The store makes its answers up, over HTTP; {files:,} of {objects:,} objects are Parquet "
        "files in tables of 1,000. In the scan of all of them what their footers say is known "
        "already, as in a scan that goes on; inspecting is measured apart. SQLite. Memory is the "
        "peak of the process, with all that it has loaded. A scan lists, groups and proposes, and "
        "its report is written; what is known before is not in its figures. "
        f"Layouts are of {laid_out:,} files; `--full` takes a million."
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
        _measured("know", endpoint, database, file, files)
        scan = _measured("scan", endpoint, database, file, files)
        result.add(f"scan of {objects:,} objects, {files:,} files known", OURS, **scan)
    with huge_bucket(file, objects=objects, files=objects) as endpoint:
        into = options.folder / "files.db"
        _measured("know", endpoint, into, file, objects)
        every = _measured("scan", endpoint, into, file, objects)
    result.add(f"scan of {objects:,} data files, all of them known", OURS, **every)
    into.unlink()
    peaks = {
        f"{objects:,} objects": scan["peak_mb"],
        f"{objects:,} data files": every["peak_mb"],
    }
    for layout, what in LAYOUTS.items():
        into = options.folder / "layout.db"
        with huge_bucket(file, objects=laid_out, files=laid_out, layout=layout) as endpoint:
            _measured("know", endpoint, into, file, laid_out, layout)
            figures = _measured("scan", endpoint, into, file, laid_out, layout)
        into.unlink()
        result.add(f"scan of {laid_out:,} files: {what}", OURS, **figures)
        peaks[f"{laid_out:,} files, {what}"] = figures["peak_mb"]
    with huge_bucket(file, objects=footers, files=footers) as endpoint:
        into = options.folder / "footers.db"
        inspected = _measured("inspect", endpoint, into, file, footers)
    result.add(f"inspecting {footers:,} footers of {footer_bytes:,} bytes", OURS, **inspected)
    for found_in, peak_mb in peaks.items():
        what = f"memory of a scan of {found_in}, over the goal of 300 MB"
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


def _measured(
    name: str,
    endpoint: str,
    database: Path,
    file: Path,
    files: int,
    layout: Layout = Layout.NUMBERED,
) -> dict:
    command = [sys.executable, "-m", "benchmarks.discovery", name, endpoint]
    ended = subprocess.run(
        [*command, str(database), str(file), str(files), layout], stdout=subprocess.PIPE, check=True
    )
    return json.loads(ended.stdout)


# In a process of its own


@dataclass(frozen=True)
class Bench:
    store: ObjectStore
    engine: Engine
    file: Path
    files: int
    layout: Layout

    def surveys(self, workers: InspectionWorkers) -> BucketSurveys:
        return BucketSurveys(self.engine, workers, now_ms=lambda: NOW_MS)


def _bare(bench: Bench) -> dict:
    return {"keys": sum(len(page) for page in bench.store.list(LAKE))}


def _list(bench: Bench) -> dict:
    with InspectionWorkers(1) as workers:
        found = bench.surveys(workers).listed(bench.store, PLACE)
    return {"keys": found.objects, "changed": found.changed}


def _know(bench: Bench) -> dict:
    """List, and keep what the footers say as if they had been read."""
    data = bench.file.read_bytes()
    found = inspect(lambda at, length: data[at : at + length], len(data))
    for start in range(0, bench.files, FILES_PER_FOLDER):
        kept = []
        own = found
        if bench.layout is Layout.TABLES:
            own = _renamed(found, word_of(table_of(start, bench.layout)))
        known = to_bytes(own)
        for number in range(start, min(start + FILES_PER_FOLDER, bench.files)):
            key = key_of(number, bench.files, bench.layout)
            kept.append(KeptInspection(key, len(data), f"{number:032x}", known, None))
        with write(bench.engine) as conn:
            file_inspections.keep(conn, "i", kept)
    return _list(bench)


def _renamed(found: FileInspection, word: str) -> FileInspection:
    """The same file with columns that no other table has."""
    return replace(
        found,
        fields=tuple({**column, "name": f"{word}_{column['name']}"} for column in found.fields),
        metrics={f"{word}_{path}": metrics for path, metrics in found.metrics.items()},
    )


def _scan(bench: Bench) -> dict:
    with InspectionWorkers(1) as workers:
        survey = bench.surveys(workers).look(bench.store, PLACE)
    report = json.dumps(survey_report(survey, registered={}))
    return {
        "keys": survey.objects_count,
        "tables": len(survey.proposals.tables),
        "report_kb": len(report) // 1000,
    }


def _inspect(bench: Bench) -> dict:
    data = bench.file.read_bytes()
    with InspectionWorkers(PROCESSES) as workers, ThreadPoolExecutor(PROCESSES) as pool:
        # Starts the processes, which takes a second of loading each.
        list(pool.map(lambda _: workers.inspect(_slowly(data), len(data)), range(PROCESSES)))
        before_s, began = family_cpu_s(), time.perf_counter()
        survey = bench.surveys(workers).look(bench.store, PLACE)
        wall_s, cpu_s = time.perf_counter() - began, family_cpu_s() - before_s
    assert sum(table.file_count for table in survey.proposals.tables) == bench.files
    return {
        "files_per_s": round(bench.files / wall_s),
        "files_per_cpu_s": round(bench.files / cpu_s),
    }


def _slowly(data: bytes) -> Callable[[int, int], bytes]:
    """Reads that take long enough for no process to do all of them."""

    def read(offset: int, length: int) -> bytes:
        time.sleep(0.2)
        return data[offset : offset + length]

    return read


WORK: dict[str, Callable[[Bench], dict]] = {
    "bare": _bare,
    "first": _list,
    "again": _list,
    "know": _know,
    "scan": _scan,
    "inspect": _inspect,
}


def main() -> None:
    name, endpoint, database, file, files, layout = sys.argv[1:]
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
    figures = WORK[name](Bench(store, engine, Path(file), int(files), Layout(layout)))
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
