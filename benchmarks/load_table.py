"""loadTable: small and large metadata, refs only, unchanged, with a vended credential."""

import json
from dataclasses import dataclass, replace
from uuid import uuid4

from benchmarks.documents import append_updates, metadata_document, schema
from benchmarks.load_generator import read_load
from benchmarks.peers.all import running_peers
from benchmarks.peers.peer import Peer
from benchmarks.report import OURS, Options, Result
from benchmarks.rest import BROKEN, REFUSED_FROM, Connection, Refused, table_path

CONNECTIONS = (1, 8, 32)
CONNECTIONS_LARGE = (1, 8)
LARGE_FACTOR = 2
SNAPSHOTS = 10_000
SNAPSHOTS_QUICK = 500
COMMITTED_AT_ONCE = 1_000
NAMESPACE = "loads"
WARM_UP_CONNECTIONS = 8
WARM_UP_S = 5.0
"""A Java virtual machine gets faster for some seconds; it shall be measured at its best."""


@dataclass(frozen=True)
class Subject:
    """A peer, and one way to load one of its tables."""

    peer: Peer
    path: str
    headers: dict[str, str]


def run(options: Options) -> Result:
    result = Result("Loading a table")
    with running_peers(options.folder, options.peers) as peers:
        result.subjects, result.skipped = peers.describe(), peers.skipped
        plain = [_with_small_table(peer) for peer in peers.running]
        for subject in plain:
            seconds = 1.0 if options.quick else WARM_UP_S
            _read(subject, WARM_UP_CONNECTIONS, seconds)
        sizes = {subject.peer.name: len(_body(subject)) for subject in plain}
        result.notes.append(f"Bytes of the answer for the small table: {sizes}")
        _measure(result, options, "2 kB", plain, CONNECTIONS, goal="≥ 1.2")
        _measure_unchanged(result, options, "2 kB", plain)
        _measure_vended(result, options, plain[0])

        snapshots = SNAPSHOTS_QUICK if options.quick else SNAPSHOTS
        large = _with_large_tables(result, peers.running, snapshots)
        name = f"{snapshots:,} snapshots"
        _measure(result, options, name, large, CONNECTIONS_LARGE, goal="≥ 5")
        refs = [replace(s, path=f"{s.path}?snapshots=refs") for s in large]
        _measure(result, options, f"{name}, refs only", refs, CONNECTIONS_LARGE, goal="≥ 5")
        _measure_unchanged(result, options, name, large, goal="≥ 5")
    return result


def _with_small_table(peer: Peer) -> Subject:
    with peer.connect() as http:
        http.create_namespace(NAMESPACE)
        http.create_table(NAMESPACE, "small", schema())
    return Subject(peer, table_path(NAMESPACE, "small"), dict(peer.headers))


def _with_large_tables(result: Result, peers: list[Peer], snapshots: int) -> list[Subject]:
    """Those whose table really has the history, however they can be given it."""
    found = []
    for peer in peers:
        problems = []
        for way, give in (("registered", _register_large), ("committed", _commit_large)):
            name = f"large_{way}"
            try:
                give(peer, name, snapshots)
            except Exception as error:  # noqa: BLE001 - whatever a peer cannot do is a finding
                problems.append(f"{way}: {error}"[:200])
                continue
            subject = Subject(peer, table_path(NAMESPACE, name), dict(peer.headers))
            body = _body(subject)
            kept = _snapshots_in(body)
            if kept == snapshots:
                result.notes.append(
                    f"{peer.name}: {snapshots:,} snapshots {way}, an answer of {len(body):,} bytes"
                )
                found.append(subject)
                break
            problems.append(f"{way}: it then answers {kept:,} snapshots")
        else:
            result.notes.append(f"{peer.name} keeps no long history: {'; '.join(problems)}")
    return found


