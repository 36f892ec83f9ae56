"""A plan with a map window: our endpoint against PyIceberg planning the same table by itself.

The table has manifests like a real one and no data files: planning never opens those.
"""

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

import numpy as np
from pyiceberg.table import StaticTable

from benchmarks.documents import SNAPSHOT_ID
from benchmarks.load_generator import timed
from benchmarks.peers import graticule
from benchmarks.peers.peer import Peer
from benchmarks.peers.store import store_in
from benchmarks.report import OURS, Options, Result
from benchmarks.rest import REFUSED_FROM, Connection, Refused, table_path
from graticule.demo.seaweedfs import SeaweedFS
from graticule.iceberg.values import encode_value
from graticule.planning.files import DataFileEntry
from graticule.storage.manifest_writer import (
    manifest_list_path,
    write_manifest_list,
    write_manifests,
)
from graticule.storage.manifests import Manifest

NAMESPACE, TABLE = "plans", "places"
COLUMNS = ("id", "lon", "lat")
WINDOW = {"lon": (2.1, 2.6), "lat": (48.7, 49.05)}
FILE_BYTES = 32 * 1024 * 1024
PLANS = 20
FILES_PER_COMMIT = HEADLINE_FILES = 100_000
SEED = 7


def plan_against_pyiceberg(result: Result, options: Options, files: int) -> None:
    case = f"plan with a window, {files:,} files"
    with (
        store_in(options.folder / "store") as store,
        graticule.running(options.folder / "graticule", store) as peer,
        peer.connect() as http,
        _skipping_refusals(result, case),
    ):
        made = make_table(peer, http, files)
        path, body = f"{table_path(NAMESPACE, TABLE)}/plan", json.dumps(_request()).encode()
        began, used_s = time.perf_counter(), peer.program.cpu_s()
        planned = http.call("POST", path, body)
        first_s, first_cpu_s = time.perf_counter() - began, peer.program.cpu_s() - used_s
        figures = timed(lambda: http.call("POST", path, body), times=PLANS)
        own = sorted(task["data-file"]["file-path"] for task in planned["file-scan-tasks"])
        p50_ms = figures["p50_ms"]
        first = {"first_ms": round(first_s * 1e3), "first_cpu_s": round(first_cpu_s, 2)}
        result.add(case, OURS, **figures, **first, files_found=len(own))

        began, used_s = time.perf_counter(), time.process_time()
        theirs = _plan_with_pyiceberg(store, made.metadata_location)
        took = (time.perf_counter() - began) * 1e3
        cpu_s = time.process_time() - used_s
        figures = {"p50_ms": round(took, 1), "first_cpu_s": round(cpu_s, 2)}
        result.add(case, "PyIceberg", **figures, files_found=len(theirs))
        result.notes.append(
            "Plans: ours over HTTP on an index in memory (`first ms` builds it from "
            "manifests); PyIceberg reads all manifests each time, once here. "
            + ("Both find the same files." if theirs == own else "THEY FIND DIFFERENT FILES.")
        )
        result.compare_with_best(case, "p50_ms", "≥ 100")
        result.add_ratio("CPU of PyIceberg over that of our first plan", cpu_s / first_cpu_s, "≥ 3")
        result.add_ratio("PyIceberg over our first plan", took / (first_s * 1e3), "≥ 3")
        _append(peer, http, made)
        began, used_s = time.perf_counter(), peer.program.cpu_s()
        http.call("POST", path, body)
        took_ms = (time.perf_counter() - began) * 1e3
        cpu_s = round(peer.program.cpu_s() - used_s, 2)
        result.add(
            f"plan at once after an append, {files + 1:,} files",
            OURS,
            first_ms=round(took_ms),
            first_cpu_s=cpu_s,
        )
        if files == HEADLINE_FILES:
            result.headlines["plan_100k_ratio_vs_pyiceberg"] = took / p50_ms
            result.headlines["first_plan_100k_ratio_vs_pyiceberg"] = took / (first_s * 1e3)


@contextmanager
def _skipping_refusals(result: Result, case: str):
    try:
        yield
    except Refused as error:
        result.skipped[case] = str(error)[:300]


def _request() -> dict:
    sides = [
        {"type": operator, "term": column, "value": value}
        for column, (least, most) in WINDOW.items()
        for operator, value in (("gt-eq", least), ("lt-eq", most))
    ]
    together = sides[0]
    for side in sides[1:]:
        together = {"type": "and", "left": together, "right": side}
    return {"filter": together, "case-sensitive": True}


def _plan_with_pyiceberg(store: SeaweedFS, metadata_location: str) -> list[str]:
    keys = store.admin_keys
    properties = {
        "s3.endpoint": store.endpoint,
        "s3.access-key-id": keys.access_key_id,
        "s3.secret-access-key": keys.secret_access_key.reveal(),
        "s3.region": store.region,
        "s3.path-style-access": "true",
    }
    window = " and ".join(f"{c} >= {a} and {c} <= {b}" for c, (a, b) in WINDOW.items())
    table = StaticTable.from_metadata(metadata_location, properties)
    return sorted(task.file.file_path for task in table.scan(row_filter=window).plan_files())


