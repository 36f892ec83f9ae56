"""`graticule scan`: find what already lies in a catalog's storage, and register it in place."""

import shlex
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Format, Output, note, print_json, print_list, print_one, wants_json
from graticule.cli.scan_report import print_report, size_of
from graticule.cli.spark_submit import SPARK_SUBMIT, SubmitOptions, make_bundle, submitted

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

app = typer.Typer(help="Find and register data that lies in a bucket.", no_args_is_help=True)

POLL_S: Final = 0.5
RUNNING: Final = "running"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

_ENDED: Final = {FAILED: "failed", CANCELLED: "was cancelled"}

Catalog = Annotated[str, typer.Argument(help="Name or id", metavar="CATALOG")]
ScanId = Annotated[str, typer.Argument(help="The scan's id", metavar="SCAN")]
Namespace = Annotated[
    str | None,
    typer.Option(help="Namespace to register all tables in; by default where they were proposed"),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        help="Keys to pass over, such as 'tmp/**'; signs are *, ** and ?, all else stands for "
        "itself; may be repeated, and is kept for later scans"
    ),
]

Master = Annotated[
    str | None,
    typer.Option(help="Where the cluster is, as in spark://host:7077 or yarn; runs spark-submit"),
]
Conf = Annotated[
    list[str] | None, typer.Option(help="A setting of Spark, name=value; may be repeated")
]
SparkSubmit = Annotated[str, typer.Option(help="The program, by name or path")]


class Confidence(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Engine(StrEnum):
    SERVER = "server"
    SPARK = "spark"


class AutoApprove(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    OFF = "off"


_REGISTERED_COLUMNS: Final = ("namespace", "name", "files", "rows", "error")
_SHOWN: Final = ("id", "state", "prefix", "progress", "requested_by", "finished_at")
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
    auto_approve: Annotated[
        Confidence | None,
        typer.Option(help="Register what is at least as sure, when the scan ends"),
    ] = None,
    ignore: Ignore = None,
    namespace: Namespace = None,
    engine: Annotated[
        Engine, typer.Option(help="Who inspects the files: the server, or a cluster that you have")
    ] = Engine.SERVER,
    master: Master = None,
    conf: Conf = None,
    spark_submit: SparkSubmit = SPARK_SUBMIT,
    output: Output = None,
) -> None:
    """Scan a catalog's storage.  It only proposes, unless told to register."""
    if master and engine is not Engine.SPARK:
        raise CommandFailure("`--master` is for `--engine spark`", exit_code=ExitCode.USAGE)
    body = {
        "prefix": prefix,
        "ignore": ignore or [],
        "auto_approve": auto_approve,
        "namespace": namespace,
        "engine": engine,
    }
    with connect() as api:
        scan = api.post(f"{_catalog(catalog)}/scans", body)
        if master:
            scan = _by_spark(api, catalog, scan, SubmitOptions(spark_submit, master, conf or []))
        elif engine is Engine.SPARK:
            note(f"Its files wait for: graticule scan spark {catalog} {scan['id']} --master URL")
        if wait or register:
            scan = _follow(api, catalog, scan)
        if register and scan["state"] not in {FAILED, CANCELLED}:
            registered = _register(api, catalog, scan["id"], {"namespace": namespace})
            _print_registered(registered, output)
            return
    _print_scan(catalog, scan, output)


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
    _print_scan(catalog, found, output)


@app.command("cancel")
def cancel(catalog: Catalog, scan: ScanId) -> None:
    """Stop a scan.  What it has learnt of files is not lost: the next scan goes on with it."""
    with connect() as api:
        api.post(f"{_scan(catalog, scan)}/cancel")
    note("It stops in a moment.")


@app.command("spark")
def spark(
    catalog: Catalog,
    scan: ScanId,
    *,
    master: Master = None,
    conf: Conf = None,
    spark_submit: SparkSubmit = SPARK_SUBMIT,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Only put what Spark needs into this folder, and print the command"),
    ] = None,
    output: Output = None,
) -> None:
    """Have a cluster inspect the files of a scan that was started with `--engine spark`."""
    options = SubmitOptions(spark_submit, master or "", conf or [])
    with connect() as api:
        found = api.get(_scan(catalog, scan))
        if bundle is not None:
            typer.echo(shlex.join(make_bundle(api, _scan(catalog, scan), bundle, options)))
            return
        if master is None:
            raise CommandFailure(
                "say where the cluster is with `--master`, such as `--master spark://host:7077`",
                exit_code=ExitCode.USAGE,
            )
        found = _by_spark(api, catalog, found, options)
    _print_scan(catalog, found, output)


