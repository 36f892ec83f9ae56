"""One table of very many files: registered, and kept in step; memory, processor time, and waiting.

The store makes the files up (`huge_table`), and what their footers say lies in the database as a
scan leaves it.  Each figure is taken in a process of its own, which has opened the whole server;
beside it another process writes to the same SQLite database now and then, to see how long it waits.
"""

import io
import json
import resource
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import text

from benchmarks.huge_table import BUCKET, FOLDER, etag_of, huge_table, key_of, now_holds
from benchmarks.report import OURS, Options, Result
from graticule.db import bucket_objects, file_inspections
from graticule.db import tables as tables_db
from graticule.db.bucket_objects import ListedObject
from graticule.db.engine import create_engine, read, write
from graticule.db.file_inspections import KeptInspection
from graticule.discovery.diff import DeletionGuard
from graticule.discovery.inspection_codec import to_bytes
from graticule.domain.catalog import AccessKeys, OpenCatalog
from graticule.domain.errors import Unavailable
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Principal
from graticule.services.discovery.bucket_listing import Place
from graticule.services.discovery.bucket_survey import BucketSurveys
from graticule.services.discovery.registration import Registration
from graticule.services.integrations.integrations import NewIntegration
from graticule.services.syncing.snapshot_commits import SnapshotCommits
from graticule.services.syncing.table_listing import TableSyncRequest
from graticule.services.syncing.table_sync import TableSyncs
from graticule.settings import Settings
from graticule.spatial.bounding_box import BoundingBox, exact
from graticule.storage.parquet import inspect
from graticule.wiring import Services, open_services, wall_clock_ms

FILES = 1_000_000
CHANGED = 10_000
MEMORY_MB = 300
ROADS = TableIdentifier(Namespace(("found",)), "roads")
EVERYTHING = DeletionGuard(percent_max=100)
PAUSE_S = 0.02


def run(options: Options) -> Result:
    result = Result("Registering and syncing one table of very many files")
    files, changed = (10_000, 100) if options.quick else (FILES, CHANGED)
    file = options.folder / "roads.parquet"
    file.write_bytes(_roads())
    data = options.folder / "data"
    data.mkdir()
    result.notes.append(
        f"A table of {files:,} files of {file.stat().st_size:,} bytes with eight columns, one of "
        "them a geometry, on SQLite. The store makes its answers up, over HTTP, and is another "
        "process. What footers say is known from the scan; a sync reads those of new files. "
        "Memory is the peak of the process with all that the server loads. `wait` is how long "
        "another process waited that writes every 20 ms."
    )
    with huge_table(file, files=files) as endpoint:
        _measured("prepare", endpoint, data, file, files)
        for name, case in (("propose", "proposing"), ("register", "proposing and registering")):
            figures = _measured(name, endpoint, data, file, files)
            result.add(f"{case} a table of {files:,} files", OURS, **figures)
        registered = figures
        bare = _measured("bare", endpoint, data, file, files)
        result.add(f"listing {files:,} files", "bare", **bare)
        unchanged = _measured("sync", endpoint, data, file, files)
        result.add(f"sync of {files:,} files, nothing changed", OURS, **unchanged)
        now_holds(endpoint, first=0, end=files + changed)
        figures = _measured("sync", endpoint, data, file, files)
        result.add(f"sync of {files:,} files, {changed:,} new", OURS, **figures)
        now_holds(endpoint, first=changed, end=files + changed)
        figures = _measured("sync", endpoint, data, file, files)
        result.add(f"sync of {files:,} files, {changed:,} vanished", OURS, **figures)
    for what, peak_mb in (
        ("registering", registered["peak_mb"]),
        ("an unchanged sync", unchanged["peak_mb"]),
        (f"a sync with {changed:,} vanished", figures["peak_mb"]),
    ):
        result.add_ratio(f"memory of {what} over {MEMORY_MB} MB", peak_mb / MEMORY_MB, "≤ 1")
    for figure in ("wall_s", "cpu_s"):
        ratio = unchanged[figure] / bare[figure]
        result.add_ratio(f"unchanged sync over the bare listing, {figure}", ratio, "≤ 1.2")
    return result


