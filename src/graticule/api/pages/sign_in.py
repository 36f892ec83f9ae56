"""`/auth/login`: name and password."""

from html import escape
from urllib.parse import quote

from starlette.responses import Response

from graticule.api.endpoint import Call
from graticule.api.errors import status_of
from graticule.api.management.sessions import keep
from graticule.api.pages.page import as_page, error_line, form_of, go_to, local_path, page
from graticule.domain.errors import Unauthenticated
from graticule.domain.secret import Secret

SIGN_IN_PAGE = "/auth/login"
TITLE = "Sign in"

_WARNING = (
    '<p class="warning">This server speaks plain HTTP: whoever can listen on the network can take '
    "your session over.</p>\n"
)


def sign_in_path(return_to: str) -> str:
    return f"{SIGN_IN_PAGE}?return_to={quote(return_to, safe='')}"


@as_page(TITLE)
def show_sign_in(call: Call) -> Response:
    call.cookies.check_transport(call.base_url)
    return _form(call, local_path(call.query.get("return_to")))


@as_page(TITLE)
def sign_in(call: Call) -> Response:
    call.cookies.check_transport(call.base_url)
    form = form_of(call)
    return_to = local_path(form.get("return_to"))
    try:
        member = call.services.passwords.verify(
            form.get("name", ""),
            Secret(form.get("password", "")),
            organisation=form.get("organisation") or None,
            origin=call.principal.origin,
        )
    except Unauthenticated as error:
        return _form(call, return_to, error=error, name=form.get("name", ""))
    response = go_to(return_to)
    keep(
        call,
        response,
        call.services.sessions.begin(member, method="password", origin=call.principal.origin),
    )
    return response


def _form(
    call: Call, return_to: str, *, error: Unauthenticated | None = None, name: str = ""
) -> Response:
    content = (
        f"{_WARNING if call.cookies.is_insecure else ''}"
        f"{error_line(error.message if error else None)}"
        f'<form method="post" action="{SIGN_IN_PAGE}">\n'
        f'<input type="hidden" name="return_to" value="{escape(return_to)}">\n'
        f'<label>Name <input name="name" value="{escape(name)}" autocomplete="username" '
        "required autofocus></label>\n"
        '<label>Password <input name="password" type="password" '
        'autocomplete="current-password" required></label>\n'
        '<label>Organisation <input name="organisation" autocomplete="organization" '
        'placeholder="if you have several"></label>\n'
        "<button>Sign in</button></form>\n"
        f"{_issuers(call, return_to)}"
    )
    return page(TITLE, content, status=status_of(error)[0] if error else 200)


def _issuers(call: Call, return_to: str) -> str:
    """Ways to sign in elsewhere."""
    query = f"return_to={quote(return_to, safe='')}"
    return "".join(
        f'<a class="button" href="{SIGN_IN_PAGE}/{quote(issuer.name, safe="")}?{query}">'
        f"Sign in with {escape(issuer.name)}</a>\n"
        for issuer in call.services.issuers.list_all()
        if issuer.client_id is not None
    )
