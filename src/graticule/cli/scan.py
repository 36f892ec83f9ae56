"""`graticule scan`: find what already lies in a catalog's storage, and register it in place."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Format, Output, note, print_json, print_list, print_one, wants_json

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

app = typer.Typer(help="Find and register data that lies in a bucket.", no_args_is_help=True)

POLL_S: Final = 0.5
RUNNING: Final = "running"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

_ENDED: Final = {FAILED: "failed", CANCELLED: "was cancelled"}
_THOUSAND: Final = 1000
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")

Catalog = Annotated[str, typer.Argument(help="Name or id", metavar="CATALOG")]
ScanId = Annotated[str, typer.Argument(help="The scan's id", metavar="SCAN")]
Namespace = Annotated[str, typer.Option(help="Namespace to register the tables in")]

_REGISTERED_COLUMNS: Final = ("namespace", "name", "files", "rows", "error")
_SCAN_COLUMNS: Final = ("id", "state", "prefix", "created_at", "finished_at")


@app.command("start")
def start(
    catalog: Catalog,
    *,
    prefix: Annotated[
        str | None, typer.Option(help="Only below this s3:// location; default: the integration")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the scan until it ends")] = True,
    register: Annotated[
        bool, typer.Option("--register", help="Register everything it proposes")
    ] = False,
    namespace: Namespace = "default",
    output: Output = None,
) -> None:
    """Scan a catalog's storage.  It only proposes, unless --register is given."""
    with connect() as api:
        scan = api.post(f"{_catalog(catalog)}/scans", {"prefix": prefix})
        if wait or register:
            scan = _follow(api, catalog, scan)
        if register and scan["state"] not in {FAILED, CANCELLED}:
            registered = _register(api, catalog, scan["id"], "all", namespace)
            _print_registered(registered, output)
            return
    _print_scan(scan, output)


@app.command("list")
def list_scans(catalog: Catalog, output: Output = None) -> None:
    """List a catalog's scans, newest first."""
    with connect() as api:
        print_list(api.list(f"{_catalog(catalog)}/scans"), _SCAN_COLUMNS, output)


@app.command("show")
def show(
    catalog: Catalog,
    scan: ScanId,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it ends")] = False,
    output: Output = None,
) -> None:
    """Show a scan and what it proposes."""
    with connect() as api:
        found = api.get(_scan(catalog, scan))
        if wait:
            found = _follow(api, catalog, found)
    _print_scan(found, output)


@app.command("cancel")
def cancel(catalog: Catalog, scan: ScanId) -> None:
    """Stop a scan.  What it has learnt of files is not lost: the next scan goes on with it."""
    with connect() as api:
        api.post(f"{_scan(catalog, scan)}/cancel")
    note("It stops in a moment.")


@app.command("register")
def register(
    catalog: Catalog,
    scan: ScanId,
    table: Annotated[
        list[str] | None, typer.Option(help="A proposed table; may be repeated; default: all")
    ] = None,
    namespace: Namespace = "default",
    output: Output = None,
) -> None:
    """Register proposed tables.  Files are referenced where they are, never copied."""
    with connect() as api:
        registered = _register(api, catalog, scan, table or "all", namespace)
    _print_registered(registered, output)


def until_ended(
    scan: dict[str, Any],
    reload: Callable[[], dict[str, Any]],
    *,
    sleep: Callable[[float], None],
) -> Iterator[dict[str, Any]]:
    """The scan as it goes on, ending with its last state."""
    while scan["state"] == RUNNING:
        yield scan
        sleep(POLL_S)
        scan = reload()
    yield scan


def _follow(api: "ManagementApi", catalog: str, scan: dict[str, Any]) -> dict[str, Any]:
    """Poll with a progress bar.  Ctrl-C leaves the scan running."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    path = _scan(catalog, scan["id"])
    columns = (TextColumn("Scanning"), BarColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            for scan in until_ended(scan, lambda: api.get(path), sleep=time.sleep):  # noqa: B020, PLR1704
                done, total = progress_of(scan)
                bar.update(task, completed=done, total=total, description=counters_of(scan))
    except KeyboardInterrupt:
        note(
            f"Still running. Follow it with: graticule scan show {catalog} {scan['id']} --wait\n"
            f"or stop it with: graticule scan cancel {catalog} {scan['id']}"
        )
        raise
    return scan


def progress_of(scan: dict[str, Any]) -> tuple[int, int | None]:
    """Files inspected and to be inspected; no total while the listing goes on."""
    progress = scan.get("progress") or {}
    total = progress.get("files")
    done = progress.get("inspected", 0)
    return (done, total) if isinstance(total, int) and total else (0, None)


def counters_of(scan: dict[str, Any]) -> str:
    """What the bar says: objects and their size, then files, how fast, and for how long yet."""
    progress = scan.get("progress") or {}
    parts = [
        f"{progress[name]:,} {name}"
        for name in ("objects", "files", "inspected")
        if name in progress
    ]
    if progress.get("bytes"):
        parts.insert(1, size_of(progress["bytes"]))
    if progress.get("files_per_s"):
        parts.append(f"{progress['files_per_s']:,.0f} files/s")
    if progress.get("eta_s"):
        minutes, seconds = divmod(progress["eta_s"], 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return ", ".join(parts)


def size_of(count: int) -> str:
    """Bytes, as people say them."""
    size, unit = float(count), 0
    while size >= _THOUSAND and unit < len(_UNITS) - 1:
        size, unit = size / _THOUSAND, unit + 1
    return f"{size:,.1f} {_UNITS[unit]}" if unit else f"{count} bytes"


def _register(
    api: "ManagementApi", catalog: str, scan: str, tables: list[str] | str, namespace: str
) -> dict[str, Any]:
    from graticule.cli.client import VERIFY_TIMEOUT_S  # noqa: PLC0415

    body = {"tables": tables, "namespace": namespace}
    return api.post(f"{_scan(catalog, scan)}/register", body, timeout_s=VERIFY_TIMEOUT_S)


def _print_scan(scan: dict[str, Any], output: Format | None) -> None:
    report = scan.get("report") or {}
    if wants_json(output):
        print_json(scan)
    else:
        lists = {name: value for name, value in report.items() if _is_list_of_objects(value)}
        print_one({name: value for name, value in scan.items() if name != "report"}, output)
        for name, items in lists.items():
            typer.echo(f"\n{name.replace('_', ' ').capitalize()}:")
            print_list(items, [key for key in items[0] if _is_short(items[0][key])], Format.TABLE)
    if scan["state"] in {FAILED, CANCELLED}:
        raise CommandFailure(
            f"the scan {_ENDED[scan['state']]}: {report.get('error') or 'no reason is known'}",
            exit_code=ExitCode.CHECK_FAILED,
        )


def _print_registered(registered: dict[str, Any], output: Format | None) -> None:
    tables = registered["tables"]
    if wants_json(output):
        print_json(registered)
    else:
        print_list(tables, _REGISTERED_COLUMNS, output)
    failed = [table for table in tables if table["error"]]
    if failed:
        raise CommandFailure(
            f"{len(failed)} of {len(tables)} tables could not be registered",
            exit_code=ExitCode.CHECK_FAILED,
        )


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _is_short(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _catalog(name: str) -> str:
    return f"/catalogs/{segment(name)}"


def _scan(catalog: str, scan: str) -> str:
    return f"{_catalog(catalog)}/scans/{segment(scan)}"