def _measured(name: str, endpoint: str, data: Path, file: Path, files: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.registering", name, endpoint]
    asked = [*command, str(data), str(file), str(files)]
    if name in {"prepare", "bare", "propose"}:
        return _said(asked)
    with _another_writer(data) as waits:
        figures = _said(asked)
    return {**figures, **waits}


def _said(command: list[str]) -> dict:
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(ended.stdout.splitlines()[-1])  # the server may have logged something


@contextmanager
def _another_writer(data: Path) -> Iterator[dict]:
    """Fills in how long it waited once the block has ended."""
    waits: dict[str, float] = {}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.registering", "write", str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield waits
        said, _ = process.communicate("stop\n", timeout=60)
        waits.update(json.loads(said))
    finally:
        process.kill()
        process.wait()


class _Geometry(pa.ExtensionType):
    """Makes pyarrow write the Parquet type GEOMETRY, with the box of each row group."""

    def __init__(self) -> None:
        super().__init__(pa.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"{}"

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage_type: pa.DataType, _serialized: bytes):
        return cls()


def _roads() -> bytes:
    """What every file holds."""
    rows = 50
    points = pa.array([struct.pack("<BIdd", 1, 1, 7.0, 50.0)] * rows, pa.binary())
    table = pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "name": [f"road {number}" for number in range(rows)],
            "class": ["primary"] * rows,
            "surface": ["asphalt"] * rows,
            "lanes": pa.array([2] * rows, pa.int32()),
            "length_m": [float(number) for number in range(rows)],
            "updated": pa.array([1_790_000_000_000_000] * rows, pa.timestamp("us")),
            "geometry": pa.ExtensionArray.from_storage(_Geometry(), points),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, store_schema=False)
    return sink.getvalue()


# In a process of its own


def _prepare(services: Services, endpoint: str, file: Path, files: int) -> dict:
    """An organisation with a catalog, and what a scan of the bucket leaves."""
    key = services.organisations.bootstrap().credential.replace(":", ".", 1)
    admin = services.authentication.of_bearer(key)
    new = NewIntegration(
        name="lake",
        path=f"s3://{BUCKET}",
        access_keys=AccessKeys("key", Secret("secret")),
        endpoint=endpoint,
        region="us-east-1",
        path_style=True,
    )
    integration = services.integrations.create(admin, new)
    services.catalogs.create(admin, name="c", integration="lake", sub_path="tables")
    _credential(services).write_text(key)
    data = file.read_bytes()
    found = inspect(lambda at, length: data[at : at + length], len(data))
    for start in range(0, files, 5000):
        numbers = range(start, min(start + 5000, files))
        objects = [
            ListedObject(key_of(number), len(data), etag_of(number), 1_790_000_000_000)
            for number in numbers
        ]
        kept = [
            KeptInspection(
                key_of(number), len(data), etag_of(number), to_bytes(_lying(found, number)), None
            )
            for number in numbers
        ]
        with write(services.engine) as conn:
            bucket_objects.keep(conn, integration.id, objects)
            file_inspections.keep(conn, integration.id, kept)
    return {"files": files}


def _lying(found, number: int):
    """The same file somewhere else: numbers are strewn over the world."""
    x, y = (number * 0.618034) % 1 * 358 - 179, (number * 0.754878) % 1 * 170 - 85
    place = found.geometry["geometry"]
    box = exact(BoundingBox(x, y, x + 0.1, y + 0.1))
    moved = replace(place, file_box=box, row_group_boxes=(box,) * len(place.row_group_boxes))
    return replace(found, geometry={"geometry": moved})


def _propose(services: Services) -> dict:
    catalog = _catalog(services, _admin(services))
    place = Place(catalog.integration.id, Location.parse(f"s3://{BUCKET}/{FOLDER}"))
    store = services.credentials.store_for(catalog.integration)
    surveys = BucketSurveys(services.engine, services.workers, now_ms=wall_clock_ms)
    [proposal] = surveys.recall(store, place).proposals.tables
    return {"files": proposal.file_count}


