"""`graticule sync`: keep tables that were registered in place in step with the bucket."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import (
    Format,
    Output,
    Yes,
    confirm,
    note,
    print_json,
    print_list,
    print_one,
    wants_json,
)

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

app = typer.Typer(help="Keep registered tables in step with the bucket.", no_args_is_help=True)

POLL_S: Final = 0.5
RUNNING: Final = "running"
NEEDS_CONFIRMATION: Final = "needs-confirmation"
FAILED: Final = "failed"
KEYS_SHOWN_MAX: Final = 20

Catalog = Annotated[str, typer.Argument(help="Name or id", metavar="CATALOG")]
OneTable = Annotated[str | None, typer.Option(help="One of its tables, as in `ns.name`")]
SyncId = Annotated[str, typer.Argument(help="The sync's id", metavar="SYNC")]
Wait = Annotated[bool, typer.Option(help="Follow the sync until it ends")]

_SYNC_COLUMNS: Final = ("id", "state", "trigger", "requested_by", "created_at", "finished_at")
_DOCUMENTS: Final = {
    "role_statements": "Add to the policy of the integration's role or user",
    "queue_policy": "The queue's own policy",
    "key_statements": "Add to the policy of the queue's KMS key",
}
_TABLE_COLUMNS: Final = ("table", "status", "files", "added", "overwritten", "vanished", "error")


@app.command("start")
def start(  # noqa: PLR0917 - each is an option
    catalog: Catalog,
    table: Annotated[
        list[str] | None,
        typer.Option(help="A table, as in `ns.name`; may be repeated; default: all"),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also files that were left out or undone before")
    ] = False,
    deleted_percent: Annotated[
        int | None, typer.Option(help="Ask before more than this part of a table's files leaves it")
    ] = None,
    deleted_files: Annotated[int | None, typer.Option(help="… and more files than this")] = None,
    wait: Wait = True,
    output: Output = None,
) -> None:
    """Take up new, replaced and vanished files, in one snapshot for each table."""
    body = {
        "tables": table or None,
        "again": again,
        "deleted_percent_max": deleted_percent,
        "deleted_files_max": deleted_files,
    }
    with connect() as api:
        sync = api.post(_syncs(catalog), body)
        if wait:
            sync = _follow(api, catalog, sync)
    _print(catalog, sync, output)


@app.command("list")
def list_syncs(catalog: Catalog, output: Output = None) -> None:
    """List a catalog's syncs, newest first."""
    with connect() as api:
        print_list(api.list(_syncs(catalog)), _SYNC_COLUMNS, output)


@app.command("show")
def show(catalog: Catalog, sync: SyncId, output: Output = None) -> None:
    """Show a sync, and what became of each table."""
    with connect() as api:
        found = api.get(_sync(catalog, sync))
    _print(catalog, found, output)


@app.command("confirm")
def confirm_sync(
    catalog: Catalog, sync: SyncId, yes: Yes = False, wait: Wait = True, output: Output = None
) -> None:
    """Let go of the files that a sync stopped for, and of no others."""
    with connect() as api:
        found = api.get(_sync(catalog, sync))
        lost = sum(table.get("lost_count", 0) for table in found["tables"])
        confirm(f"Take {lost} files out of the tables?", yes=yes)
        found = api.post(f"{_sync(catalog, sync)}/confirm", None)
        if wait:
            found = _follow(api, catalog, found)
    _print(catalog, found, output)


@app.command("discard")
def discard(catalog: Catalog, sync: SyncId, output: Output = None) -> None:
    """Leave the tables as they are that a sync stopped for."""
    with connect() as api:
        found = api.post(f"{_sync(catalog, sync)}/discard", None)
    _print(catalog, found, output)


@app.command("undo")
def undo(catalog: Catalog, sync: SyncId, yes: Yes = False, output: Output = None) -> None:
    """Take back what a sync did, by a new snapshot of each table.  Data is never touched."""
    confirm(f"Undo the sync {sync}?", yes=yes)
    with connect() as api:
        found = api.post(f"{_sync(catalog, sync)}/undo", None)
    _print(catalog, found, output)


@app.command("undo-registration")
def undo_registration(
    catalog: Catalog,
    table: Annotated[str, typer.Argument(help="As in `ns.name`", metavar="TABLE")],
    yes: Yes = False,
) -> None:
    """Forget a table that was registered in place.  Its files stay where they lie."""
    confirm(f"Forget the table {table}?", yes=yes)
    path = _table_settings(catalog, table).removesuffix("sync-settings")
    with connect() as api:
        api.post(f"{path}undo-registration", None)
    note(f"Forgot {table}. Its files are where they were.")


@app.command("settings")
def settings(catalog: Catalog, table: OneTable = None, output: Output = None) -> None:
    """Show how a catalog keeps itself in step, or where one of its tables differs."""
    path = _settings(catalog) if table is None else _table_settings(catalog, table)
    with connect() as api:
        print_one(api.get(path), output)


