"""From an `Authorization` header to a principal."""

from graticule.domain.errors import Unauthenticated
from graticule.domain.tenancy import Edition, Principal, Role
from graticule.services.authentication import Authentication

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


class BearerAuthentication:
    """Reads the bearer token: an API key or an access token of this server."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    def __call__(self, authorization: str | None, /) -> Principal:
        """The principal behind the header.

        PyIceberg without a credential sends `Bearer None`, which is no credential either.

        Raises:
            Unauthenticated: no token, or one that is unknown, expired or revoked.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or token == "None":
            raise Unauthenticated(
                "this server needs a credential: send `Authorization: Bearer <token or API key>`, "
                "or give your client its `credential`"
            )
        return self._authentication.of_bearer(token)
