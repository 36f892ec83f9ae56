"""`graticule user` and `graticule service-account`: who belongs to the organisation."""

from typing import Annotated, Final

import typer

from graticule.cli.connection import connect, segment
from graticule.cli.output import Output, Yes, confirm, note, print_list, print_one

_COLUMNS: Final = ("name", "role", "created_at", "disabled_at", "id")

Member = Annotated[str, typer.Argument(help="Name or id")]
NewName = Annotated[str, typer.Argument(help="A name of your choice")]
Role = Annotated[str, typer.Option(help="admin or user")]


def _app(kind: str, noun: str, help_text: str) -> typer.Typer:
    """The verbs that users and service accounts share."""
    app = typer.Typer(help=help_text, no_args_is_help=True)

    @app.command("list", help=f"List the {noun}s.")
    def list_members(output: Output = None) -> None:
        with connect() as api:
            print_list(api.list("/members", {"kind": kind}), _COLUMNS, output)

    @app.command("show", help=f"Show a {noun}.")
    def show(member: Member, output: Output = None) -> None:
        with connect() as api:
            print_one(api.get(f"/members/{segment(member)}"), output)

    @app.command("set-role", help=f"Make a {noun} an admin, or not.")
    def set_role(
        member: Member,
        role: Annotated[str, typer.Argument(help="admin or user")],
        output: Output = None,
    ) -> None:
        _change(member, {"role": role}, output)

    @app.command("rename", help=f"Rename a {noun}.")
    def rename(member: Member, name: NewName, output: Output = None) -> None:
        _change(member, {"name": name}, output)

    @app.command("disable", help=f"Let no credential of a {noun} work until it is enabled.")
    def disable(member: Member, output: Output = None) -> None:
        _change(member, {"disabled": True}, output)

    @app.command("enable", help=f"Let the credentials of a disabled {noun} work again.")
    def enable(member: Member, output: Output = None) -> None:
        _change(member, {"disabled": False}, output)

    @app.command("delete", help=f"Delete a {noun}, with all that lets somebody act as it.")
    def delete(member: Member, yes: Yes = False) -> None:
        confirm(f"Delete {member}? Its API keys and sessions end at once.", yes=yes)
        with connect() as api:
            api.delete(f"/members/{segment(member)}")
        note(f"Deleted {member}.")

    return app


def _change(member: str, change: dict[str, object], output: Output) -> None:
    with connect() as api:
        print_one(api.patch(f"/members/{segment(member)}", change), output)


user_app = _app("user", "user", "Users: the people of the organisation.")
service_account_app = _app(
    "service_account", "service account", "Service accounts: what engines and jobs act as."
)


@service_account_app.command("create")
def create_service_account(name: NewName, role: Role = "user", output: Output = None) -> None:
    """Add a service account.  `graticule token create --member` then gives it a credential."""
    body = {"name": name, "role": role, "kind": "service_account"}
    with connect() as api:
        print_one(api.post("/members", body), output)


@user_app.command("create")
def create_user(name: NewName, role: Role = "user", output: Output = None) -> None:
    """Add a user, and show a link with which it chooses a password, once."""
    with connect() as api:
        made = api.post("/members", {"name": name, "role": role, "kind": "user"})
        link = api.post(f"/members/{segment(made['id'])}/password-link")
    note("Send the link on by a way you trust: it works once, within a day.")
    print_one({**made, "password_link": link["url"]}, output)


@user_app.command("reset-password")
def reset_password(member: Member, output: Output = None) -> None:
    """Make a link with which a user chooses a new password, once."""
    with connect() as api:
        link = api.post(f"/members/{segment(member)}/password-link")
    note("Send the link on by a way you trust. The old password works until it is used.")
    print_one(link, output)


@user_app.command("link")
def link(
    member: Member,
    issuer: Annotated[str, typer.Option(help="Name of the identity provider")],
    subject: Annotated[str, typer.Option(help="The `sub` of its tokens")],
    output: Output = None,
) -> None:
    """Let somebody who signs in at an identity provider act as this user."""
    with connect() as api:
        body = {"issuer": issuer, "subject": subject}
        print_one(api.post(f"/members/{segment(member)}/identities", body), output)


@user_app.command("unlink")
def unlink(
    member: Member,
    issuer: Annotated[str, typer.Option(help="Name of the identity provider")],
) -> None:
    """Let nobody of an identity provider act as this user any more."""
    with connect() as api:
        api.delete(f"/members/{segment(member)}/identities/{segment(issuer)}")
    note(f"Unlinked {member} from {issuer}.")
