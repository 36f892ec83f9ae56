"""Who am I, and whose: the caller, its password and its organisation."""

from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.management.bodies import Body, body_of
from graticule.api.management.representations import organisation_to_json, principal_to_json
from graticule.domain.secret import Secret


class PasswordChange(Body):
    current_password: SecretStr
    new_password: SecretStr


def show_me(call: Call) -> Response:
    return json_response(principal_to_json(call.principal))


def show_organisation(call: Call) -> Response:
    found = call.services.organisations.organisation(call.principal)
    return json_response(organisation_to_json(found))


def change_password(call: Call) -> Response:
    body = body_of(call, PasswordChange)
    call.services.passwords.change(
        call.principal,
        Secret(body.current_password.get_secret_value()),
        Secret(body.new_password.get_secret_value()),
    )
    return no_content()


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/me", show_me, Action.LIST_CATALOGS),
    ("POST", "/me/password", change_password, Action.MANAGE_OWN_ACCOUNT),
    ("GET", "/organisation", show_organisation, Action.LIST_CATALOGS),
)
