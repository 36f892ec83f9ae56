"""Puts load on a server and measures it: `wrk` for reads, threads that wait for answers for writes.

Both keep their connections alive and wait for each answer before the next request, so the number of
connections is the number of requests under way.
"""

import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.rest import Connection

_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
WARM_UP_S = 1.0


class Missing(RuntimeError):
    """A program that a benchmark needs is not there; the message says how to get it."""


def read_load(
    url: str,
    headers: dict[str, str],
    *,
    connections: int,
    seconds: float,
    warm_up_s: float = WARM_UP_S,
) -> dict[str, float | None]:
    """GET the URL for some seconds after a short warm-up.  Answers below 400 are no errors."""
    if shutil.which("wrk") is None:
        raise Missing("needs wrk (apt: wrk)")
    if warm_up_s:
        _wrk(url, headers, connections, warm_up_s)
    return _wrk(url, headers, connections, seconds)


def _wrk(
    url: str, headers: dict[str, str], connections: int, seconds: float
) -> dict[str, float | None]:
    flags = [flag for name, value in headers.items() for flag in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=30s"]
    ended = subprocess.run(
        [*command, "--latency", *flags, url], capture_output=True, text=True, check=True
    )
    text = ended.stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return {
        "requests_per_s": float(_found(r"Requests/sec:\s+([\d.]+)", text)),
        "p50_ms": _latency("50", text),
        "p99_ms": _latency("99", text),
        "errors": (int(refused[1]) if refused else 0)
        + sum(map(int, broken.groups()) if broken else ()),
    }


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said:\n{text}")
    return match[1]


def _latency(percentile: str, text: str) -> float | None:
    if re.search(r"^\s+0 requests in", text, re.MULTILINE):
        return None
    match = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    return round(float(match[1]) * _UNITS_MS[match[2]], 3) if match else None


def write_load(
    connect: Callable[[], Connection],
    write: Callable[[Connection, int, int], int],
    *,
    writers: int,
    seconds: float,
) -> tuple[dict[str, float | None], list[int]]:
    """Let writers write: `write(connection, writer, number)` answers with the status.

    Also returned: the last number of each writer that was acknowledged, -1 for none.
    """
    latencies: list[list[float]] = [[] for _ in range(writers)]
    acknowledged = [-1] * writers
    statuses: Counter[int] = Counter()
    guard = threading.Lock()
    start = threading.Barrier(writers + 1)
    ends_at = 0.0

    def work(writer: int) -> None:
        mine: Counter[int] = Counter()
        with connect() as connection:
            start.wait()
            number = 0
            while time.perf_counter() < ends_at:
                began = time.perf_counter()
                status = write(connection, writer, number)
                latencies[writer].append(time.perf_counter() - began)
                mine[status] += 1
                if status < 300:
                    acknowledged[writer] = number
                number += 1
        with guard:
            statuses.update(mine)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    ends_at = began + seconds
    start.wait()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    done = sum(count for status, count in statuses.items() if status < 300)
    return {
        "commits_per_s": round(done / took, 1),
        **percentiles([value for some in latencies for value in some]),
        "conflicts": statuses[409],
        "errors": sum(statuses.values()) - done - statuses[409],
    }, acknowledged


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(seconds)
    if not ordered:
        return {"p50_ms": None, "p99_ms": None}
    at = [min(len(ordered) - 1, int(len(ordered) * part)) for part in (0.5, 0.99)]
    return {"p50_ms": round(ordered[at[0]] * 1e3, 3), "p99_ms": round(ordered[at[1]] * 1e3, 3)}


def timed(action: Callable[[], object], *, times: int) -> dict[str, float | None]:
    """One after the other, the first not counted; percentiles of the times."""
    action()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
    return percentiles(took)
