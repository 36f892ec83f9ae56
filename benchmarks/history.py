"""Commits to a table whose history grows, beside what no commit can do without."""

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from uuid import uuid4

from benchmarks.documents import SNAPSHOT_ID, append_updates, metadata_document
from benchmarks.load_generator import percentiles, timed
from benchmarks.peers.peer import Peer
from benchmarks.report import OURS, Result
from benchmarks.rest import REFUSED_FROM, Connection, Refused
from graticule.iceberg import metadata, updates

COMMITS = 40
BARE = "PUT and answer"


def measure(
    result: Result,
    peer: Peer,
    http: Connection,
    bare: Connection,
    *,
    namespace: str,
    histories: Sequence[int],
) -> None:
    for snapshots in histories:
        _appends(result, peer, http, bare, namespace, snapshots)
        _parts(result, snapshots)
    _ratios(result, histories)


def _appends(
    result: Result, peer: Peer, http: Connection, bare: Connection, namespace: str, snapshots: int
) -> None:
    """Appends to a table of that many snapshots, in turns with bare PUTs and answers."""
    name = f"history_{snapshots}"
    location = f"{peer.root}/{name}"
    data = metadata_document(location, snapshots)
    at = f"{location}/metadata/00000-{uuid4()}.metadata.json"
    peer.put(at, data)
    http.register_table(namespace, name, at)
    bare.request("PUT", "/", data)
    used_s = peer.program.cpu_s()
    whole, least = [], []
    for number in range(COMMITS + 1):
        whole.append(_append(http, namespace, name, location, snapshots + number))
        least.append(_seconds(lambda: bare.request("POST", "/", b"")))
    used_s = peer.program.cpu_s() - used_s
    first, *later = whole
    took, floor = percentiles(later), percentiles(least[1:])
    case = _case(snapshots)
    result.add(
        case,
        OURS,
        **took,
        first_ms=round(first * 1e3, 1),
        document_bytes=len(data),
        own_p50_ms=round(took["p50_ms"] - floor["p50_ms"], 3),
        cpu_ms_per_commit=round(used_s * 1e3 / len(whole), 2),
    )
    result.add(case, BARE, **floor)


def _append(http: Connection, namespace: str, name: str, location: str, number: int) -> float:
    requirement = {
        "type": "assert-ref-snapshot-id",
        "ref": "main",
        "snapshot-id": SNAPSHOT_ID + number - 1,
    }
    changes = append_updates(number, location)
    began = time.perf_counter()
    status, body = http.commit(namespace, name, changes, [requirement])
    took = time.perf_counter() - began
    if status >= REFUSED_FROM:
        raise Refused(f"append to `{name}`: {status} {body[:400]!r}")
    return took


def _parts(result: Result, snapshots: int) -> None:
    """What the engine does between the two, in this process."""
    location = "s3://lake/tables/parts"
    data = metadata_document(location, snapshots)
    document = metadata.decode(data)
    changes = append_updates(snapshots, location)

    def apply(to: metadata.Json) -> metadata.Json:
        return updates.apply(
            changes, to, now_ms=int(time.time() * 1000), metadata_location=f"{location}/m.json"
        ).document

    apply(document)
    parts: dict[str, Callable[[], object]] = {
        "read": lambda: metadata.decode(data),
        "read_and_apply": lambda: apply(metadata.decode(data)),
        "apply": lambda: apply(document),
        "apply_and_write": lambda: metadata.encode(apply(document)),
        "hash": lambda: sha256(data).digest(),
    }
    figures = {f"{name}_ms": timed(part, times=COMMITS)["p50_ms"] for name, part in parts.items()}
    result.add(f"{_case(snapshots)}: the engine's parts", OURS, **figures)


def _ratios(result: Result, histories: Sequence[int]) -> None:
    short, *longer = [_case(snapshots) for snapshots in histories]
    for case in longer:
        over = f"{case} over {short.removeprefix('append to ')}"
        pair = [result.figure(one, OURS, "p50_ms") for one in (case, short)]
        result.add_ratio(f"{over}: whole", pair[0] / pair[1])
        pair = [result.figure(one, BARE, "p50_ms") for one in (case, short)]
        result.add_ratio(f"{over}: PUT and answer alone", pair[0] / pair[1])
        pair = [result.figure(one, OURS, "own_p50_ms") for one in (case, short)]
        result.add_ratio(f"{over}: what the catalog adds", pair[0] / pair[1], "≤ 2")
    for case in (short, *longer):
        pair = [result.figure(case, subject, "p50_ms") for subject in (OURS, BARE)]
        result.add_ratio(f"{case} over PUT and answer alone", pair[0] / pair[1])


def _case(snapshots: int) -> str:
    return f"append to {snapshots:,} snapshots"


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