def _register(services: Services) -> dict:
    admin = _admin(services)
    catalog = _catalog(services, admin)
    services.namespaces.ensure(admin, catalog, ROADS.namespace)
    place = Place(catalog.integration.id, Location.parse(f"s3://{BUCKET}/{FOLDER}"))
    store = services.credentials.store_for(catalog.integration)
    surveys = BucketSurveys(services.engine, services.workers, now_ms=wall_clock_ms)
    survey = surveys.recall(store, place)
    [proposal] = survey.proposals.tables
    proposed_mb, cpu_s = _peak_mb(), time.process_time()
    registration = Registration(
        services.engine,
        services.credentials,
        services.pending_snapshots,
        services.workers,
        now_ms=wall_clock_ms,
    )
    registration.register(admin, catalog, survey, proposal, ROADS)
    return {
        "files": proposal.file_count,
        "proposed_mb": proposed_mb,
        "registering_cpu_s": round(time.process_time() - cpu_s, 1),
    }


def _bare(services: Services) -> dict:
    catalog = _catalog(services, _admin(services))
    store = services.credentials.store_for(catalog.integration)
    pages = store.list(Location.parse(f"s3://{BUCKET}/{FOLDER.rstrip('/')}"))
    return {"files": sum(len(page) for page in pages)}


def _sync(services: Services) -> dict:
    admin = _admin(services)
    catalog = _catalog(services, admin)
    with read(services.engine) as conn:
        record = tables_db.load(conn, catalog.catalog.id, ROADS)
    commits = SnapshotCommits(services.engine, services.commits, services.pending_snapshots)
    syncs = TableSyncs(
        services.engine,
        services.documents,
        services.credentials,
        commits,
        services.workers,
        now_ms=wall_clock_ms,
    )
    request = TableSyncRequest(sync_id=f"sync-{time.time_ns()}", guard=EVERYTHING)
    outcome = syncs.sync(admin, catalog, record.id, request)
    return {name: outcome[name] for name in ("status", "added", "vanished")}


def _admin(services: Services) -> Principal:
    return services.authentication.of_bearer(_credential(services).read_text())


def _catalog(services: Services, admin: Principal) -> OpenCatalog:
    return services.catalogs.open(admin, "c")


def _credential(services: Services) -> Path:
    return Path(services.engine.url.database).with_name("credential")


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


WORK: dict[str, Callable[[Services], dict]] = {
    "propose": _propose,
    "register": _register,
    "bare": _bare,
    "sync": _sync,
}


def _write_now_and_then(data: Path) -> None:
    """Until told to stop; then says how long it waited."""
    engine = create_engine(_settings(data).resolved_database_url)
    stopping = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stopping.set()), daemon=True).start()
    waits: list[float] = []
    failures = 0
    while not stopping.wait(PAUSE_S):
        began = time.perf_counter()
        try:
            with write(engine) as conn:
                conn.execute(text("UPDATE catalogs SET name = name"))
        except Unavailable:
            failures += 1
        waits.append(time.perf_counter() - began)
    waits.sort()
    print(
        json.dumps(
            {
                "wait_p50_ms": round(waits[len(waits) // 2] * 1000, 1),
                "wait_p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 1),
                "wait_max_ms": round(waits[-1] * 1000, 1),
                "writes_failed": failures,
            }
        )
    )


def _settings(data: Path) -> Settings:
    return Settings(
        data_dir=data, allow_private_endpoints=True, log_level="error", inspection_processes=2
    )


def main() -> None:
    if sys.argv[1] == "write":
        _write_now_and_then(Path(sys.argv[2]))
        return
    name, endpoint, data, file, files = sys.argv[1:]
    services = open_services(_settings(Path(data)))
    began, cpu_began = time.perf_counter(), time.process_time()
    if name == "prepare":
        figures = _prepare(services, endpoint, Path(file), int(files))
    else:
        figures = WORK[name](services)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    figures |= {
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "peak_mb": _peak_mb(),
    }
    print(json.dumps(figures))
    services.close()


if __name__ == "__main__":
    main()
