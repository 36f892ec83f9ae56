"""The demo: everything an admin and an analyst would do, in order, on real places.

The store and the server run for real; every step goes through the public API and is checked.
"""

import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from pydantic import SecretStr
from rich.console import Console

from graticule.app import create_app
from graticule.demo.account import PRUNED_SHARE_MAX, Account, size
from graticule.demo.lake import Lake, write_lake
from graticule.demo.map_window import WindowRead, connect, is_refused, read_window
from graticule.demo.seaweedfs import SeaweedFS
from graticule.outbound.gate import ANYWHERE
from graticule.server import BackgroundServer
from graticule.settings import Settings
from graticule.spatial.bounding_box import BoundingBox
from graticule.storage.clients import s3_client
from graticule.wiring import open_services

Json = dict[str, Any]

BUCKET: Final = "lake"
LAKE_PREFIX: Final = "raw/"
CATALOG: Final = "places"
INTEGRATION: Final = "demo lake"
NAMESPACE: Final = "world"
WINDOW_NAME: Final = "Paris"
WINDOW: Final = BoundingBox(2.1, 48.7, 2.6, 49.05)
SPATIAL_TABLE: Final = "cities_hilbert"
NEIGHBOUR: Final = "airports"
SCAN_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1
_VERBS: Final = {"pass": "checks passed", "fail": "failed", "skip": "do not apply"}
_HTTP_TIMEOUT_S: Final = 120.0


class DemoFailed(RuntimeError):
    """A step of the demo did not do what it should."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running demo: where to connect, and what it showed."""

    url: str
    credential: str
    account: Account
    wait: Callable[[], None]


@contextmanager
def demonstrate(console: Console, *, port: int) -> Iterator[Running]:
    """Start store and server in a folder of their own, show everything, and keep them running.

    Everything is gone when the block ends.

    Raises:
        OSError: the port is taken.
        EngineMissing: the embedded store is not installed.
        DemoFailed: a step failed outright.
    """
    _refuse_taken(port)
    started = time.monotonic()
    steps = _Steps(console)
    with tempfile.TemporaryDirectory(prefix="graticule-demo-") as folder:
        with steps("Starting an S3 store with a token service that enforces policies"):
            store = SeaweedFS(Path(folder) / "store", buckets=(BUCKET,))
            store.start()
        try:
            with steps("Writing a lake of real places") as done:
                lake, objects, bytes_total = _fill(store)
                done(f"{objects} objects, {size(bytes_total)}")
            with _server(Path(folder) / "server", store, port) as (server, credential):
                api = _Api(server.url, credential)
                checks = _connect_bucket(steps, api, store)
                report = _discover(steps, api, lake)
                with steps("Reading a map window with PyIceberg and vended credentials"):
                    reads, refused = _read(server.url, credential)
                account = Account(
                    window_name=WINDOW_NAME,
                    window=f"{WINDOW.xmin},{WINDOW.ymin},{WINDOW.xmax},{WINDOW.ymax}",
                    objects=objects,
                    bytes_total=bytes_total,
                    checks_passed=sum(check["status"] == "pass" for check in checks),
                    checks_skipped=sum(check["status"] == "skip" for check in checks),
                    reads=reads,
                    left_out=[(skipped["key"], skipped["reason"]) for skipped in report["skipped"]],
                    neighbour_refused=refused,
                    seconds=time.monotonic() - started,
                    failures=_failures(lake, checks, report, reads, refused=refused),
                )
                yield Running(server.url, credential, account, server.wait)
        finally:
            store.stop()


