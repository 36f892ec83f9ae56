"""`graticule database`: the schema, and a way back in.  Works on the database, without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Output, note, print_one

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from graticule.settings import Settings

app = typer.Typer(help="Upgrade the database, or look at its schema.", no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """Bring the database to the schema this release needs.  All of it happens, or nothing."""
    from graticule.db import upgrade as schema  # noqa: PLC0415

    with _opened() as (_, engine):
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

    with _opened() as (_, engine):
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
def new_admin_key(organisation: str = "default") -> None:
    """Make an API key for an organisation's first admin, when its credential was lost."""
    from graticule.db.upgrade import check_current  # noqa: PLC0415
    from graticule.services.organisations import Organisations  # noqa: PLC0415
    from graticule.wiring import wall_clock_ms  # noqa: PLC0415

    with _opened() as (settings, engine):
        check_current(engine)
        organisations = Organisations(
            engine,
            settings.keyring(),
            now_ms=wall_clock_ms,
            token_lifetime_s=settings.token_lifetime_s,
        )
        new = organisations.recover_admin(organisation)
    note("Keep this credential; it is not shown again.")
    typer.echo(new.credential)


@contextmanager
def _opened() -> Iterator[tuple["Settings", "Engine"]]:
    from graticule import logs  # noqa: PLC0415
    from graticule.cli.environment import load_settings  # noqa: PLC0415
    from graticule.db.engine import create_engine  # noqa: PLC0415

    settings = load_settings()
    logs.configure(log_format=settings.log_format, level="warning")
    if not settings.database_url:
        settings.make_data_dir()
    engine = create_engine(settings.resolved_database_url)
    try:
        yield settings, engine
    finally:
        engine.dispose()
