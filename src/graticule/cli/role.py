"""`graticule role`: roles, and who has them."""

from typing import Annotated, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.output import Output, Yes, confirm, note, print_list, print_one

app = typer.Typer(help="Roles: names for some of the members, to grant to.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name or id", metavar="ROLE")]
Member = Annotated[str, typer.Argument(help="Member, by name or id", metavar="MEMBER")]
_COLUMNS: Final = ("name", "built_in", "created_at", "id")
_MEMBER_COLUMNS: Final = ("name", "kind", "role", "id")


@app.command("list")
def list_roles(output: Output = None) -> None:
    """List the roles."""
    with connect() as api:
        print_list(api.list("/roles"), _COLUMNS, output)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="A name of your choice")], output: Output = None
) -> None:
    """Make a role."""
    with connect() as api:
        print_one(api.post("/roles", {"name": name}), output)


@app.command("rename")
def rename(
    name: Name,
    to: Annotated[str, typer.Argument(help="The new name", metavar="NEW")],
    output: Output = None,
) -> None:
    """Give a role another name; what it was granted stays."""
    with connect() as api:
        print_one(api.put(_path(name), {"name": to}), output)


@app.command("delete")
def delete(name: Name, yes: Yes = False) -> None:
    """Delete a role, and take back whatever it was granted."""
    confirm(f"Delete the role {name} with all its grants?", yes=yes)
    with connect() as api:
        api.delete(_path(name))
    note(f"Deleted {name}.")


@app.command("members")
def members(name: Name, output: Output = None) -> None:
    """List who has a role."""
    with connect() as api:
        print_list(api.list(f"{_path(name)}/members"), _MEMBER_COLUMNS, output)


@app.command("add")
def add(name: Name, member: Member) -> None:
    """Give a member a role."""
    with connect() as api:
        api.put(f"{_path(name)}/members/{segment(member)}", {})
    note(f"{member} has the role {name}.")


@app.command("remove")
def remove(name: Name, member: Member) -> None:
    """Take a role from a member."""
    with connect() as api:
        api.delete(f"{_path(name)}/members/{segment(member)}")
    note(f"{member} has the role {name} no more.")


def _path(name: str) -> str:
    return f"/roles/{segment(name)}"