def _refuse_taken(port: int) -> None:
    """Fail before all the work, not after it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def _fill(store: SeaweedFS) -> tuple[Lake, int, int]:
    client = s3_client(
        store.admin_keys,
        region=store.region,
        endpoint=store.endpoint,
        path_style=True,
        outbound=ANYWHERE,
    )
    sizes: list[int] = []

    def put(key: str, data: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=key, Body=data)
        sizes.append(len(data))

    lake = write_lake(put, prefix=LAKE_PREFIX)
    return lake, len(sizes), sum(sizes)


@contextmanager
def _server(folder: Path, store: SeaweedFS, port: int) -> Iterator[tuple[BackgroundServer, str]]:
    """The real server on its own SQLite database; the credential of its first admin."""
    settings = Settings(
        data_dir=folder,
        database_url="",
        secret_keys=None,
        sts_access_key_id=store.catalog_keys.access_key_id,
        sts_secret_access_key=SecretStr(store.catalog_keys.secret_access_key.reveal()),
        principal_arn=store.arn_of("catalog"),
        allow_private_endpoints=True,
    )
    services = open_services(settings)
    first = services.organisations.bootstrap()
    if first is None:
        raise DemoFailed("the demo's database is not new")
    with BackgroundServer(create_app(services, settings), port=port) as server:
        yield server, first.credential


def _connect_bucket(steps: "_Steps", api: "_Api", store: SeaweedFS) -> Sequence[Json]:
    with steps("Connecting the bucket and verifying access") as done:
        api.post(
            "/integrations",
            {
                "name": INTEGRATION,
                "path": f"s3://{BUCKET}",
                "role_arn": store.role_arn,
                "region": store.region,
                "endpoint": store.endpoint,
                "path_style": True,
            },
        )
        verified = api.post(f"/integrations/{INTEGRATION}/verify")
        checks: Sequence[Json] = verified["verification"]["checks"]
        counts = Counter(check["status"] for check in checks)
        done(", ".join(f"{count} {_VERBS[status]}" for status, count in counts.items()))
    with steps("Creating the catalog") as done:
        api.post(
            "/catalogs",
            {"name": CATALOG, "integration": INTEGRATION, "sub_path": "tables", "force": True},
        )
        done(CATALOG)
    return checks


def _discover(steps: "_Steps", api: "_Api", lake: Lake) -> Json:
    with steps("Scanning the bucket for what lies there") as done:
        scan = api.post(f"/catalogs/{CATALOG}/scans", {"prefix": f"s3://{BUCKET}/{LAKE_PREFIX}"})
        deadline = time.monotonic() + SCAN_TIMEOUT_S
        while scan["state"] == "running":
            if time.monotonic() > deadline:
                raise DemoFailed(f"the scan took longer than {SCAN_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)
            scan = api.get(f"/catalogs/{CATALOG}/scans/{scan['id']}")
        report: Json = scan["report"]
        if scan["state"] != "proposed":
            raise DemoFailed(f"the scan failed: {report.get('error')}")
        done(f"{len(report['tables'])} tables proposed")
    with steps("Registering them in place") as done:
        registered = api.post(
            f"/catalogs/{CATALOG}/scans/{scan['id']}/register",
            {"namespace": NAMESPACE, "tables": "all"},
        )["tables"]
        failed = [outcome for outcome in registered if outcome["error"]]
        if failed:
            raise DemoFailed(f"`{failed[0]['name']}` was not registered: {failed[0]['error']}")
        done(f"{sum(outcome['files'] for outcome in registered)} files, none of them copied")
    if not lake.tables:
        raise DemoFailed("the lake is empty")
    return report


def _read(url: str, credential: str) -> tuple[list[WindowRead], bool]:
    catalog = connect(url, CATALOG, credential)
    tables = {name[-1]: catalog.load_table(name) for name in catalog.list_tables(NAMESPACE)}
    names = sorted(tables, key=lambda name: (name != SPATIAL_TABLE, name))
    reads = [read_window(tables[name], WINDOW) for name in names]
    return reads, is_refused(tables[SPATIAL_TABLE], tables[NEIGHBOUR])


def _failures(
    lake: Lake, checks: Sequence[Json], report: Json, reads: Sequence[WindowRead], *, refused: bool
) -> list[str]:
    """What did not hold of all that the demo claims."""
    failures = [
        f"verification: {check['title']}: {check['detail']}"
        for check in checks
        if check["status"] == "fail"
    ]
    expected = {table.name: (table.files, table.rows) for table in lake.tables}
    found = {read.table: (read.files_total, read.rows_total) for read in reads}
    if found != expected:
        failures.append(f"found other tables than were written: {found} for {expected}")
    left_out = {skipped["key"] for skipped in report["skipped"]}
    if not set(lake.broken) <= left_out:
        failures.append("a broken file was not reported")
    failures += [
        f"{read.table}: other rows than a full scan" for read in reads if not read.rows_equal
    ]
    spatial = next((read for read in reads if read.table == SPATIAL_TABLE), None)
    if spatial is None or spatial.files_planned > PRUNED_SHARE_MAX * spatial.files_total:
        failures.append(f"{SPATIAL_TABLE}: more than {PRUNED_SHARE_MAX:.0%} of its files were read")
    if spatial is not None and not spatial.rows_window:
        failures.append(f"{SPATIAL_TABLE}: no row in the window")
    if not refused:
        failures.append("the credential of one table opened its neighbour")
    return failures


class _Api:
    """The management API, as the command line uses it."""

    def __init__(self, url: str, credential: str) -> None:
        self._http = httpx2.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {credential.replace(':', '.', 1)}"},
            timeout=_HTTP_TIMEOUT_S,
        )

    def get(self, path: str) -> Json:
        return self._answer("GET", path)

    def post(self, path: str, body: Json | None = None) -> Json:
        return self._answer("POST", path, json=body or {})

    def _answer(self, method: str, path: str, **options: Any) -> Json:
        response = self._http.request(method, path, **options)
        body: Json = response.json()
        if not response.is_success:
            raise DemoFailed(f"{method} {path}: {body.get('detail', response.text)}")
        return body


class _Steps:
    """Shows each step while it runs, and how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def __call__(self, title: str) -> Iterator[Callable[[str], None]]:
        result: list[str] = []
        started = time.monotonic()
        with self._console.status(f"{title} …"):
            yield result.append
        told = f"  [bold]{result[0]}[/]" if result else ""
        seconds = time.monotonic() - started
        self._console.print(f"[green]✓[/] {title}{told}  [dim]{seconds:.1f} s[/]", highlight=False)
