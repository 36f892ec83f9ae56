"""`graticule organisation`: the tenants of a server.  Works on the database, without a server.

Who may do this is whoever holds the database: no organisation can make another one over the API.
"""

from typing import Annotated, Final

import typer

from graticule.cli.environment import opened_database
from graticule.cli.output import Output, note, print_list, print_one
from graticule.domain.tenancy import Edition

app = typer.Typer(
    help="Organisations of this server; run it where the server runs.", no_args_is_help=True
)

_COLUMNS: Final = ("name", "edition", "id")

Name = Annotated[str, typer.Argument(help="Name of the organisation")]


@app.command("list")
def list_organisations(output: Output = None) -> None:
    """List all organisations."""
    from graticule.services.organisations import Organisations  # noqa: PLC0415
    from graticule.wiring import wall_clock_ms  # noqa: PLC0415

    with opened_database() as (_, engine):
        found = Organisations(engine, now_ms=wall_clock_ms).list_all()
    items = [{"name": one.name, "edition": one.edition.value, "id": one.id} for one in found]
    print_list(items, _COLUMNS, output)


@app.command("create")
def create(
    name: Name,
    edition: Annotated[Edition, typer.Option(help="What it may do")] = Edition.ENTERPRISE,
    admin: Annotated[str, typer.Option(help="Name of its first admin")] = "admin",
    output: Output = None,
) -> None:
    """Make an organisation with an admin, whose credential is shown this one time."""
    from graticule.db.upgrade import check_current  # noqa: PLC0415
    from graticule.services.organisations import Organisations  # noqa: PLC0415
    from graticule.wiring import wall_clock_ms  # noqa: PLC0415

    with opened_database() as (_, engine):
        check_current(engine)
        made, key = Organisations(engine, now_ms=wall_clock_ms).create(
            name, edition=edition, admin=admin
        )
    note("Keep this credential; it is not shown again.")
    print_one(
        {
            "name": made.name,
            "edition": made.edition.value,
            "id": made.id,
            "admin": admin,
            "credential": key.credential,
        },
        output,
    )


@app.command("set-edition")
def set_edition(
    name: Name,
    edition: Annotated[Edition, typer.Argument(help="The edition to move it to")],
    output: Output = None,
) -> None:
    """Move an organisation to another edition; running servers follow in seconds."""
    from graticule.db.upgrade import check_current  # noqa: PLC0415
    from graticule.services.organisations import Organisations  # noqa: PLC0415
    from graticule.wiring import wall_clock_ms  # noqa: PLC0415

    with opened_database() as (_, engine):
        check_current(engine)
        changed = Organisations(engine, now_ms=wall_clock_ms).set_edition(name, edition)
    print_one({"name": changed.name, "edition": changed.edition.value, "id": changed.id}, output)
