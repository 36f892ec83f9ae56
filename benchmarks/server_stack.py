"""What the HTTP implementation costs: h11, httptools, and what the server itself chooses."""

from contextlib import ExitStack

from benchmarks.documents import schema
from benchmarks.load_generator import read_load
from benchmarks.peers import graticule
from benchmarks.peers.store import store_in
from benchmarks.report import Options, Result
from benchmarks.rest import table_path

STACKS = {"as served": None, "h11": "h11", "httptools": "httptools"}
CONNECTIONS = (1, 8, 32)


def run(options: Options) -> Result:
    result = Result("What the HTTP stack costs")
    result.notes.append(
        "One process. `as served` is what `graticule serve` does; the others run the same "
        "code with uvicorn's `http` option replaced. Table metadata of 2 kB, authentication on."
    )
    with ExitStack() as stack:
        store = stack.enter_context(store_in(options.folder / "store"))
        servers = {
            name: stack.enter_context(
                graticule.running(
                    options.folder / name.replace(" ", "-"), store, workers=1, http_stack=http
                )
            )
            for name, http in STACKS.items()
        }
        for peer in servers.values():
            with peer.connect() as http:
                http.create_namespace("bench")
                http.create_table("bench", "small", schema())
        for connections in CONNECTIONS:
            for what, url_of in (
                ("/health", lambda peer: f"{peer.details['url']}/health"),
                ("loadTable", lambda peer: peer.base + table_path("bench", "small")),
            ):
                case = f"{what}, {connections} connections"
                for name, peer in servers.items():
                    load = read_load(
                        url_of(peer),
                        dict(peer.headers),
                        connections=connections,
                        seconds=options.seconds,
                    )
                    result.add(case, name, **load)
                own, h11 = (result.figure(case, n, "requests_per_s") for n in ("as served", "h11"))
                result.add_ratio(f"{case}: requests/s against h11", own / h11 if h11 else None)
    return result
