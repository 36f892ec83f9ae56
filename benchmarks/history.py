"""Commits to a table whose history grows, beside what no commit can do without."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import uuid4

from benchmarks.documents import SNAPSHOT_ID, append_updates, metadata_document
from benchmarks.load_generator import percentiles, timed
from benchmarks.peers.peer import Peer, Program
from benchmarks.report import OURS, Result
from benchmarks.rest import REFUSED_FROM, Connection, Refused
from graticule.iceberg import metadata, updates

COMMITS = 60
IDLE_S = 2.0
BARE = "PUT and answer"


@dataclass(frozen=True)
class Sides:
    """The catalog and a connection to it, and the same of what only PUTs and answers."""

    peer: Peer
    http: Connection
    bare_program: Program
    bare: Connection


def measure(result: Result, sides: Sides, *, namespace: str, histories: Sequence[int]) -> None:
    result.notes.append(
        "`own` is what a commit takes beyond a bare PUT and answer of the same bytes. As time it "
        "is the difference of two medians, for 10,000 snapshots of two long ones; `own_cpu` is the "
        "difference of the processor's time that the processes used, which a store that has a good "
        "or a bad moment does not change."
    )
    for snapshots in histories:
        _appends(result, sides, namespace, snapshots)
        _parts(result, snapshots)
    _ratios(result, histories)


def _appends(result: Result, sides: Sides, namespace: str, snapshots: int) -> None:
    """Appends to a table of that many snapshots, in turns with bare PUTs and answers."""
    peer, http, bare = sides.peer, sides.http, sides.bare
    name = f"history_{snapshots}"
    location = f"{peer.root}/{name}"
    data = metadata_document(location, snapshots)
    at = f"{location}/metadata/00000-{uuid4()}.metadata.json"
    peer.put(at, data)
    http.register_table(namespace, name, at)
    bare.request("PUT", "/", data)
    first = _append(http, namespace, name, location, snapshots)  # reads and checks the document
    bare.request("POST", "/", b"")
    programs = (peer.program, sides.bare_program)
    idle = [_idle(program) for program in programs]
    began, since = [program.cpu_s() for program in programs], time.perf_counter()
    whole, least = [], []
    for number in range(1, COMMITS + 1):
        whole.append(_append(http, namespace, name, location, snapshots + number))
        least.append(_seconds(lambda: bare.request("POST", "/", b"")))
    lasted_s = time.perf_counter() - since
    used_ms = [
        (program.cpu_s() - before - share * lasted_s) * 1e3 / len(whole)
        for program, before, share in zip(programs, began, idle, strict=True)
    ]
    took, floor = percentiles(whole), percentiles(least)
    case = _case(snapshots)
    result.add(
        case,
        OURS,
        **took,
        first_ms=round(first * 1e3, 1),
        document_bytes=len(data),
        own_p50_ms=round(took["p50_ms"] - floor["p50_ms"], 3),
        cpu_ms_per_commit=round(used_ms[0], 2),
        own_cpu_ms=round(used_ms[0] - used_ms[1], 2),
    )
    result.add(case, BARE, **floor, cpu_ms_per_commit=round(used_ms[1], 2))


def _idle(program: Program) -> float:
    """The share of a processor that a program takes when nobody asks anything of it."""
    before = program.cpu_s()
    time.sleep(IDLE_S)
    return (program.cpu_s() - before) / IDLE_S


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
        pair = [result.figure(one, OURS, "own_cpu_ms") for one in (case, short)]
        result.add_ratio(f"{over}: processor time that it adds", pair[0] / pair[1], "≤ 2")
    for case in (short, *longer):
        pair = [result.figure(case, subject, "p50_ms") for subject in (OURS, BARE)]
        result.add_ratio(f"{case} over PUT and answer alone", pair[0] / pair[1])


def _case(snapshots: int) -> str:
    return f"append to {snapshots:,} snapshots"


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
