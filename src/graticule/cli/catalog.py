"""`graticule catalog`: managed catalogs."""

from typing import Annotated, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.output import Output, Yes, confirm, note, print_list, print_one

app = typer.Typer(help="Managed catalogs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name or id", metavar="CATALOG")]
_COLUMNS: Final = ("name", "location", "created_at", "id")


@app.command("list")
def list_catalogs(output: Output = None) -> None:
    """List the catalogs."""
    with connect() as api:
        print_list(api.list("/catalogs"), _COLUMNS, output)


@app.command("show")
def show(name: Name, output: Output = None) -> None:
    """Show a catalog."""
    with connect() as api:
        print_one(api.get(_path(name)), output)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="A name of your choice: SQL will use it")],
    *,
    storage: Annotated[str, typer.Option(help="Storage integration, by name or id")],
    path: Annotated[str | None, typer.Option(help="Folder inside the integration")] = None,
    force: Annotated[bool, typer.Option("--force", help="On a public bucket, too")] = False,
    default_access: Annotated[
        str, typer.Option(help="What all members may do with it: none, browse, read or write")
    ] = "write",
    planning: Annotated[
        str | None,
        typer.Option(
            "--scan-planning", help="Who plans scans of its tables, unless told: server or client"
        ),
    ] = None,
    output: Output = None,
) -> None:
    """Make a catalog on a storage integration."""
    body = {
        "properties": {} if planning is None else {"scan-planning-mode": planning},
        "name": name,
        "integration": storage,
        "sub_path": path,
        "force": force,
        "default_access": default_access,
    }
    with connect() as api:
        created = api.post("/catalogs", body)
    print_one(created, output)
    if created["warning"]:
        note(f"Warning: {created['warning']}")


@app.command("delete")
def delete(name: Name, yes: Yes = False) -> None:
    """Delete an empty catalog.  Files stay where they are."""
    confirm(f"Delete the catalog {name}?", yes=yes)
    with connect() as api:
        api.delete(_path(name))
    note(f"Deleted {name}.")


def _path(name: str) -> str:
    return f"/catalogs/{segment(name)}"
