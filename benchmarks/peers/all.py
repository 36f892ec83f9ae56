"""Starts the peers that are wanted and there, all at once, so that they are measured in turns."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import fixture, graticule, nessie, seaweedfs
from benchmarks.peers.peer import Peer, PeerMissing
from benchmarks.peers.store import store_in
from graticule.demo.seaweedfs import SeaweedFS

Starter = Callable[[Path, SeaweedFS], AbstractContextManager[Peer]]

STARTERS: dict[str, tuple[str, Starter]] = {
    "seaweedfs": (seaweedfs.NAME, lambda folder, _store: seaweedfs.running(folder)),
    "nessie": (nessie.NAME, nessie.running),
    "fixture": (fixture.NAME, fixture.running),
}


@dataclass(frozen=True)
class Peers:
    """Ours first.  `skipped` are reasons by name."""

    running: Sequence[Peer]
    skipped: dict[str, str]

    def describe(self) -> dict[str, object]:
        return {peer.name: peer.describe() for peer in self.running}


@contextmanager
def running_peers(folder: Path, wanted: Sequence[str]) -> Iterator[Peers]:
    with ExitStack() as stack:
        store = stack.enter_context(store_in(folder / "store"))
        found = [stack.enter_context(graticule.running(folder / "graticule", store))]
        skipped = {}
        for key in wanted:
            name, start = STARTERS[key]
            try:
                found.append(stack.enter_context(start(folder / key, store)))
            except PeerMissing as missing:
                skipped[name] = str(missing)
                print(f"  skipping {name}: {missing}", file=sys.stderr)
        yield Peers(found, skipped)
