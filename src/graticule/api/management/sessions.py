"""Signing in and out of a browser: a session, whose token only ever is in its cookie."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.cookies import SESSION
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.management.bodies import Body, body_of
from graticule.api.management.representations import member_to_json, session_to_json
from graticule.domain.errors import NoSuchSession
from graticule.domain.secret import Secret
from graticule.domain.tenancy import CredentialKind
from graticule.services.accounts.browser_sessions import NewSession


class SignIn(Body):
    organisation: str | None = None
    """Its name; may be left out where there is one, or for the one called `default`."""
    name: str
    password: SecretStr


def sign_in(call: Call) -> Response:
    """With name and password; what is no browser may do so as well, and keep the cookie."""
    call.cookies.check_transport(call.base_url)
    call.cookies.check_same_origin(call.headers, base_url=call.base_url, may_be_silent=True)
    body = body_of(call, SignIn)
    member = call.services.passwords.verify(
        body.name,
        Secret(body.password.get_secret_value()),
        organisation=body.organisation,
        origin=call.principal.origin,
    )
    new = call.services.sessions.begin(member, method="password", origin=call.principal.origin)
    response = json_response(
        {"session": session_to_json(new.session), "member": member_to_json(new.member)},
        status=201,
        headers={"Cache-Control": "no-store"},
    )
    keep(call, response, new)
    return response


def ways_to_sign_in(call: Call) -> Response:
    """What a sign-in page may offer; served to anybody, for nobody is signed in yet."""
    return json_response(
        {
            "password": True,
            "issuers": [
                {"name": issuer.name, "path": f"/auth/login/{quote(issuer.name, safe='')}"}
                for issuer in call.services.issuers.list_all()
                if issuer.client_id is not None
            ],
        }
    )


def keep(call: Call, response: Response, new: NewSession) -> None:
    """Hand the session to the browser, which forgets it when it is over."""
    age_s = (new.session.expires_at_ms - new.session.created_at_ms) // 1000
    call.cookies.put(response, SESSION, new.token.reveal(), max_age_s=age_s)


def sign_out(call: Call) -> Response:
    if call.principal.credential is not CredentialKind.SESSION:
        raise NoSuchSession("this request came without a session")
    call.services.sessions.end(call.principal, call.principal.key_id)
    response = no_content()
    call.cookies.remove(response, SESSION)
    return response


def list_sessions(call: Call) -> Response:
    """The caller's own, the newest first."""
    found = call.services.sessions.list(call.principal)
    return json_response({"items": [session_to_json(one) for one in found], "next": None})


def end_session(call: Call) -> Response:
    call.services.sessions.end(call.principal, call.name("session"))
    return no_content()


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/sign-in", ways_to_sign_in, None),
    ("POST", "/session", sign_in, None),
    ("DELETE", "/session", sign_out, Action.MANAGE_OWN_ACCOUNT),
    ("GET", "/sessions", list_sessions, Action.MANAGE_OWN_ACCOUNT),
    ("DELETE", "/sessions/{session}", end_session, Action.MANAGE_OWN_ACCOUNT),
)
