"""From a request's headers to a principal."""

from typing import Final, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request

from graticule.api.cookies import REQUESTED_BY, SAFE_METHODS, SESSION, Cookies, is_loopback
from graticule.api.errors import Surface
from graticule.domain.errors import CrossSite, Unauthenticated
from graticule.domain.tenancy import Edition, Principal, Role
from graticule.services.accounts.authentication import Authentication

ANONYMOUS = Principal(
    organisation_id="",
    member_id="",
    name="anonymous",
    edition=Edition.COMMUNITY,
    role=Role.USER,
    scopes=frozenset(),
    key_id="",
)
"""Who asks for what is served to anybody: health, tokens.  May do nothing else."""

_NEEDED: Final = (
    "this server needs a credential: send `Authorization: Bearer <token or API key>`, "
    "or give your client its `credential`"
)


class Authenticate(Protocol):
    def __call__(self, request: Request, surface: Surface, /) -> Principal: ...


class RequestAuthentication:
    """Reads the bearer token (an API key or an access token), else a browser's session.

    Sessions are for the management API: no engine has one.
    """

    def __init__(self, authentication: Authentication, cookies: Cookies) -> None:
        self._authentication = authentication
        self._cookies = cookies

    def __call__(self, request: Request, surface: Surface, /) -> Principal:
        """The principal behind a request.

        PyIceberg without a credential sends `Bearer None`, which is no credential either.

        Raises:
            CrossSite: a session that another site made the browser send.
            Unauthenticated: no credential, or one that is unknown, expired or revoked.
        """
        authorization = request.headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            token = token.strip()
            if scheme.lower() != "bearer" or not token or token == "None":
                raise Unauthenticated(_NEEDED)
            return self._authentication.of_bearer(token)
        token_of_session = (
            self._cookies.get(request.headers, SESSION) if surface is Surface.MANAGEMENT else None
        )
        if token_of_session is None:
            raise Unauthenticated(_NEEDED)
        if request.method not in SAFE_METHODS:
            self._cookies.check_same_origin(request.headers, base_url=str(request.base_url))
            if not request.headers.get(REQUESTED_BY):
                raise CrossSite("a change made with a session needs the header `X-Requested-By`")
        return self._authentication.of_session(token_of_session)


class NoAuthentication:
    """Everybody on this machine is the first admin; no page of another site is."""

    def __init__(self, authentication: Authentication, cookies: Cookies) -> None:
        self._authentication = authentication
        self._cookies = cookies

    def __call__(self, request: Request, _surface: Surface, /) -> Principal:
        """The first admin of the first organisation.

        Raises:
            CrossSite: a browser asks on behalf of another site.
            Unauthenticated: there is no admin.
        """
        if not is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname):
            raise CrossSite("without authentication this server answers to localhost only")
        if request.method not in SAFE_METHODS or "sec-fetch-site" in request.headers:
            site = request.headers.get("sec-fetch-site")
            if site != "none":
                self._cookies.check_same_origin(
                    request.headers, base_url=str(request.base_url), may_be_silent=True
                )
        return self._authentication.of_first_admin()
