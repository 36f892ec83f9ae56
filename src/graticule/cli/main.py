"""`graticule`: nouns, then verbs.  Talks to a server over its management API, but for `serve`,
`worker`, `database`, `organisation`, `issuer` and `demo`, which run where the server does.

Imports stay inside commands: `--help` must not wait for half the dependencies.
"""

import sys

import typer

from graticule.cli import (
    audit,
    catalog,
    connect,
    convert,
    database,
    demo,
    function,
    grant,
    integration,
    issuer,
    job,
    login,
    member,
    organisation,
    role,
    scan,
    serve,
    sync,
    table,
    token,
    webhook,
    worker,
)
from graticule.cli.failures import CommandFailure, exit_code_of, show_failure
from graticule.domain.errors import CatalogError

app = typer.Typer(
    name="graticule",
    help="A spatial Iceberg REST catalog.",
    epilog="Commands that talk to a server act as whoever `graticule login` signed in, or read "
    "GRATICULE_URL and GRATICULE_CREDENTIAL (client id:client secret). Exit codes: 0 done, "
    "1 failed, 2 usage, 3 a check failed, 4 not found, 5 not allowed, 6 conflict, 7 unreachable: "
    "try again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("demo")(demo.demo)
app.add_typer(integration.app, name="integration")
app.add_typer(catalog.app, name="catalog")
app.command("connect")(connect.connect)
app.add_typer(scan.app, name="scan")
app.add_typer(sync.app, name="sync")
app.command("convert")(convert.convert)
app.add_typer(job.app, name="job")
app.add_typer(table.app, name="table")
app.add_typer(function.app, name="function")
app.command("login")(login.login)
app.command("logout")(login.logout)
app.command("whoami")(login.whoami)
app.add_typer(token.app, name="token")
app.add_typer(member.user_app, name="user")
app.add_typer(member.service_account_app, name="service-account")
app.add_typer(organisation.app, name="organisation")
app.add_typer(issuer.app, name="issuer")
app.add_typer(audit.app, name="audit")
app.add_typer(webhook.app, name="webhook")
app.add_typer(role.app, name="role")
app.add_typer(grant.app, name="grant")
app.command("explain")(grant.explain)
app.add_typer(database.app, name="database")


@app.command("version")
def version() -> None:
    """Show the version."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    typer.echo(installed("graticule"))


def main() -> None:
    """The entry point: runs a command and turns a failure into one line and an exit code."""
    try:
        app()
    except (CommandFailure, CatalogError, OSError) as error:
        show_failure(error)
        sys.exit(exit_code_of(error))
