"""`graticule issuer`: identity providers that the server trusts.  Works on the database.

Who may do this is whoever holds the database: the server connects to what is named here.
"""

import sys
from typing import Annotated, Final

import typer

from graticule.cli.environment import opened_services
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.output import Json, Output, Yes, confirm, note, print_list, print_one
from graticule.domain.issuer import Issuer

app = typer.Typer(
    help="OpenID Connect providers; run it where the server runs.", no_args_is_help=True
)

_COLUMNS: Final = ("name", "url", "client_id", "role_claim", "auto_provision")

Name = Annotated[str, typer.Argument(help="A name; the sign-in page shows it")]


@app.command("list")
def list_issuers(output: Output = None) -> None:
    """List the identity providers."""
    with opened_services() as (_, services):
        print_list([_shown(one) for one in services.issuers.list_all()], _COLUMNS, output)


@app.command("create")
def create(
    name: Name,
    *,
    url: Annotated[str, typer.Option(help="The issuer, exactly as its tokens have it in `iss`")],
    client_id: Annotated[
        str | None, typer.Option(help="This server's client there, to sign people in")
    ] = None,
    client_secret_stdin: Annotated[
        bool, typer.Option("--client-secret-stdin", help="Read the client's secret from stdin")
    ] = False,
    audience: Annotated[
        list[str] | None,
        typer.Option(help="What bearer tokens must be for; may be repeated; default: the client"),
    ] = None,
    organisation: Annotated[
        str, typer.Option(help="The organisation whose members they are")
    ] = "default",
    organisation_claim: Annotated[
        str | None, typer.Option(help="Claim with the name of the organisation, instead")
    ] = None,
    role_claim: Annotated[
        str | None, typer.Option(help="Claim with the role, such as realm_access.roles")
    ] = None,
    admin_value: Annotated[
        list[str] | None, typer.Option(help="Value of it that makes admins; may be repeated")
    ] = None,
    user_value: Annotated[
        list[str] | None, typer.Option(help="Value that lets users in; default: any")
    ] = None,
    name_claim: Annotated[
        str, typer.Option(help="Claim with the name of new members")
    ] = "preferred_username",
    auto_provision: Annotated[
        bool, typer.Option(help="Make members of those who come for the first time")
    ] = False,
    output: Output = None,
) -> None:
    """Trust an identity provider.  Running servers follow in seconds."""
    from graticule.domain.secret import Secret  # noqa: PLC0415

    secret = Secret(sys.stdin.readline().strip()) if client_secret_stdin else None
    if secret is not None and not secret:
        raise CommandFailure("stdin has no client secret", exit_code=ExitCode.USAGE)
    with opened_services() as (_, services):
        issuer = services.issuers.create(
            name=name,
            url=url,
            audiences=audience or (),
            client_id=client_id,
            client_secret=secret,
            organisation=organisation,
            organisation_claim=organisation_claim,
            role_claim=role_claim,
            admin_values=admin_value or (),
            user_values=user_value or (),
            name_claim=name_claim,
            auto_provision=auto_provision,
        )
    print_one(_shown(issuer), output)


@app.command("check")
def check(name: Name, output: Output = None) -> None:
    """Fetch what an identity provider publishes, as the server will.  Exits with 3 if it cannot."""
    from graticule.domain.errors import Unavailable  # noqa: PLC0415

    with opened_services() as (_, services):
        try:
            found = services.issuers.check(name)
        except Unavailable as error:
            raise CommandFailure(error.message, exit_code=ExitCode.CHECK_FAILED) from error
    print_one(
        {
            "authorization_endpoint": found.authorization_endpoint,
            "token_endpoint": found.token_endpoint,
            "keys": len(found.keys),
        },
        output,
    )


@app.command("delete")
def delete(name: Name, yes: Yes = False) -> None:
    """Trust an identity provider no longer.  Its members stay, without this way in."""
    confirm(f"Trust {name} no longer? Its tokens are refused within seconds.", yes=yes)
    with opened_services() as (_, services):
        services.issuers.delete(name)
    note(f"Deleted {name}.")


def _shown(issuer: Issuer) -> Json:
    return {
        "name": issuer.name,
        "url": issuer.url,
        "audiences": list(issuer.audiences),
        "client_id": issuer.client_id,
        "organisation_id": issuer.organisation_id,
        "organisation_claim": issuer.organisation_claim,
        "role_claim": issuer.role_claim,
        "admin_values": list(issuer.admin_values),
        "user_values": list(issuer.user_values),
        "name_claim": issuer.name_claim,
        "auto_provision": issuer.auto_provision,
    }
