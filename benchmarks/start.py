"""From the start of a server to its first answer, and what it weighs then."""

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import graticule
from benchmarks.peers.all import STARTERS
from benchmarks.peers.peer import PeerMissing
from benchmarks.peers.store import store_in
from benchmarks.report import OURS, Options, Result
from graticule.demo.seaweedfs import SeaweedFS

TIMES = 5
SETTLE_S = 2.0
"""Memory is read when start-up garbage has gone."""


def run(options: Options) -> Result:
    result = Result("Starting")
    result.notes.append(
        "Until an answer to `/ready` (ours: database open and current) or `/v1/config`, one server "
        "at a time, started alone. SeaweedFS is its store as well; ours and the others have the "
        "store beside them. Memory is resident, idle, all processes of the server together."
    )
    times = 1 if options.quick else TIMES
    with store_in(options.folder / "store") as store:
        folder = options.folder / "own"
        first, memory = _start(folder, store)
        result.add("first start, empty database", OURS, start_s=first, **_weights(memory))
        again = [_start(folder, store) for _ in range(times)]
        result.add(
            "start",
            OURS,
            start_s=statistics.median(start for start, _ in again),
            **_weights(again[-1][1]),
        )
        for key in options.peers:
            name, running = STARTERS[key]
            try:
                with ExitStack() as stack:
                    peer = stack.enter_context(running(options.folder / key, store))
                    time.sleep(SETTLE_S)
                    result.subjects[name] = peer.describe()
                    memory = _weights(peer.program.memory_mb())
                    result.add("start", name, start_s=peer.program.ready_after_s, **memory)
            except PeerMissing as missing:
                result.skipped[name] = str(missing)
    own_start, own_memory = (
        result.figure("start", OURS, figure) for figure in ("start_s", "largest_process_mb")
    )
    result.add_ratio("seconds to start, over the goal of 2", own_start / 2, "≤ 1")
    result.add_ratio("MB of memory of a worker, over the goal of 160", own_memory / 160, "≤ 1")
    return result


def _weights(memory_mb: list[float]) -> dict[str, float]:
    return {"memory_mb": round(sum(memory_mb), 1), "largest_process_mb": max(memory_mb)}


def _start(folder: Path, store: SeaweedFS) -> tuple[float, list[float]]:
    program, _ = graticule.launch(folder, store)
    try:
        time.sleep(SETTLE_S)
        return program.ready_after_s, program.memory_mb()
    finally:
        program.stop()
