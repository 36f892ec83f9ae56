"""What gets dearer as a catalog grows: appends to a history, creates among siblings, pages."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import event

from benchmarks import bare_commit, history
from benchmarks.documents import schema
from benchmarks.load_generator import read_load, timed
from benchmarks.peers import graticule
from benchmarks.peers.peer import Peer
from benchmarks.peers.store import store_in
from benchmarks.report import OURS, Options, Result
from benchmarks.rest import Connection
from graticule import logs
from graticule.app import create_app
from graticule.server import BackgroundServer
from graticule.settings import Settings
from graticule.wiring import open_services

HISTORIES = (10, 1_000, 10_000)
SIBLINGS = (10, 5_000, 10_000)
CREATES = 100
CREATORS = 8
PAGE = 100
NAMESPACE = "growth"


def run(options: Options) -> Result:
    result = Result("Growing")
    histories = (10, 100, 1_000) if options.quick else HISTORIES
    siblings = (10, 100, 200) if options.quick else SIBLINGS
    folder = options.folder / "graticule"
    with store_in(options.folder / "store") as store:
        with graticule.running(folder, store) as peer, peer.connect() as http:
            http.create_namespace(NAMESPACE)
            with (
                bare_commit.running(options.folder / "bare", store) as bare,
                Connection(bare.url, {}) as other,
            ):
                sides = history.Sides(peer, http, bare.program, other)
                history.measure(result, sides, namespace=NAMESPACE, histories=histories)
            _siblings(result, options, peer, http, siblings)
            headers = dict(peer.headers)
            catalog = peer.base.rpartition("/")[2]
        _statements(result, folder / "data", f"/catalog/v1/{catalog}", headers)
    return result


def _siblings(
    result: Result, options: Options, peer: Peer, http: Connection, counts: tuple[int, ...]
) -> None:
    made = 0
    namespace = "siblings"
    http.create_namespace(namespace)

    def create(number: int) -> None:
        with peer.connect() as own:
            own.create_table(namespace, f"table_{number:06d}", schema())

    began = time.perf_counter()
    for count in counts:
        with ThreadPoolExecutor(CREATORS) as pool:
            list(pool.map(create, range(made, count)))
        # Named to come first: the next fill goes on with the numbers.
        took = timed(
            _numbered(lambda n, at=count: http.create_table(namespace, f"a_{at}_{n}", schema())),
            times=CREATES if not options.quick else 10,
        )
        result.add(f"create among {count:,} tables", OURS, **took)
        made = count
    result.notes.append(f"{made:,} tables were made in {time.perf_counter() - began:.0f} s")
    few, many = (f"create among {count:,} tables" for count in counts[:2])
    pair = [result.figure(case, OURS, "p50_ms") for case in (many, few)]
    result.add_ratio(f"{many} over {counts[0]}", pair[0] / pair[1], "≤ 1.3")
    for case, path in (
        (f"first page of {PAGE} of {made:,} tables", ""),
        (f"page of {PAGE} in the middle", f"&pageToken={_token_at(http, namespace, made // 2)}"),
    ):
        url = f"{peer.base}/namespaces/{namespace}/tables?pageSize={PAGE}{path}"
        load = read_load(url, dict(peer.headers), connections=1, seconds=options.seconds)
        result.add(case, OURS, **load)


def _numbered(action: Callable[[int], object]) -> Callable[[], object]:
    numbers = iter(range(1_000_000))
    return lambda: action(next(numbers))


def _token_at(http: Connection, namespace: str, place: int) -> str:
    path = f"/namespaces/{namespace}/tables?pageSize={place}"
    return http.call("GET", path)["next-page-token"]


def _statements(result: Result, data_dir: Path, base: str, headers: dict[str, str]) -> None:
    """SQL statements by request, counted in this process on the database that was filled above."""
    settings = Settings(data_dir=data_dir, log_level="warning", allow_private_endpoints=True)
    logs.configure(log_format="json", level="warning")
    services = open_services(settings)
    seen: list[str] = []
    event.listen(services.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    try:
        with (
            BackgroundServer(create_app(services, settings)) as server,
            Connection(server.url + base, headers) as http,
        ):
            listing = f"/namespaces/siblings/tables?pageSize={PAGE}"
            for case, path in (
                ("page of 100 tables", listing),
                ("page of 10 tables", listing.replace(str(PAGE), "10")),
                ("loadTable", "/namespaces/siblings/tables/table_000000"),
            ):
                http.call("GET", path)
                seen.clear()
                http.call("GET", path)
                queries = [statement for statement in seen if "SELECT" in statement]
                result.add(f"SQL of one {case}", OURS, queries=len(queries), statements=len(seen))
    finally:
        services.close()
    pages = [
        result.figure(f"SQL of one page of {size} tables", OURS, "statements") for size in (100, 10)
    ]
    result.add_ratio("statements for a page of 100 over a page of 10", pages[0] / pages[1], "1")
