"""Signing in the command line by a browser elsewhere: RFC 8628, but for the client id."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Json, Line, json_response, no_content
from graticule.api.management.bodies import Body, body_of
from graticule.domain.errors import InvalidRequest, UnsupportedGrantType
from graticule.domain.tenancy import Device
from graticule.services.accounts.devices import CODE_LIFETIME_S, KEY_LIFETIME_S, POLL_INTERVAL_S

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE_PAGE = "/auth/device"


class NewDevice(Body):
    name: str = ""
    """As which its user will recognise it."""


class DeviceDecision(Body):
    approve: bool


def start_device(call: Call) -> Response:
    new = call.services.devices.start(body_of(call, NewDevice).name)
    page = call.cookies.url(call.base_url) + DEVICE_PAGE
    return json_response(
        {
            "device_code": new.code.reveal(),
            "user_code": new.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?code={new.user_code}",
            "expires_in": CODE_LIFETIME_S,
            "interval": POLL_INTERVAL_S,
        },
        headers={"Cache-Control": "no-store"},
    )


def poll_device(call: Call) -> Response:
    form = call.form()
    if form.get("grant_type") != DEVICE_CODE_GRANT:
        raise UnsupportedGrantType(f"grant_type must be `{DEVICE_CODE_GRANT}`")
    code = form.get("device_code")
    if not code:
        raise InvalidRequest("`device_code` is missing")
    key = call.services.devices.poll(code)
    return json_response(
        {
            "access_token": f"{key.client_id}.{key.client_secret.reveal()}",
            "token_type": "bearer",
            "expires_in": KEY_LIFETIME_S,
        },
        headers={"Cache-Control": "no-store"},
    )


def show_device(call: Call) -> Response:
    return json_response(_shown(call.services.devices.waiting(call.principal, call.name("code"))))


def decide_device(call: Call) -> Response:
    body = body_of(call, DeviceDecision)
    call.services.devices.decide(call.principal, call.name("code"), approve=body.approve)
    return no_content()


def _shown(device: Device) -> Json:
    return {"user_code": device.user_code, "name": device.name}


ROUTES: Final[Sequence[Line]] = (
    ("POST", "/device", start_device, None),
    ("GET", "/device/{code}", show_device, Action.MANAGE_OWN_ACCOUNT),
    ("POST", "/device/{code}", decide_device, Action.MANAGE_OWN_ACCOUNT),
)