@app.command("configure")
def configure(  # noqa: PLR0917 - each is an option
    catalog: Catalog,
    table: OneTable = None,
    every: Annotated[
        int | None, typer.Option(help="Minutes between two syncs; none by themselves without")
    ] = None,
    cron: Annotated[
        str | None, typer.Option(help="Instead: minute, hour, day, month and weekday, in UTC")
    ] = None,
    never: Annotated[
        bool, typer.Option("--off", help="Of a table: sync it only when it is named")
    ] = False,
    deleted_percent: Annotated[
        int | None,
        typer.Option(help="Ask before more than this part of a table's files leaves it [20]"),
    ] = None,
    deleted_files: Annotated[
        int | None, typer.Option(help="… and more files than this [10]")
    ] = None,
    files: Annotated[
        int | None, typer.Option(help="Files that one sync takes into a table at most")
    ] = None,
    finds_tables: Annotated[
        bool, typer.Option("--find-tables", help="Scan for new tables after each of them")
    ] = False,
    output: Output = None,
) -> None:
    """Set how a catalog, or one of its tables, is kept in step, in place of what was set before.

    With --table and nothing else the table is as its catalog again.
    """
    body: dict[str, Any] = {
        "interval_minutes": every,
        "cron": cron,
        "deleted_percent_max": deleted_percent,
        "deleted_files_max": deleted_files,
        "files_max": files,
    }
    if table is None:
        if never:
            raise CommandFailure("--off is for a --table; a catalog without --every is off")
        body = {name: value for name, value in body.items() if value is not None}
        body["finds_tables"] = finds_tables
        path = _settings(catalog)
    else:
        if finds_tables:
            raise CommandFailure("--find-tables is for the catalog and not for a --table")
        is_own = every is not None or cron is not None
        body["schedule"] = "off" if never else "own" if is_own else "catalog"
        path = _table_settings(catalog, table)
    with connect() as api:
        print_one(api.put(path, body), output)


@app.command("token")
def token(
    catalog: Catalog,
    revoke: Annotated[bool, typer.Option("--revoke", help="Accept no more events")] = False,
    output: Output = None,
) -> None:
    """Make the token with which a store announces what changed.  It is shown this one time."""
    with connect() as api:
        if revoke:
            api.delete(f"{_settings(catalog)}/token")
            note("Events are not accepted any more.")
            return
        made = api.post(f"{_settings(catalog)}/token")
    note("Keep this token; it is not shown again. The one before works no more.")
    print_one(made, output)


@app.command("queue")
def queue(
    catalog: Catalog,
    queue: Annotated[
        str | None, typer.Argument(help="URL or ARN; shows the one that is read without")
    ] = None,
    kms_key: Annotated[
        str | None,
        typer.Option("--kms-key", help="ARN of the KMS key that the queue is encrypted with"),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Read none any more")] = False,
    output: Output = None,
) -> None:
    """Read an SQS queue with the bucket's events, and say what its owner has to permit."""
    path = f"{_settings(catalog)}/queue"
    if kms_key is not None and queue is None:
        raise CommandFailure("--kms-key is for a queue: name it as well, by URL or ARN")
    with connect() as api:
        if remove:
            api.delete(path)
            note("The queue is not read any more.")
            return
        found = (
            api.get(path)
            if queue is None
            else api.put(path, {"queue": queue, "kms_key_arn": kms_key})
        )
    if wants_json(output):
        print_json(found)
        return
    print_one({name: value for name, value in found.items() if name not in _DOCUMENTS}, output)
    for name, title in _DOCUMENTS.items():
        if found[name] is not None:
            typer.echo(f"\n{title}:")
            print_json(found[name])


def _follow(api: "ManagementApi", catalog: str, sync: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end.  Ctrl-C leaves the sync running."""
    try:
        while sync["state"] == RUNNING:
            time.sleep(POLL_S)
            sync = api.get(_sync(catalog, sync["id"]))
    except KeyboardInterrupt:
        note(f"Still running. Look at it with: graticule sync show {catalog} {sync['id']}")
        raise
    return sync


def _print(catalog: str, sync: dict[str, Any], output: Format | None) -> None:
    if wants_json(output):
        print_json(sync)
    else:
        print_one({name: value for name, value in sync.items() if name != "tables"}, output)
        if sync["tables"]:
            typer.echo("\nTables:")
            print_list(sync["tables"], _TABLE_COLUMNS, Format.TABLE)
        for table in sync["tables"]:
            _print_files(table)
    if sync["state"] == NEEDS_CONFIRMATION:
        raise CommandFailure(
            "nothing was taken out of the tables above; if their files are meant to be gone: "
            f"graticule sync confirm {catalog} {sync['id']}",
            exit_code=ExitCode.CHECK_FAILED,
        )
    if sync["state"] == FAILED:
        raise CommandFailure(
            f"the sync failed: {sync['error'] or 'see the tables above'}",
            exit_code=ExitCode.CHECK_FAILED,
        )


def _print_files(table: dict[str, Any]) -> None:
    for left in table.get("left_out", ())[:KEYS_SHOWN_MAX]:
        typer.echo(f"Left out of {table['table']}: {left['key']}: {left['reason']}")
    lost = table.get("lost", ())
    for key in lost[:KEYS_SHOWN_MAX]:
        typer.echo(f"Would leave {table['table']}: {key}")
    if table.get("lost_count", 0) > KEYS_SHOWN_MAX:
        typer.echo(f"… {table['lost_count']} files in all")


def _settings(catalog: str) -> str:
    return f"/catalogs/{segment(catalog)}/sync-settings"


def _table_settings(catalog: str, table: str) -> str:
    namespace, _, name = table.rpartition(".")
    path = f"/catalogs/{segment(catalog)}/namespaces/{segment(namespace)}"
    return f"{path}/tables/{segment(name)}/sync-settings"


def _syncs(catalog: str) -> str:
    return f"/catalogs/{segment(catalog)}/syncs"


def _sync(catalog: str, sync: str) -> str:
    return f"{_syncs(catalog)}/{segment(sync)}"
