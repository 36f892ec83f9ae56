"""Reading a window: the Python client against PyIceberg, filtering and pruning by itself.

One table of points in spatial order, with a payload, read over the same local store by all.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table

import graticule.client
from benchmarks.load_generator import timed
from benchmarks.peers import graticule as peer_graticule
from benchmarks.peers.peer import Peer
from benchmarks.peers.store import store_in
from benchmarks.report import OURS, Options, Result
from graticule.spatial.hilbert import hilbert_order

FILES = 48
ROWS_A_FILE = 20_000
PAYLOAD_BYTES = 64
READS = 10
WINDOWS = {"city": (2.1, 48.7, 2.6, 49.05), "country": (-4.8, 42.3, 8.2, 51.1)}
SEED = 11


def run(options: Options) -> Result:
    result = Result("Reading a window")
    files = FILES // (8 if options.quick else 1)
    result.notes.append(
        f"{files * ROWS_A_FILE:,} points, half of them in Europe, along a Hilbert curve in {files} "
        "files; every read begins with its question or plan, and ends with a table in memory."
    )
    with (
        store_in(options.folder / "store") as store,
        peer_graticule.running(options.folder / "graticule", store) as peer,
    ):
        table = _make_table(peer, files)
        area = graticule.client.open(
            f"{peer_graticule.CATALOG}.reads.places", uri=peer.details["url"], token=_token(peer)
        )
        for name, window in WINDOWS.items():
            _compare(result, name, window, area, table)
    return result


def _compare(
    result: Result,
    name: str,
    window: tuple[float, float, float, float],
    area: graticule.client.Table,
    table: Table,
) -> None:
    west, south, east, north = window
    case = f"window of a {name}"
    condition = f"lon >= {west} and lon <= {east} and lat >= {south} and lat <= {north}"

    def full() -> pa.Table:
        rows = table.scan().to_arrow()
        inside = pc.and_(
            pc.and_(pc.greater_equal(rows["lon"], west), pc.less_equal(rows["lon"], east)),
            pc.and_(pc.greater_equal(rows["lat"], south), pc.less_equal(rows["lat"], north)),
        )
        return rows.filter(inside)

    subjects = {
        OURS: lambda: area.within(window).to_arrow(),
        "PyIceberg, pruning by itself": lambda: table.scan(row_filter=condition).to_arrow(),
        "PyIceberg, everything filtered": full,
    }
    counts = set()
    for subject, read in subjects.items():
        figures = timed(read, times=READS)
        counts.add(read().num_rows)
        result.add(case, subject, **figures)
    if len(counts) != 1:
        raise RuntimeError(f"the readers found different rows: {counts}")
    own = result.figure(case, OURS, "p50_ms")
    theirs = result.figure(case, "PyIceberg, everything filtered", "p50_ms")
    if own and theirs:
        result.add_ratio(f"{case}: p50 against everything filtered", theirs / own, "≥ 1")


def _make_table(peer: Peer, files: int) -> Table:
    random = np.random.default_rng(SEED)
    count = files * ROWS_A_FILE
    world = random.uniform((-180, -85), (180, 85), (count - count // 2, 2))
    europe = random.uniform((-10, 36), (30, 60), (count // 2, 2))
    points = np.concatenate([world, europe])
    points = points[hilbert_order(np.hstack([points, points]))]
    catalog = load_catalog(
        "benchmark",
        type="rest",
        uri=f"{peer.details['url']}/catalog",
        warehouse=peer_graticule.CATALOG,
        token=_token(peer),
    )
    catalog.create_namespace("reads")
    table = None
    for number, part in enumerate(np.array_split(points, files)):
        rows = pa.table(
            {
                "id": np.arange(len(part)) + number * ROWS_A_FILE,
                "lon": part[:, 0],
                "lat": part[:, 1],
                "payload": [random.bytes(PAYLOAD_BYTES) for _ in range(len(part))],
            }
        )
        table = table or catalog.create_table("reads.places", rows.schema)
        table.append(rows)
    if table is None:
        raise RuntimeError("a benchmark needs a file at least")
    return table


def _token(peer: Peer) -> str:
    return peer.headers["Authorization"].removeprefix("Bearer ")
