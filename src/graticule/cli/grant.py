"""`graticule grant` and `graticule explain`: who may do what with which object, and why."""

from typing import Annotated, Any, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.output import Output, note, print_list, print_one, wants_json

app = typer.Typer(help="Grants on catalogs, namespaces, tables and views.", no_args_is_help=True)

Object = Annotated[
    str,
    typer.Argument(
        help="catalog, catalog/namespace or catalog/namespace/table; the levels of a namespace "
        "are joined by dots, and a / in a name is written %2F",
        metavar="OBJECT",
    ),
]
Member = Annotated[str | None, typer.Option(help="A member, by name or id")]
Role = Annotated[str | None, typer.Option(help="A role, by name or id; everyone is one")]
_COLUMNS: Final = ("privilege", "object", "grantee", "granted_by", "created_at", "id")
_ACCESS_COLUMNS: Final = ("name", "privilege", "role", "member_id")


@app.command("list")
def list_grants(
    on: Annotated[
        str | None, typer.Argument(help="The object, as in `grant add`", metavar="OBJECT")
    ] = None,
    member: Member = None,
    role: Role = None,
    output: Output = None,
) -> None:
    """List the grants on an object itself, or those of a member or role."""
    asked = {"object": on, "member": member, "role": role}
    with connect() as api:
        found = api.list("/grants", asked)
        print_list(found if wants_json(output) else map(_line, found), _COLUMNS, output)


@app.command("add")
def add(
    on: Object,
    privilege: Annotated[
        str, typer.Argument(help="browse, read, write or manage; each implies those before it")
    ],
    member: Member = None,
    role: Role = None,
    output: Output = None,
) -> None:
    """Give a member or role a privilege, in place of what it had on that very object."""
    body = {"object": on, "privilege": privilege, "member": member, "role": role}
    with connect() as api:
        given = api.post("/grants", body)
    print_one(given if wants_json(output) else _line(given), output)


@app.command("revoke")
def revoke(grant_id: Annotated[str, typer.Argument(help="The id that `grant list` shows")]) -> None:
    """Take a grant back."""
    with connect() as api:
        api.delete(f"/grants/{segment(grant_id)}")
    note("Revoked; it counts no more from now on.")


@app.command("access")
def access(on: Object, output: Output = None) -> None:
    """List which members may do what with an object, all grants and roles taken together."""
    with connect() as api:
        print_list(api.list("/access", {"object": on}), _ACCESS_COLUMNS, output)


def explain(
    action: Annotated[
        str, typer.Argument(help="browse, read, write or manage; or such as create_integrations")
    ],
    on: Annotated[
        str | None, typer.Argument(help="The object, as in `grant add`", metavar="OBJECT")
    ] = None,
    member: Annotated[str | None, typer.Option(help="About another member, by name or id")] = None,
    output: Output = None,
) -> None:
    """Say why a member may, or may not, do something."""
    with connect() as api:
        told = api.get("/explain", {"action": action, "object": on, "member": member})
    if wants_json(output):
        print_one(told, output)
        return
    verdict = "may" if told["allowed"] else "may not"
    at = f" {on}" if on else ""
    note(f"{told['member']['name']} {verdict} {action}{at}.")
    print_list(told["because"], ("kind", "allows", "detail"), output)


def _line(grant: dict[str, Any]) -> dict[str, Any]:
    """A grant with its object and grantee as one text each."""
    on, to = grant["object"], grant["grantee"]
    inner = [".".join(on["namespace"] or ()), on["name"]]
    name = "/".join([on["catalog"], *(part for part in inner if part)])
    return {**grant, "object": f"{on['kind']} {name}", "grantee": f"{to['kind']} {to['name']}"}