@app.command("take-over")
def take_over(catalog: Catalog, scan: ScanId) -> None:
    """Have the server inspect the files that wait for a cluster."""
    with connect() as api:
        api.post(f"{_scan(catalog, scan)}/take-over")
    note(f"The server goes on. Follow it with: graticule scan show {catalog} {scan} --wait")


@app.command("register")
def register(
    catalog: Catalog,
    scan: ScanId,
    *,
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="A proposed table, or one with a new name, as in roads=streets or "
            "roads=city.streets; may be repeated; default: all"
        ),
    ] = None,
    auto_approve: Annotated[
        Confidence, typer.Option(help="Of all, only those that are at least as sure")
    ] = Confidence.LOW,
    ignore: Ignore = None,
    namespace: Namespace = None,
    output: Output = None,
) -> None:
    """Register proposed tables.  Files are referenced where they are, never copied."""
    body = {
        "tables": [_choice(each) for each in table] if table else "all",
        "min_confidence": auto_approve,
        "ignore": ignore or [],
        "namespace": namespace,
    }
    with connect() as api:
        registered = _register(api, catalog, scan, body)
    _print_registered(registered, output)


@app.command("policy")
def policy(
    catalog: Catalog,
    *,
    ignore: Ignore = None,
    auto_approve: Annotated[
        AutoApprove | None,
        typer.Option(help="Register by itself what is at least as sure; off asks about all"),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget all patterns first")] = False,
    output: Output = None,
) -> None:
    """Show or change what scans pass over, and what they register by themselves."""
    with connect() as api:
        path = f"{_catalog(catalog)}/scan-policy"
        found = api.get(path)
        if ignore or auto_approve or clear:
            kept = [] if clear else found["ignore"]
            approve = found["auto_approve"]
            if auto_approve is not None:
                approve = None if auto_approve is AutoApprove.OFF else auto_approve
            found = api.put(path, {"ignore": kept + (ignore or []), "auto_approve": approve})
    print_one(found, output)


def _choice(text: str) -> str | dict[str, str]:
    """`roads`, or `roads=city.streets`."""
    proposal, equals, name = text.partition("=")
    return {"table": proposal, "name": name} if equals else text


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


def _follow(
    api: "ManagementApi",
    catalog: str,
    scan: dict[str, Any],
    *,
    until: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
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
                if until():
                    break
    except KeyboardInterrupt:
        note(
            f"Still running. Follow it with: graticule scan show {catalog} {scan['id']} --wait\n"
            f"or stop it with: graticule scan cancel {catalog} {scan['id']}"
        )
        raise
    return scan


def _by_spark(
    api: "ManagementApi", catalog: str, scan: dict[str, Any], options: SubmitOptions
) -> dict[str, Any]:
    """Follow the scan beside the Spark job that inspects its files, until either has ended."""
    with submitted(api, _scan(catalog, scan["id"]), options) as failure:
        scan = _follow(api, catalog, scan, until=lambda: failure() is not None)
        reason = failure()
    if reason and scan["state"] == RUNNING:
        note(
            f"{reason}\nThe scan goes on waiting. Try again with: "
            f"graticule scan spark {catalog} {scan['id']} --master {options.master}\n"
            f"or let the server do the rest: graticule scan take-over {catalog} {scan['id']}"
        )
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


def _register(
    api: "ManagementApi", catalog: str, scan: str, body: dict[str, Any]
) -> dict[str, Any]:
    from graticule.cli.client import VERIFY_TIMEOUT_S  # noqa: PLC0415

    return api.post(f"{_scan(catalog, scan)}/register", body, timeout_s=VERIFY_TIMEOUT_S)


def _print_scan(catalog: str, scan: dict[str, Any], output: Format | None) -> None:
    report = scan.get("report") or {}
    if wants_json(output):
        print_json(scan)
    else:
        shown = {name: scan.get(name) for name in _SHOWN}
        print_one(shown | {"progress": counters_of(scan) or None}, output)
        if "tables" in report:
            typer.echo()
            print_report(report, catalog=catalog, scan=scan["id"])
            if not report.get("objects"):
                typer.echo(f"There is no object below {scan['prefix']}, which has to be a folder.")
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
        rows = [table | {"namespace": ".".join(table["namespace"])} for table in tables]
        print_list(rows, _REGISTERED_COLUMNS, output)
    failed = [table for table in tables if table["error"]]
    if failed:
        raise CommandFailure(
            f"{len(failed)} of {len(tables)} tables could not be registered",
            exit_code=ExitCode.CHECK_FAILED,
        )


def _catalog(name: str) -> str:
    return f"/catalogs/{segment(name)}"


def _scan(catalog: str, scan: str) -> str:
    return f"{_catalog(catalog)}/scans/{segment(scan)}"
