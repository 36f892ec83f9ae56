"""Members of the caller's organisation."""

from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from graticule.api.endpoint import Call, json_response
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import member_to_json, page_to_json
from graticule.domain.tenancy import MemberKind, Role


class NewMember(Body):
    name: str
    role: Annotated[Role, Field(strict=False)] = Role.USER
    kind: Annotated[MemberKind, Field(strict=False)] = MemberKind.SERVICE_ACCOUNT


def list_members(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.organisations.list_members(
        call.principal, after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, member_to_json))


def create_member(call: Call) -> Response:
    body = body_of(call, NewMember)
    member = call.services.organisations.create_member(
        call.principal, name=body.name, kind=body.kind, role=body.role
    )
    return json_response(member_to_json(member), status=201)
