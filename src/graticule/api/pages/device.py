"""`/auth/device`: somebody who is signed in lets a command line act as them, or does not."""

from html import escape
from urllib.parse import urlencode

from starlette.responses import Response

from graticule.access.policy import Action, require
from graticule.api.endpoint import Call
from graticule.api.errors import status_of
from graticule.api.management.devices import DEVICE_PAGE
from graticule.api.pages.page import as_page, error_line, form_of, go_to, page, signed_in
from graticule.api.pages.sign_in import sign_in_path
from graticule.domain.errors import NoSuchDevice
from graticule.domain.tenancy import Principal

TITLE = "Sign in a device"


@as_page(TITLE)
def show_device(call: Call) -> Response:
    principal = signed_in(call)
    if principal is None:
        query = urlencode({"code": call.query["code"]}) if "code" in call.query else ""
        return go_to(sign_in_path(f"{DEVICE_PAGE}?{query}" if query else DEVICE_PAGE))
    require(principal, Action.MANAGE_OWN_ACCOUNT)
    code = call.query.get("code")
    if not code:
        return _ask_for_code()
    return _ask_for_decision(call, principal, code)


@as_page(TITLE)
def decide_device(call: Call) -> Response:
    form = form_of(call)
    principal = signed_in(call)
    if principal is None:
        return go_to(sign_in_path(DEVICE_PAGE))
    approve = form.get("decision") == "approve"
    device = call.services.devices.decide(principal, form.get("code", ""), approve=approve)
    verb = "is signed in" if approve else "was refused"
    return page(TITLE, f"<p>{escape(device.name)} {verb}. You may close this page.</p>\n")


def _ask_for_code(error: NoSuchDevice | None = None) -> Response:
    content = (
        f"{error_line(error.message if error else None)}"
        f'<form action="{DEVICE_PAGE}"><label>The code it shows '
        '<input name="code" autocomplete="off" required autofocus></label>\n'
        "<button>Go on</button></form>\n"
    )
    return page(TITLE, content, status=status_of(error)[0] if error else 200)


def _ask_for_decision(call: Call, principal: Principal, code: str) -> Response:
    try:
        device = call.services.devices.waiting(principal, code)
    except NoSuchDevice as error:
        return _ask_for_code(error)
    content = (
        f"<p><b>{escape(device.name)}</b> wants to act as <b>{escape(principal.name)}</b>. "
        "Go on only if you have just asked for this yourself, and it shows this code:</p>\n"
        f"<p><code>{escape(device.user_code)}</code></p>\n"
        f'<form method="post" action="{DEVICE_PAGE}">\n'
        f'<input type="hidden" name="code" value="{escape(device.user_code)}">\n'
        '<button name="decision" value="approve">Let it in</button>\n'
        '<button class="quiet" name="decision" value="deny">Refuse</button></form>\n'
    )
    return page(TITLE, content)
