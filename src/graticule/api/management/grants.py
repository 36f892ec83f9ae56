"""Grants on catalogs, namespaces, tables and views; and who may do what with one of them."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.object_names import parse_object
from graticule.api.management.representations import moment, page_to_json
from graticule.domain.errors import InvalidRequest
from graticule.domain.grants import Access, Grant, GranteeKind, Privilege, Securable
from graticule.services.accounts.grants import GranteeName

Json = dict[str, Any]
PrivilegeName = Literal["browse", "read", "write", "manage"]


class NewGrant(Body):
    object: Annotated[str, Field(min_length=1)]
    """`catalog`, `catalog/namespace` or `catalog/namespace/table`."""
    privilege: PrivilegeName
    member: str | None = None
    role: str | None = None
    """Id or name of the one, or of the other."""


def list_grants(call: Call) -> Response:
    """Of an object itself (`?object=`), or of a member or role itself (`?member=`, `?role=`)."""
    asked = page_of(call)
    on = call.query.get("object")
    if on:
        found = call.services.grants.list_on(
            call.principal, parse_object(on), after=asked.after, limit=asked.limit
        )
    else:
        to = _grantee(call.query.get("member") or None, call.query.get("role") or None)
        found = call.services.grants.list_to(
            call.principal, to, after=asked.after, limit=asked.limit
        )
    return json_response(page_to_json(found, grant_to_json))


@once_managed
def create_grant(call: Call) -> Response:
    """Replaces what the grantee had on that very object."""
    body = body_of(call, NewGrant)
    landed = landed_id(call)
    if landed is not None:
        given = call.services.grants.get(call.principal, landed)
    else:
        given = call.services.grants.grant(
            call.principal,
            parse_object(body.object),
            _grantee(body.member, body.role),
            privilege_named(body.privilege),
        )
    return json_response(
        grant_to_json(given), status=201, headers={"Location": f"/api/v1/grants/{given.id}"}
    )


def show_grant(call: Call) -> Response:
    found = call.services.grants.get(call.principal, call.name("grant"))
    return json_response(grant_to_json(found))


@once_managed
def revoke_grant(call: Call) -> Response:
    call.services.grants.revoke(call.principal, call.name("grant"))
    return no_content()


def list_access(call: Call) -> Response:
    """Every member who may do anything with `?object=`, all grants and roles taken together."""
    asked = page_of(call)
    on = call.query.get("object")
    if not on:
        raise InvalidRequest("say which object with `?object=`")
    found = call.services.grants.list_access(
        call.principal, parse_object(on), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, _access_to_json))


def privilege_named(name: str) -> Privilege:
    return Privilege[name.upper()]


def grant_to_json(grant: Grant) -> Json:
    return {
        "id": grant.id,
        "object": securable_to_json(grant.on),
        "grantee": {
            "kind": grant.grantee.kind.value,
            "id": grant.grantee.id,
            "name": grant.grantee.name,
        },
        "privilege": str(grant.privilege),
        "granted_by": grant.granted_by,
        "created_at": moment(grant.created_at_ms),
    }


def securable_to_json(on: Securable) -> Json:
    return {
        "kind": on.kind.value,
        "id": on.id,
        "catalog": on.catalog_name,
        "namespace": None if on.namespace is None else list(on.namespace.levels),
        "name": on.name,
    }


def _access_to_json(access: Access) -> Json:
    return {
        "member_id": access.member.id,
        "name": access.member.name,
        "role": access.member.role.value,
        "privilege": str(access.privilege),
    }


def _grantee(member: str | None, role: str | None) -> GranteeName:
    match member, role:
        case str(), None:
            return GranteeName(GranteeKind.MEMBER, member)
        case None, str():
            return GranteeName(GranteeKind.ROLE, role)
        case _:
            raise InvalidRequest("name either a `member` or a `role`")


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/grants", list_grants, Action.MANAGE_GRANTS),
    ("POST", "/grants", create_grant, Action.MANAGE_GRANTS),
    ("GET", "/grants/{grant}", show_grant, Action.MANAGE_GRANTS),
    ("DELETE", "/grants/{grant}", revoke_grant, Action.MANAGE_GRANTS),
    ("GET", "/access", list_access, Action.MANAGE_GRANTS),
)
