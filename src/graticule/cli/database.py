"""`graticule database`: the schema, and a way back in.  Works on the database, without a server."""

from typing import Annotated

import typer

from graticule.cli.environment import opened_database, opened_services
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Output, note, print_one

app = typer.Typer(help="Upgrade the database, or look at its schema.", no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """Bring the database to the schema this release needs.  All of it happens, or nothing."""
    from graticule.db import upgrade as schema  # noqa: PLC0415

    with opened_database() as (_, engine):
        before = schema.status(engine)
        after = schema.upgrade(engine)
        if before == after:
            note(f"The database is at revision {after.current} already.")
        else:
            note(f"Upgraded the database from {before.current or 'nothing'} to {after.current}.")


@app.command("status")
def status(output: Output = None) -> None:
    """Show the database's revision.  Exits with 3 when it needs an upgrade."""
    from graticule.db import upgrade as schema  # noqa: PLC0415

    with opened_database() as (_, engine):
        found = schema.status(engine)
    print_one(
        {"current": found.current, "needed": found.needed, "is_current": found.is_current}, output
    )
    if not found.is_current:
        raise CommandFailure(
            "the database needs an upgrade",
            remedy="Run `graticule database upgrade`.",
            exit_code=ExitCode.CHECK_FAILED,
        )


@app.command("new-admin-key")
def new_admin_key(
    organisation: Annotated[str, typer.Option(help="Its name")] = "default",
    admin: Annotated[str, typer.Option(help="Name of the admin")] = "admin",
    link: Annotated[
        bool, typer.Option("--link", help="A link to choose a password, instead of a key")
    ] = False,
) -> None:
    """Make an API key for an admin, when every way in was lost.

    An admin that is gone, disabled or no admin any more is made one again.
    """
    from graticule.api.pages.link import link_url  # noqa: PLC0415

    with opened_services() as (settings, services):
        if link:
            services.organisations.restore_admin(organisation, admin=admin)
            made = services.passwords.create_link_for(organisation, admin)
            url = settings.public_url or f"http://{settings.host}:{settings.port}"
            note("This link works once, within a day.")
            typer.echo(link_url(url, made.token))
        else:
            new = services.organisations.recover_admin(organisation, admin=admin)
            note("Keep this credential; it is not shown again.")
            typer.echo(new.credential)