@dataclass(frozen=True)
class Made:
    """A table as it was made: where its metadata is, and what its snapshot consists of."""

    metadata_location: str
    location: str
    document: dict
    manifests: list[Manifest]


def make_table(peer: Peer, http: Connection, files: int) -> Made:
    """A table of so many files; beyond a hundred thousand in several commits."""
    http.create_namespace(NAMESPACE)
    types = ("long", "double", "double")
    fields = [
        {"id": at + 1, "name": name, "required": False, "type": kind}
        for at, (name, kind) in enumerate(zip(COLUMNS, types, strict=True))
    ]
    schema = {"type": "struct", "schema-id": 0, "fields": fields}
    created = http.create_table(NAMESPACE, TABLE, schema)
    location = created["metadata"]["location"].rstrip("/")
    made = Made("", location, created["metadata"], [])
    for number, first in enumerate(range(0, files, FILES_PER_COMMIT)):
        folder = location if first == 0 else f"{location}/{first}"
        entries = entries_of(folder, min(FILES_PER_COMMIT, files - first))
        made = commit_files(peer, http, made, entries, sequence_number=number + 1)
    return made


def _append(peer: Peer, http: Connection, made: Made) -> None:
    """One more file, in a manifest of its own."""
    [entry, *_] = entries_of(f"{made.location}/more", 2)
    commit_files(peer, http, made, [entry], sequence_number=2)


def commit_files(
    peer: Peer, http: Connection, made: Made, entries: list[DataFileEntry], *, sequence_number: int
) -> Made:
    folder, token = f"{made.location}/metadata", str(uuid4())
    snapshot_id = SNAPSHOT_ID + sequence_number
    written = write_manifests(
        entries,
        schema=made.document["schemas"][0],
        spec=made.document["partition-specs"][0],
        snapshot_id=snapshot_id,
        folder=folder,
        token=token,
    )
    for one in written:
        peer.put(one.manifest.path, one.data)
    list_at = manifest_list_path(folder, token=token, snapshot_id=snapshot_id)
    added = [
        replace(one.manifest, sequence_number=sequence_number, min_sequence_number=sequence_number)
        for one in written
    ]
    manifests = [*made.manifests, *added]
    parent = snapshot_id - 1 if made.manifests else None
    listing = write_manifest_list(
        manifests,
        snapshot_id=snapshot_id,
        parent_snapshot_id=parent,
        sequence_number=sequence_number,
    )
    peer.put(list_at, listing)
    snapshot = {
        "snapshot-id": snapshot_id,
        "sequence-number": sequence_number,
        "timestamp-ms": int(time.time() * 1000),
        "manifest-list": list_at,
        "summary": {"operation": "append"},
        "schema-id": 0,
    } | ({} if parent is None else {"parent-snapshot-id": parent})
    updates = [
        {"action": "add-snapshot", "snapshot": snapshot},
        {
            "action": "set-snapshot-ref",
            "ref-name": "main",
            "type": "branch",
            "snapshot-id": snapshot_id,
        },
    ]
    status, answer = http.commit(NAMESPACE, TABLE, updates, [])
    if status >= REFUSED_FROM:
        raise Refused(f"{status} {answer[:300]!r}")
    at = json.loads(answer)["metadata-location"]
    return replace(made, metadata_location=at, manifests=manifests)


def entries_of(location: str, files: int) -> list[DataFileEntry]:
    """Files of a tenth of a degree, half of them in Europe, with bounds as engines write them."""
    random = np.random.default_rng(SEED)
    world = random.uniform((-180, -85), (179.9, 84.9), (files - files // 2, 2))
    europe = random.uniform((-10, 36), (30, 60), (files // 2, 2))
    west, south = np.concatenate([world, europe]).T
    counts = dict.fromkeys((1, 2, 3), 1_000)
    return [
        DataFileEntry(
            path=f"{location}/data/{number:06d}.parquet",
            size_bytes=FILE_BYTES,
            record_count=1_000,
            spec_id=0,
            column_sizes=dict.fromkeys((1, 2, 3), 10_000_000),
            value_counts=counts,
            null_value_counts=dict.fromkeys((1, 2, 3), 0),
            lower_bounds=_bounds(number * 1_000, x, y),
            upper_bounds=_bounds(number * 1_000 + 999, x + 0.1, y + 0.1),
            split_offsets=(4,),
        )
        for number, (x, y) in enumerate(zip(west.tolist(), south.tolist(), strict=True))
    ]


def _bounds(number: int, x: float, y: float) -> dict[int, bytes]:
    return {
        1: encode_value("long", number),
        2: encode_value("double", x),
        3: encode_value("double", y),
    }
