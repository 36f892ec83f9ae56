"""`python -m benchmarks`: run benchmarks one after the other and write their results."""

import argparse
import importlib
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report
from benchmarks.load_generator import Missing
from benchmarks.peers.all import STARTERS
from benchmarks.peers.peer import PeerMissing
from benchmarks.report import Options

BENCHMARKS = (
    "server_stack",
    "load_table",
    "commit",
    "growth",
    "grants",
    "authentication",
    "spatial",
    "spatial_growth",
    "searches",
    "window_read",
    "discovery",
    "registering",
    "pruning",
    "start",
)
SECONDS_A_FIGURE = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=", ".join(BENCHMARKS))
    parser.add_argument("--seconds", type=float, help=f"a figure; {SECONDS_A_FIGURE:g} by default")
    parser.add_argument("--quick", action="store_true", help="smoke test: the figures mean nothing")
    parser.add_argument("--full", action="store_true", help="sizes that take an hour")
    parser.add_argument(
        "--peers", default=",".join(STARTERS), help="comma-separated, or `none`; default: all"
    )
    parser.add_argument("--into", type=Path, help="folder for results; default: benchmarks/results")
    chosen = parser.parse_args()
    peers = [] if chosen.peers == "none" else chosen.peers.split(",")
    for unknown in {*chosen.names} - {*BENCHMARKS} | {*peers} - {*STARTERS}:
        parser.error(f"no such benchmark or peer: {unknown}")
    seconds = chosen.seconds or (1.0 if chosen.quick else SECONDS_A_FIGURE)
    # A smoke test leaves the figures that are kept alone.
    into = chosen.into or (report.RESULTS / "quick" if chosen.quick else report.RESULTS)
    failed = False
    for name in chosen.names or BENCHMARKS:
        print(f"{name}", flush=True)
        began = datetime.now(UTC)
        with tempfile.TemporaryDirectory(prefix="graticule-bench-") as folder:
            options = Options(seconds, chosen.quick, peers, Path(folder), chosen.full)
            try:
                result = importlib.import_module(f"benchmarks.{name}").run(options)
            except (Missing, PeerMissing) as missing:
                print(f"  skipped: {missing}", file=sys.stderr)
                failed = True
                continue
        report.write(name, result, options, began=began, into=into)
    print(f"Results are in {into}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
