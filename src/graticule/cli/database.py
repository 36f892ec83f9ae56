"""`graticule database`: the schema, the keys of secrets, and a way back in.  Needs no server."""

from typing import Annotated

import typer

from graticule.cli.environment import opened_database, opened_services
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Output, note, print_one

app = typer.Typer(
    help="The database: its schema, its secrets, and a way back in.", no_args_is_help=True
)


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


@app.command("new-secret-key")
def new_secret_key(
    name: Annotated[str, typer.Argument(help="A name that the key ring does not have yet")],
    kms_key: Annotated[
        str | None, typer.Option(help="ARN of the KMS key that is to wrap it")
    ] = None,
) -> None:
    """Print an entry for GRATICULE_SECRET_KEYS or GRATICULE_SECRET_KEYS_FILE.

    Put it behind the newest key on all replicas first, then before it, then run
    `graticule database rotate-secrets`.
    """
    from graticule.access.keyring import Keyring, new_key  # noqa: PLC0415

    entry = f"{name}:{new_key()}"
    try:
        Keyring.check_text(entry)
        region = _region_of(kms_key) if kms_key is not None else None
    except ValueError as error:
        raise CommandFailure(str(error), exit_code=ExitCode.USAGE) from error
    if kms_key is not None and region is not None:
        from graticule.cli.environment import load_settings  # noqa: PLC0415

        entry = load_settings().key_wrapping().new_key(name, kms_key, region=region)
    typer.echo(entry)


@app.command("rotate-secrets")
def rotate_secrets(output: Output = None) -> None:
    """Seal all stored secrets under the newest key.  May be stopped and begun again.

    Exits with 3 when a secret does not open; it is left as it is, and the log names it.
    """
    from graticule.db.upgrade import check_current  # noqa: PLC0415
    from graticule.services.accounts.sealed_secrets import SealedSecrets  # noqa: PLC0415

    with opened_database() as (settings, engine):
        check_current(engine)
        done = SealedSecrets(engine, settings.keyring()).rotate()
    print_one({"key": done.key_name, "resealed": done.resealed, "unopened": done.unopened}, output)
    if done.unopened:
        raise CommandFailure(
            f"{done.unopened} stored secrets do not open with any key of the ring",
            remedy="Add the key that sealed them, or replace them: for an integration, "
            "`graticule integration rotate-keys`.",
            exit_code=ExitCode.CHECK_FAILED,
        )


def _region_of(kms_key_arn: str) -> str:
    parts = kms_key_arn.split(":")
    if len(parts) != _ARN_PARTS or parts[0] != "arn" or parts[2] != "kms":
        raise ValueError(f"`{kms_key_arn}` is not the ARN of a KMS key")
    return parts[3]


_ARN_PARTS = 6
