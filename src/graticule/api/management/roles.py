"""Roles of the organisation's own making, and who has them."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import member_to_json, moment, page_to_json
from graticule.domain.grants import MemberRole

Json = dict[str, Any]


class RoleBody(Body):
    name: str


def list_roles(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.roles.list(call.principal, after=asked.after, limit=asked.limit)
    return json_response(page_to_json(found, role_to_json))


@once_managed
def create_role(call: Call) -> Response:
    body, landed = body_of(call, RoleBody), landed_id(call)
    if landed is not None:
        made = call.services.roles.get(call.principal, landed)
    else:
        made = call.services.roles.create(call.principal, name=body.name)
    return json_response(
        role_to_json(made), status=201, headers={"Location": f"/api/v1/roles/{made.id}"}
    )


def show_role(call: Call) -> Response:
    return json_response(role_to_json(call.services.roles.get(call.principal, call.name("role"))))


@once_managed
def rename_role(call: Call) -> Response:
    body, landed = body_of(call, RoleBody), landed_id(call)
    if landed is not None:
        renamed = call.services.roles.get(call.principal, landed)
    else:
        renamed = call.services.roles.rename(call.principal, call.name("role"), name=body.name)
    return json_response(role_to_json(renamed))


@once_managed
def delete_role(call: Call) -> Response:
    call.services.roles.delete(call.principal, call.name("role"))
    return no_content()


def list_role_members(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.roles.list_members(
        call.principal, call.name("role"), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, member_to_json))


@once_managed
def add_role_member(call: Call) -> Response:
    if landed_id(call) is None:
        call.services.roles.add_member(call.principal, call.name("role"), call.name("member"))
    return no_content()


@once_managed
def remove_role_member(call: Call) -> Response:
    call.services.roles.remove_member(call.principal, call.name("role"), call.name("member"))
    return no_content()


def role_to_json(role: MemberRole) -> Json:
    return {
        "id": role.id,
        "name": role.name,
        "built_in": role.is_built_in,
        "created_at": moment(role.created_at_ms),
    }


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/roles", list_roles, Action.LIST_CATALOGS),
    ("POST", "/roles", create_role, Action.MANAGE_ROLES),
    ("GET", "/roles/{role}", show_role, Action.LIST_CATALOGS),
    ("PUT", "/roles/{role}", rename_role, Action.MANAGE_ROLES),
    ("DELETE", "/roles/{role}", delete_role, Action.MANAGE_ROLES),
    ("GET", "/roles/{role}/members", list_role_members, Action.MANAGE_ROLES),
    ("PUT", "/roles/{role}/members/{member}", add_role_member, Action.MANAGE_ROLES),
    ("DELETE", "/roles/{role}/members/{member}", remove_role_member, Action.MANAGE_ROLES),
)
