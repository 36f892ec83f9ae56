"""`graticule member`: who belongs to the organisation."""

from typing import Annotated, Final

import typer

from graticule.cli.connection import connect
from graticule.cli.output import Output, print_list, print_one

app = typer.Typer(help="Members: users and service accounts.", no_args_is_help=True)

_COLUMNS: Final = ("name", "kind", "role", "created_at", "id")


@app.command("list")
def list_members(output: Output = None) -> None:
    """List the members."""
    with connect() as api:
        print_list(api.list("/members"), _COLUMNS, output)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="A name of your choice")],
    role: Annotated[str, typer.Option(help="admin or user")] = "user",
    kind: Annotated[str, typer.Option(help="user or service_account")] = "service_account",
    output: Output = None,
) -> None:
    """Add a member.  `graticule key create --member` then gives it a credential."""
    with connect() as api:
        print_one(api.post("/members", {"name": name, "role": role, "kind": kind}), output)


@app.command("me")
def me(output: Output = None) -> None:
    """Show who the current credential belongs to."""
    with connect() as api:
        print_one(api.get("/me"), output)
