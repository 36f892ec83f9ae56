"""`/auth/link/…`: a one-time link with which a user chooses a password, and is signed in."""

from html import escape
from urllib.parse import quote

from starlette.responses import Response

from graticule.access.passwords import CHARACTERS_MIN
from graticule.api.endpoint import Call
from graticule.api.errors import status_of
from graticule.api.management.sessions import keep
from graticule.api.pages.page import as_page, error_line, form_of, go_to, page
from graticule.domain.errors import InvalidRequest
from graticule.domain.secret import Secret

TITLE = "Choose a password"

_PATH = "/auth/link/"


def link_url(server_url: str, token: Secret) -> str:
    """The link.  Secret: whoever has it can take the member over while it works."""
    return f"{server_url}{_PATH}{token.reveal()}"


@as_page(TITLE)
def show_link(call: Call) -> Response:
    call.cookies.check_transport(call.base_url)
    return _form(call)


@as_page(TITLE)
def use_link(call: Call) -> Response:
    call.cookies.check_transport(call.base_url)
    form = form_of(call)
    if form.get("password") != form.get("again"):
        return _form(call, error=InvalidRequest("the two passwords differ"))
    try:
        member = call.services.passwords.use_link(
            call.name("token"), Secret(form.get("password", "")), origin=call.principal.origin
        )
    except InvalidRequest as error:
        return _form(call, error=error)
    response = go_to("/")
    keep(
        call,
        response,
        call.services.sessions.begin(member, method="link", origin=call.principal.origin),
    )
    return response


def _form(call: Call, *, error: InvalidRequest | None = None) -> Response:
    token = call.name("token")
    member = call.services.passwords.member_of_link(token)
    new = f'type="password" autocomplete="new-password" minlength="{CHARACTERS_MIN}" required'
    content = (
        f"{error_line(error.message if error else None)}"
        f"<p>For <b>{escape(member.name)}</b>; at least {CHARACTERS_MIN} characters.</p>\n"
        f'<form method="post" action="{_PATH}{quote(token, safe="")}">\n'
        f'<input type="hidden" name="name" value="{escape(member.name)}" autocomplete="username">\n'
        f'<label>Password <input name="password" {new} autofocus></label>\n'
        f'<label>Once more <input name="again" {new}></label>\n'
        "<button>Keep it</button></form>\n"
    )
    return page(TITLE, content, status=status_of(error)[0] if error else 200)
