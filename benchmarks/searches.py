"""What is asked of a table's index beside plans: files of an area, a map, the layout report.

Over HTTP, of one process, at 100,000 and 1,000,000 files.  The table has manifests like a real one
and no data files: none of this opens those.
"""

import json
import time

from benchmarks.load_generator import timed
from benchmarks.peers import graticule
from benchmarks.peers.peer import Peer
from benchmarks.peers.store import store_in
from benchmarks.planning import NAMESPACE, TABLE, make_table
from benchmarks.report import OURS, Options, Result
from benchmarks.rest import Connection

COUNTS_OF_FILES = (100_000, 1_000_000)
CITY = "2.1,48.7,2.6,49.05"
FILES_A_PAGE = 10_000
REGION = "0,47,5,51"
GOAL_RATIO = 10
TIMES = 20
QUESTIONS = {
    "files of a city": ("files", {"bbox": CITY}),
    "files of a region, 1,000 a page": ("files", {"bbox": REGION, "limit": "1000"}),
    "10,000 paths of all": ("files", {"limit": "10000", "format": "paths"}),
    "10,000 files of all, JSON": ("files", {"limit": "10000"}),
    "10,000 files of all, Arrow": ("files", {"limit": "10000", "format": "arrow"}),
    "map of a city": ("footprints", {"bbox": CITY}),
    "map of all, a grid": ("footprints", {}),
    "layout report": ("layout", {}),
}


def run(options: Options) -> Result:
    result = Result("Searches and maps of a table")
    result.notes.append(
        "One process, over HTTP, on an index in memory; half of the files lie in Europe. `peak mb` "
        "is the process's resident memory after all questions, mapped indexes included (one of "
        "each commit that made the table), `own mb` without these; "
        "`first` is the first question of all, which builds the index from manifests."
    )
    counts = [count // (20 if options.quick else 1) for count in COUNTS_OF_FILES]
    for count in counts:
        folder = options.folder / str(count)
        with (
            store_in(folder / "store") as store,
            graticule.running(folder / "graticule", store, workers=1) as peer,
            peer.connect() as http,
            Connection(peer.details["url"], dict(peer.headers)) as managed,
        ):
            make_table(peer, http, count)
            _ask(result, peer, managed, count)
    for name in QUESTIONS:
        pair = [result.figure(f"{name}, {count:,} files", OURS, "cpu_ms") for count in counts]
        what = f"{name}: processor time in {counts[1]:,} files over {counts[0]:,}"
        result.add_ratio(what, pair[1] / pair[0], f"≤ {GOAL_RATIO}")
    return result


def _ask(result: Result, peer: Peer, http: Connection, count: int) -> None:
    base = f"/api/v1/catalogs/{graticule.CATALOG}/namespaces/{NAMESPACE}/tables/{TABLE}"
    began, used_s = time.perf_counter(), peer.program.cpu_s()
    _get(http, f"{base}/files", {"bbox": CITY})
    first = {
        "first_ms": round((time.perf_counter() - began) * 1e3),
        "first_cpu_s": round(peer.program.cpu_s() - used_s, 2),
    }
    for name, (what, question) in QUESTIONS.items():
        used_s = peer.program.cpu_s()
        figures = timed(lambda w=what, q=question: _get(http, f"{base}/{w}", q), times=TIMES)
        cpu_ms = (peer.program.cpu_s() - used_s) / (TIMES + 1) * 1e3
        result.add(f"{name}, {count:,} files", OURS, cpu_ms=round(cpu_ms, 1), **figures)
    for media in ("json", "arrow", "paths"):
        _page_through(result, peer, http, f"{base}/files", media, count)
    memory = {
        "peak_mb": max(peer.program.memory_mb()),
        "own_mb": max(peer.program.own_memory_mb()),
    }
    result.add(f"index of {count:,} files", OURS, **first, **memory)


def _page_through(
    result: Result, peer: Peer, http: Connection, path: str, media: str, count: int
) -> None:
    """All files of the table, page after page."""
    used_s, after, pages = peer.program.cpu_s(), "", 0
    while after is not None:
        listed, after = _page(http, f"{path}?limit={FILES_A_PAGE}&format={media}&after={after}")
        pages += 1
        assert media != "paths" or listed.count(b"\n") == min(FILES_A_PAGE, count)
    cpu_us = (peer.program.cpu_s() - used_s) / count * 1e6
    case = f"all of {count:,} files through pages, {media}"
    result.add(case, OURS, cpu_us_a_file=round(cpu_us, 2), pages=pages)


def _page(http: Connection, path: str) -> tuple[bytes, str | None]:
    status, content = http.request("GET", path)
    assert status == 200, content[:400]
    if "json" in http.last_headers["content-type"]:
        return content, json.loads(content)["next"]
    return content, http.last_headers.get("x-next")


def _get(http: Connection, path: str, question: dict[str, str]) -> None:
    query = "&".join(f"{name}={value}" for name, value in question.items())
    status, content = http.request("GET", f"{path}?{query}")
    assert status == 200, content[:400]
