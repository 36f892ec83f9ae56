"""A server whose store is behind a meter, a lake of real places in it, and a runner of engines."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

import pytest

from graticule.demo.lake import write_lake
from graticule.demo.seaweedfs import SeaweedFS
from graticule.services.integrations import credential_cache
from support.access_meter import AccessMeter, metering
from support.buckets import owners_client
from support.engine_matrix import Engine
from support.engine_runs import EngineRunner, connect_text
from support.faults import faulty
from support.lake import RawFolder
from support.server import LiveCatalog, LiveServer, serving
from support.strict_stores import ShortSessions

SHORT_LIFE_S = 12.0
PARIS = (2.1, 48.7, 2.6, 49.05)
"""West, south, east, north: the window of all suites."""
PARIS_WKT = "POLYGON ((2.1 48.7, 2.6 48.7, 2.6 49.05, 2.1 49.05, 2.1 48.7))"
IN_PARIS = (263, 1041125236)
"""How many cities lie in the window, and the sum of their ids."""
AROUND_PARIS = "file_xmin <= 2.6 and file_xmax >= 2.1 and file_ymin <= 49.05 and file_ymax >= 48.7"
RAW = "places-of-the-world/"


@pytest.fixture(scope="session")
def meter(seaweedfs: SeaweedFS) -> Iterator[AccessMeter]:
    with metering(seaweedfs.endpoint) as meter:
        yield meter


@pytest.fixture(scope="session")
def server(tmp_path_factory, seaweedfs: SeaweedFS, meter: AccessMeter) -> Iterator[LiveServer]:
    """In this folder every request for the store passes the meter."""
    folder = tmp_path_factory.mktemp("engines-server")
    with serving(folder, seaweedfs, store_endpoint=meter.endpoint) as live:
        yield live


@dataclass(frozen=True)
class Lake:
    """The demo's lake, registered in place in the namespace `world` of `catalog`."""

    catalog: LiveCatalog
    prefix: str
    files: dict[str, int]
    rows: dict[str, int]

    def root(self, table: str) -> str:
        """Where the table's files lie, as a key."""
        return f"{self.prefix}places/{table}"


@pytest.fixture(scope="session")
def lake(server: LiveServer) -> Lake:
    """Shared by all suites: read it, and write to catalogs of your own."""
    s3 = owners_client(server.store)
    written = write_lake(
        lambda key, data: s3.put_object(Bucket="lake", Key=key, Body=data), prefix=RAW
    )
    catalog = server.new_catalog()
    with server.http() as http:
        raw = RawFolder(server, catalog, http, RAW)
        outcomes = raw.register(raw.scan(), namespace="world").json()["tables"]
    assert [outcome["error"] for outcome in outcomes] == [None] * len(written.tables)
    return Lake(
        catalog,
        RAW,
        {table.name: table.files for table in written.tables},
        {table.name: table.rows for table in written.tables},
    )


@pytest.fixture
def runner(tmp_path, server: LiveServer, meter: AccessMeter) -> EngineRunner:
    return EngineRunner(tmp_path, server.key.credential, meter.seen.secrets)


@pytest.fixture
def python(runner: EngineRunner):
    """Runs statements behind the printed text of a Python engine; gives what they told."""

    def run(engine: Engine, catalog: LiveCatalog, statements: str, **options: str):
        text = connect_text(catalog, engine.text, **options)
        return runner.python("engines", text, dedent(statements)).result

    return run


@pytest.fixture
def sessions() -> ShortSessions:
    return ShortSessions(SHORT_LIFE_S)


@pytest.fixture
def short_lived(tmp_path, seaweedfs: SeaweedFS, sessions, monkeypatch) -> Iterator[LiveCatalog]:
    """A catalog whose credentials last seconds; what is over, the store refuses."""
    monkeypatch.setattr(credential_cache, "FRESH_LIFE_MS_MIN", 0)
    monkeypatch.setattr(credential_cache, "life_to_keep_ms", lambda life_ms: life_ms * 9 // 10)
    monkeypatch.setattr(credential_cache, "JITTER", 0.0)
    with (
        faulty(seaweedfs.endpoint, sessions) as proxy,
        serving(tmp_path / "short", seaweedfs, store_endpoint=proxy.endpoint) as live,
    ):
        yield live.new_catalog()


def outlive(sessions: ShortSessions) -> None:
    """Wait until every session there is has ended."""
    last = max(sessions.issued_at_s.values())
    time.sleep(max(0.0, last + sessions.life_s + 0.1 - time.monotonic()))
