"""Members of the caller's organisation."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import member_to_json, moment, page_to_json
from graticule.api.pages.link import link_url
from graticule.domain.errors import InvalidRequest
from graticule.domain.tenancy import MemberKind, Role


class NewMember(Body):
    name: str
    role: Annotated[Role, Field(strict=False)] = Role.USER
    kind: Annotated[MemberKind, Field(strict=False)] = MemberKind.SERVICE_ACCOUNT


class MemberChange(Body):
    name: str | None = None
    role: Annotated[Role | None, Field(strict=False)] = None
    disabled: bool | None = None


class NewIdentity(Body):
    issuer: str
    """Its name."""
    subject: str
    """The `sub` of its tokens."""


def list_members(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.members.list(
        call.principal, kind=_kind(call), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, member_to_json))


@once_managed
def create_member(call: Call) -> Response:
    body = body_of(call, NewMember)
    members = call.services.members
    landed = landed_id(call)
    if landed is not None:
        member = members.show(call.principal, landed)
    else:
        member = members.create(call.principal, name=body.name, kind=body.kind, role=body.role)
    return json_response(member_to_json(member), status=201)


def show_member(call: Call) -> Response:
    return json_response(
        member_to_json(call.services.members.show(call.principal, call.name("member")))
    )


@once_managed
def update_member(call: Call) -> Response:
    body = body_of(call, MemberChange)
    landed = landed_id(call)
    if landed is not None:
        return json_response(member_to_json(call.services.members.show(call.principal, landed)))
    member = call.services.members.update(
        call.principal,
        call.name("member"),
        name=body.name,
        role=body.role,
        is_disabled=body.disabled,
    )
    return json_response(member_to_json(member))


@once_managed
def delete_member(call: Call) -> Response:
    call.services.members.delete(call.principal, call.name("member"))
    return no_content()


def create_password_link(call: Call) -> Response:
    """A one-time link for the member to choose a password with.  In this answer only."""
    link = call.services.passwords.create_link(call.principal, call.name("member"))
    return json_response(
        {
            "url": link_url(call.cookies.url(call.base_url), link.token),
            "expires_at": moment(link.expires_at_ms),
        },
        status=201,
        headers={"Cache-Control": "no-store"},
    )


def list_identities(call: Call) -> Response:
    found = call.services.issuers.identities_of(call.principal, call.name("member"))
    items = [{"issuer": issuer, "subject": subject} for issuer, subject in found]
    return json_response({"items": items, "next": None})


@once_managed
def link_identity(call: Call) -> Response:
    body = body_of(call, NewIdentity)
    if landed_id(call) is None:
        call.services.issuers.link(
            call.principal, call.name("member"), issuer=body.issuer, subject=body.subject
        )
    return json_response({"issuer": body.issuer, "subject": body.subject}, status=201)


@once_managed
def unlink_identity(call: Call) -> Response:
    call.services.issuers.unlink(call.principal, call.name("member"), issuer=call.name("issuer"))
    # Its tokens may be among the principals that are known.
    call.services.authentication.forget()
    return no_content()


def _kind(call: Call) -> MemberKind | None:
    kind = call.query.get("kind")
    if not kind:
        return None
    try:
        return MemberKind(kind)
    except ValueError:
        allowed = " or ".join(f"`{kind}`" for kind in MemberKind)
        raise InvalidRequest(f"`kind` must be {allowed}, not `{kind}`") from None


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/members", list_members, Action.MANAGE_MEMBERS),
    ("POST", "/members", create_member, Action.MANAGE_MEMBERS),
    ("GET", "/members/{member}", show_member, Action.MANAGE_MEMBERS),
    ("PATCH", "/members/{member}", update_member, Action.MANAGE_MEMBERS),
    ("DELETE", "/members/{member}", delete_member, Action.MANAGE_MEMBERS),
    ("POST", "/members/{member}/password-link", create_password_link, Action.MANAGE_MEMBERS),
    ("GET", "/members/{member}/identities", list_identities, Action.MANAGE_MEMBERS),
    ("POST", "/members/{member}/identities", link_identity, Action.MANAGE_MEMBERS),
    ("DELETE", "/members/{member}/identities/{issuer}", unlink_identity, Action.MANAGE_MEMBERS),
)
