"""`graticule organisation`: the tenants of a server.  Works on the database, without a server.

Who may do this is whoever holds the database: no organisation can make another one over the API.
"""

from typing import Annotated, Final

import typer

from graticule.cli.environment import opened_services
from graticule.cli.output import Json, Output, note, print_list, print_one
from graticule.domain.tenancy import Edition, Organisation

app = typer.Typer(
    help="Organisations of this server; run it where the server runs.", no_args_is_help=True
)

_COLUMNS: Final = ("name", "edition", "id")

Name = Annotated[str, typer.Argument(help="Name of the organisation")]


@app.command("list")
def list_organisations(output: Output = None) -> None:
    """List all organisations."""
    with opened_services() as (_, services):
        found = services.organisations.list_all()
    print_list([_shown(one) for one in found], _COLUMNS, output)


@app.command("create")
def create(
    name: Name,
    edition: Annotated[Edition, typer.Option(help="What it may do")] = Edition.ENTERPRISE,
    admin: Annotated[str, typer.Option(help="Name of its first admin")] = "admin",
    output: Output = None,
) -> None:
    """Make an organisation with an admin, whose credential is shown this one time."""
    with opened_services() as (_, services):
        made, key = services.organisations.create(name, edition=edition, admin=admin)
    note("Keep this credential; it is not shown again.")
    print_one({**_shown(made), "admin": admin, "credential": key.credential}, output)


@app.command("set-edition")
def set_edition(
    name: Name,
    edition: Annotated[Edition, typer.Argument(help="The edition to move it to")],
    output: Output = None,
) -> None:
    """Move an organisation to another edition; running servers follow in seconds."""
    with opened_services() as (_, services):
        changed = services.organisations.set_edition(name, edition)
    print_one(_shown(changed), output)


def _shown(organisation: Organisation) -> Json:
    return {
        "name": organisation.name,
        "edition": organisation.edition.value,
        "id": organisation.id,
    }
