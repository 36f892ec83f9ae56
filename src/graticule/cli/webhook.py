"""`graticule webhook`: where events are announced."""

from typing import Annotated, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.output import Output, Yes, confirm, note, print_list, print_one

app = typer.Typer(help="Webhooks: events announced by signed requests.", no_args_is_help=True)

_COLUMNS: Final = ("name", "url", "types", "enabled", "created_at", "id")
_DELIVERIES: Final = ("created_at", "event_type", "state", "attempts", "status", "error", "id")

Name = Annotated[str, typer.Argument(help="Name or id of the webhook")]


@app.command("list")
def list_webhooks(output: Output = None) -> None:
    """List the webhooks.  Secrets are never shown again."""
    with connect() as api:
        print_list(api.list("/webhooks"), _COLUMNS, output)


@app.command("create")
def create(  # noqa: PLR0917 - each is an option
    name: Annotated[str, typer.Argument(help="What it is for")],
    url: Annotated[str, typer.Argument(help="Where events are sent, https://…")],
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", help="table.created, table.*; may be repeated; default: all"),
    ] = None,
    catalog: Annotated[str | None, typer.Option(help="Only events of this catalog")] = None,
    object_id: Annotated[
        str | None, typer.Option("--object", help="Only events about the thing of this id")
    ] = None,
    output: Output = None,
) -> None:
    """Announce events at a URL.  The secret that signs them is shown this one time."""
    body = {
        "name": name,
        "url": url,
        "types": type_ or ["*"],
        "catalog": catalog,
        "object_id": object_id,
    }
    with connect() as api:
        made = api.post("/webhooks", body)
    note("Keep this secret; it is not shown again.")
    print_one(made, output)


@app.command("enable")
def enable(name: Name) -> None:
    """Switch a webhook on; what waited for it goes out."""
    with connect() as api:
        api.patch(f"/webhooks/{segment(name)}", {"enabled": True})
    note(f"Enabled {name}.")


@app.command("disable")
def disable(name: Name) -> None:
    """Switch a webhook off; its events are not kept."""
    with connect() as api:
        api.patch(f"/webhooks/{segment(name)}", {"enabled": False})
    note(f"Disabled {name}.")


@app.command("delete")
def delete(name: Name, yes: Yes = False) -> None:
    """Delete a webhook and the history of its deliveries."""
    confirm(f"Delete the webhook {name}?", yes=yes)
    with connect() as api:
        api.delete(f"/webhooks/{segment(name)}")
    note(f"Deleted {name}.")


@app.command("deliveries")
def deliveries(name: Name, output: Output = None) -> None:
    """Show what was sent and how it went, the newest first."""
    with connect() as api:
        print_list(api.list(f"/webhooks/{segment(name)}/deliveries"), _DELIVERIES, output)


@app.command("redeliver")
def redeliver(
    name: Name, delivery: Annotated[str, typer.Argument(help="Id of the delivery")]
) -> None:
    """Send an event once more."""
    with connect() as api:
        api.post(f"/webhooks/{segment(name)}/deliveries/{segment(delivery)}/redeliver", {})
    note("Sent again.")
