"""`graticule token`: API keys, which are personal access tokens too."""

from typing import Annotated, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.output import Output, Yes, confirm, note, print_list, print_one

app = typer.Typer(
    help="API keys of engines and people, also called personal access tokens.", no_args_is_help=True
)

DAY_S: Final = 86_400
_COLUMNS: Final = ("client_id", "name", "scopes", "expires_at", "last_used_at", "revoked_at")


@app.command("list")
def list_keys(
    member: Annotated[
        str | None, typer.Option(help="Of one member, by name or id; `me` for your own")
    ] = None,
    output: Output = None,
) -> None:
    """List your API keys; for admins, those of the organisation.  Secrets are never shown again."""
    with connect() as api:
        print_list(api.list("/keys", {"member": member}), _COLUMNS, output)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for")],
    member: Annotated[str | None, typer.Option(help="For another member, by name or id")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="read, write, manage; may be repeated; default: yours")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires")] = None,
    output: Output = None,
) -> None:
    """Make an API key.  Its credential is shown this one time."""
    body = {
        "name": name,
        "member": member,
        "scopes": scope or None,
        "lifetime_s": None if days is None else days * DAY_S,
    }
    with connect() as api:
        created = api.post("/keys", body)
    note("Keep this credential; it is not shown again.")
    print_one(created, output)


@app.command("revoke")
def revoke(
    client_id: Annotated[str, typer.Argument(help="The client id, gk_…")], yes: Yes = False
) -> None:
    """End an API key, and every token made with it."""
    confirm(f"Revoke {client_id}? Whoever uses it is locked out at once.", yes=yes)
    with connect() as api:
        api.delete(f"/keys/{segment(client_id)}")
    note(f"Revoked {client_id}.")