def _register_large(peer: Peer, name: str, snapshots: int) -> None:
    location = f"{peer.root}/{NAMESPACE}/{name}"
    at = f"{location}/metadata/00000-{uuid4()}.metadata.json"
    peer.put(at, metadata_document(location, snapshots))
    with peer.connect() as http:
        http.register_table(NAMESPACE, name, at)


def _commit_large(peer: Peer, name: str, snapshots: int) -> None:
    with peer.connect() as http:
        table = http.create_table(NAMESPACE, name, schema())
        location = table["metadata"]["location"]
        for first in range(0, snapshots, COMMITTED_AT_ONCE):
            count = min(COMMITTED_AT_ONCE, snapshots - first)
            updates = append_updates(first, location, count=count)
            status, body = http.commit(NAMESPACE, name, updates, [])
            if status >= REFUSED_FROM:
                raise Refused(f"{status} {body[:150]!r}")


def _snapshots_in(body: bytes) -> int:
    try:
        return len(json.loads(body)["metadata"].get("snapshots") or [])
    except (ValueError, KeyError):
        return 0


def _measure(
    result: Result,
    options: Options,
    what: str,
    subjects: list[Subject],
    connections: tuple[int, ...],
    *,
    goal: str,
) -> None:
    for count in connections:
        case = f"{what}, {count} connections"
        for subject in subjects:
            load = _read(subject, count, options.seconds, is_large=connections != CONNECTIONS)
            result.add(case, subject.peer.name, **load, answer_bytes=len(_body(subject)))
        result.compare_with_best(case, "requests_per_s", goal)
        result.compare_with_best(case, "p99_ms", goal)


def _measure_unchanged(
    result: Result, options: Options, what: str, subjects: list[Subject], goal: str = ""
) -> None:
    """With the ETag of the last answer.  Who has none answers in full, as to every client."""
    case = f"{what}, If-None-Match, 8 connections"
    for subject in subjects:
        etag = _etag(subject)
        headers = {**subject.headers, **({"If-None-Match": etag} if etag else {})}
        again = replace(subject, headers=headers)
        with Connection(subject.peer.base, headers) as http:
            status, _ = http.request("GET", subject.path)
        load = _read(again, 8, options.seconds, is_large=bool(goal))
        result.add(case, subject.peer.name, **load, status=status)
    result.compare_with_best(case, "requests_per_s", goal)


def _measure_vended(result: Result, options: Options, own: Subject) -> None:
    """What a cached credential adds to a load of ours."""
    for count in CONNECTIONS:
        case = f"2 kB with vended credential, {count} connections"
        delegation = {"X-Iceberg-Access-Delegation": "vended-credentials"}
        subject = replace(own, headers={**own.headers, **delegation})
        load = _read(subject, count, options.seconds)
        result.add(case, OURS, **load, answer_bytes=len(_body(subject)))
    plain = result.figure("2 kB, 1 connections", OURS, "p50_ms")
    vended = result.figure("2 kB with vended credential, 1 connections", OURS, "p50_ms")
    if plain and vended:
        result.add_ratio("ms that a cached credential adds to a load", vended - plain, "≤ 0.3")


def _read(
    subject: Subject, connections: int, seconds: float, *, is_large: bool = False
) -> dict[str, float | None]:
    # Large tables get longer, because some peers need a second an answer, and no warm-up of their
    # own, because what is under way when it ends is worked on in the time of the next.
    return read_load(
        subject.peer.base + subject.path,
        subject.headers,
        connections=connections,
        seconds=seconds * LARGE_FACTOR if is_large else seconds,
        **({"warm_up_s": 0} if is_large else {}),
    )


def _body(subject: Subject) -> bytes:
    with Connection(subject.peer.base, subject.headers) as http:
        status, body = http.request("GET", subject.path)
    if status == BROKEN:
        raise Refused(f"{subject.peer.name} did not answer")
    return body


def _etag(subject: Subject) -> str | None:
    with Connection(subject.peer.base, subject.headers) as http:
        http.request("GET", subject.path)
        return http.last_headers.get("ETag")
