"""The few pages that work without the console and without scripts: one look, one set of headers.

What is shown is escaped where it is put in; what a form sends is checked for its origin.
"""

import base64
import hashlib
from collections.abc import Callable
from html import escape
from typing import Final

from starlette.responses import Response

from graticule.api.cookies import SESSION
from graticule.api.endpoint import Call, Handler
from graticule.api.errors import status_of
from graticule.api.response_headers import add_header
from graticule.domain.errors import CatalogError, Overloaded, Unauthenticated
from graticule.domain.tenancy import Principal

_STYLE: Final = (
    "body{font:16px/1.6 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1.5rem;"
    "color:#1c2b33;background:#fff}h1{font-weight:600;font-size:1.4rem}"
    "label{display:block;margin:.8rem 0}input{display:block;width:100%;box-sizing:border-box;"
    "font:inherit;padding:.45rem;border:1px solid #8a9aa3;border-radius:.3rem}"
    "button,.button{display:inline-block;font:inherit;padding:.5rem 1.1rem;margin:.6rem .6rem 0 0;"
    "border:1px solid #1c2b33;border-radius:.3rem;background:#1c2b33;color:#fff;"
    "text-decoration:none;cursor:pointer}button.quiet{background:#fff;color:#1c2b33}"
    ".error{border-left:4px solid #b3261e;padding-left:.8rem}"
    ".warning{background:#fff4d6;padding:.5rem .8rem;border-radius:.3rem}"
    "code{font-size:1.2rem;letter-spacing:.1em}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def page(title: str, content: str, *, status: int = 200) -> Response:
    """A page; `content` is HTML, with everything foreign in it escaped already."""
    document = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · '
        'Graticule</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>\n{content}</main>"
        "</body></html>\n"
    )
    response = Response(document.encode(), status_code=status)
    for name, value in (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", _POLICY),
        ("Cache-Control", "no-store"),
        # Not `no-referrer`: browsers would send `Origin: null` with our own forms.
        ("Referrer-Policy", "same-origin"),
    ):
        add_header(response, name, value)
    return response


def error_line(message: str | None) -> str:
    return "" if message is None else f'<p class="error" role="alert">{escape(message)}</p>\n'


def go_to(path: str) -> Response:
    """Send the browser to another page with GET."""
    response = Response(status_code=303)
    add_header(response, "Location", path)
    add_header(response, "Cache-Control", "no-store")
    return response


def local_path(wanted: str | None) -> str:
    """Where to go on to after signing in: a place of this server, whatever a link says."""
    path = wanted or "/"
    is_local = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_local and path.isprintable() and "\\" not in path else "/"


def as_page(title: str) -> Callable[[Handler], Handler]:
    """Show what goes wrong in a handler to people, as a page of its own."""

    def wrap(handler: Handler) -> Handler:
        def shown(call: Call) -> Response:
            try:
                return handler(call)
            except CatalogError as error:
                response = page(title, error_line(error.message), status=status_of(error)[0])
                if isinstance(error, Overloaded):
                    add_header(response, "Retry-After", str(error.retry_after_s))
                return response

        return shown

    return wrap


def signed_in(call: Call) -> Principal | None:
    """Whose session the browser has; None when it has to sign in."""
    token = call.cookies.get(call.headers, SESSION)
    if token is None:
        return None
    try:
        principal: Principal = call.services.authentication.of_session(token)
    except Unauthenticated:
        return None
    return principal


def form_of(call: Call) -> dict[str, str]:
    """What one of our own forms sent.

    Raises:
        CrossSite: a form of another site.
    """
    call.cookies.check_same_origin(call.headers, base_url=call.base_url)
    return dict(call.form())
