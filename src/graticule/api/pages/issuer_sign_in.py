"""`/auth/login/…` and `/auth/callback`: to an identity provider, and back from it."""

from starlette.responses import Response

from graticule.api.endpoint import Call
from graticule.api.management.sessions import keep
from graticule.api.pages.page import as_page, go_to, local_path
from graticule.services.accounts.issuer_sign_in import ATTEMPT_LIFETIME_S

TITLE = "Sign in"
CALLBACK = "/auth/callback"

_COOKIE = "graticule-sign-in"


@as_page(TITLE)
def start(call: Call) -> Response:
    call.cookies.check_transport(call.base_url)
    started = call.services.issuer_sign_in.start(
        call.name("issuer"),
        redirect_uri=call.cookies.url(call.base_url) + CALLBACK,
        return_to=local_path(call.query.get("return_to")),
    )
    response = go_to(started.url)
    call.cookies.put(response, _COOKIE, started.cookie, max_age_s=ATTEMPT_LIFETIME_S)
    return response


@as_page(TITLE)
def finish(call: Call) -> Response:
    member, issuer, return_to = call.services.issuer_sign_in.finish(
        call.cookies.get(call.headers, _COOKIE), call.query
    )
    response = go_to(return_to)
    call.cookies.remove(response, _COOKIE)
    keep(
        call,
        response,
        call.services.sessions.begin(member, method=issuer, origin=call.principal.origin),
    )
    return response
