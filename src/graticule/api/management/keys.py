"""API keys.  A secret is in one answer only: the one to its creation."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import key_to_json, page_to_json
from graticule.domain.tenancy import Scope


class NewApiKey(Body):
    name: str
    member: str | None = None
    """Id or name; the caller by default."""
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field()] | None = None
    lifetime_s: int | None = None


def list_keys(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.api_keys.list(
        call.principal,
        member=call.query.get("member") or None,
        after=asked.after,
        limit=asked.limit,
    )
    return json_response(page_to_json(found, key_to_json))


@once_managed
def create_key(call: Call) -> Response:
    """Sent again under its Idempotency-Key, it is answered without the secret: that was lost."""
    body = body_of(call, NewApiKey)
    landed = landed_id(call)
    if landed is not None:
        made = call.services.api_keys.get(call.principal, landed)
        return json_response(key_to_json(made), status=201, headers={"Cache-Control": "no-store"})
    key, new = call.services.api_keys.create(
        call.principal,
        name=body.name,
        member=body.member,
        scopes=body.scopes,
        lifetime_s=body.lifetime_s,
    )
    return json_response(
        {
            **key_to_json(key),
            "client_secret": new.client_secret.reveal(),
            "credential": new.credential,
        },
        status=201,
        headers={"Cache-Control": "no-store"},
    )


@once_managed
def revoke_key(call: Call) -> Response:
    call.services.api_keys.revoke(call.principal, call.name("key"))
    return no_content()


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/keys", list_keys, Action.MANAGE_OWN_ACCOUNT),
    ("POST", "/keys", create_key, Action.MANAGE_OWN_ACCOUNT),
    ("DELETE", "/keys/{key}", revoke_key, Action.MANAGE_OWN_ACCOUNT),
)
