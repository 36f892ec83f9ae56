"""Property commits: all writers on one hot table, and each on a table of its own."""

import json
from contextlib import ExitStack

from benchmarks import bare_commit
from benchmarks.documents import schema
from benchmarks.load_generator import write_load
from benchmarks.peers.all import running_peers
from benchmarks.peers.peer import Peer
from benchmarks.peers.store import store_in
from benchmarks.report import OURS, Options, Result
from benchmarks.rest import BROKEN, Connection, table_path

WRITERS = (1, 8, 60)
NAMESPACE = "commits"
BARE = "PUT and answer"
BARE_PROCESSES = 2
WARM_UP_S = 5.0


def run(options: Options) -> Result:
    result = Result("Committing a property")
    result.notes.append(
        "Every writer waits for its answer before it commits again, and does not try again what "
        "was refused. A conflict is a 409 that the server could have retried, because the only "
        "requirement is `assert-table-uuid`; lost are writers whose last acknowledged commit is "
        "not in the table afterwards. The processor's time is that of the catalog's processes; "
        "SeaweedFS's catalog is its store as well, the others write to one that is not counted."
    )
    result.notes.append(
        f"`{BARE}` is {BARE_PROCESSES} processes of our HTTP stack and storage code that do "
        "nothing else: no authentication, no database, no look at the document, which is the one "
        "that Graticule had written last. No catalog that is made of these and writes a metadata "
        "file for each commit can be faster; SeaweedFS's catalog writes into its own store without "
        "a request."
    )
    with running_peers(options.folder, options.peers) as peers:
        result.subjects, result.skipped = peers.describe(), peers.skipped
        bench = [_Bench(peer) for peer in peers.running]
        for one in bench:
            one.commit(8, 1.0 if options.quick else WARM_UP_S, hot=False)
        for hot in (True, False):
            for writers in WRITERS:
                tables = "one table" if hot else "a table each"
                case = f"{writers} writers, {tables}"
                for one in bench:
                    figures = one.commit(writers, options.seconds, hot=hot)
                    result.add(case, one.peer.name, **figures)
                for figure in ("commits_per_s", "p99_ms"):
                    result.compare_with_best(case, figure, "≥ 1.2")
        with bench[0].peer.connect() as http:
            document = json.dumps(http.load_table(NAMESPACE, "table_0")["metadata"]).encode()
    _bare(result, options, document)
    return result


def _bare(result: Result, options: Options, document: bytes) -> None:
    """What the machine leaves room for, beside what the catalogs did with it."""
    with ExitStack() as stack:
        store = stack.enter_context(store_in(options.folder / "bare-store"))
        running = [
            stack.enter_context(bare_commit.running(options.folder / f"bare-{number}", store))
            for number in range(BARE_PROCESSES)
        ]
        for one in running:
            with Connection(one.url, {}) as http:
                http.request("PUT", "/", document)
        for writers in WRITERS:
            numbers = iter(range(writers))
            used_s = sum(one.program.cpu_s() for one in running)
            figures, _ = write_load(
                lambda turn=numbers: Connection(running[next(turn) % BARE_PROCESSES].url, {}),
                lambda http, _writer, _number: http.request("POST", "/", b"")[0],
                writers=writers,
                seconds=options.seconds,
            )
            used_s = sum(one.program.cpu_s() for one in running) - used_s
            commits = max(figures["commits_per_s"] * options.seconds, 1)
            case = f"{writers} writers, a table each"
            result.add(case, BARE, **figures, cpu_ms_per_commit=round(used_s * 1e3 / commits, 2))
            for subject in (OURS, "SeaweedFS"):
                done = result.figure(case, subject, "commits_per_s")
                if done:
                    ratio = done / result.figure(case, BARE, "commits_per_s")
                    result.add_ratio(f"{case}: {subject} against {BARE}", ratio)


class _Bench:
    """One peer and its tables."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._uuids: dict[str, str] = {}
        self._round = 0
        with peer.connect() as http:
            http.create_namespace(NAMESPACE)
            for writer in range(max(WRITERS)):
                name = f"table_{writer}"
                made = http.create_table(NAMESPACE, name, schema())
                self._uuids[name] = made["metadata"]["table-uuid"]

    def commit(self, writers: int, seconds: float, *, hot: bool) -> dict[str, float]:
        self._round += 1
        # Names of this round only, so that what an earlier one left cannot pass for this one's.
        keys = [f"round-{self._round}-writer-{writer}" for writer in range(writers)]
        names = ["table_0" if hot else f"table_{writer}" for writer in range(writers)]

        def write(http: Connection, writer: int, number: int) -> int:
            updates = [{"action": "set-properties", "updates": {keys[writer]: str(number)}}]
            uuid = self._uuids[names[writer]]
            requirements = [{"type": "assert-table-uuid", "uuid": uuid}]
            return http.commit(NAMESPACE, names[writer], updates, requirements)[0]

        used_s = self.peer.program.cpu_s()
        figures, acknowledged = write_load(
            self.peer.connect, write, writers=writers, seconds=seconds
        )
        used_s = self.peer.program.cpu_s() - used_s
        commits = max(figures["commits_per_s"] * seconds, 1)
        figures["cpu_ms_per_commit"] = round(used_s * 1e3 / commits, 2)
        return {**figures, "lost": self._lost(names, keys, acknowledged)}

    def _lost(self, names: list[str], keys: list[str], acknowledged: list[int]) -> int:
        lost = 0
        with self.peer.connect() as http:
            for name in set(names):
                status, body = http.request("GET", table_path(NAMESPACE, name))
                found = {} if status >= BROKEN else json.loads(body)["metadata"]["properties"]
                for at, key in enumerate(keys):
                    if names[at] == name and acknowledged[at] >= 0:
                        # A later commit without an answer may have landed as well.
                        lost += int(found.get(key, "-1")) < acknowledged[at]
            self._clear(http, names, keys)
        return lost

    def _clear(self, http: Connection, names: list[str], keys: list[str]) -> None:
        """Or later rounds would write longer documents."""
        for name in set(names):
            mine = [key for at, key in enumerate(keys) if names[at] == name]
            http.commit(NAMESPACE, name, [{"action": "remove-properties", "removals": mine}], [])
