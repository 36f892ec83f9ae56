"""The S3 store below Graticule, Nessie and the fixture: SeaweedFS, one for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import PeerMissing
from graticule.demo.seaweedfs import EngineMissing, SeaweedFS
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client

BUCKETS = ("lake", "nessie", "fixture")


@contextmanager
def store_in(folder: Path) -> Iterator[SeaweedFS]:
    try:
        with SeaweedFS(folder, buckets=BUCKETS) as store:
            yield store
    except EngineMissing as error:
        raise PeerMissing(str(error)) from error


def admin_client(store: SeaweedFS) -> Any:
    return s3_client(
        store.admin_keys,
        region=store.region,
        endpoint=store.endpoint,
        path_style=True,
        outbound=ANYWHERE,
    )
