"""Identity providers that the operator trusts, and what one of their tokens says of somebody."""

from dataclasses import dataclass

from graticule.domain.secret import Secret
from graticule.domain.tenancy import Role, Scope


@dataclass(frozen=True, slots=True)
class Issuer:
    """An OpenID Connect provider, and what its claims mean here."""

    id: str
    name: str
    url: str
    """Exactly what the provider writes into `iss`."""
    audiences: tuple[str, ...]
    """A bearer token must name one of them in `aud`."""
    client_id: str | None
    """As which this server signs people in there; None if it only accepts bearer tokens."""
    client_secret: Secret | None
    organisation_id: str
    """Whose members they are, unless `organisation_claim` says."""
    organisation_claim: str | None
    """The claim that has the name of the organisation."""
    role_claim: str | None
    """The claim that has the role, or a list; `a.b` is `b` inside `a`.  None: admins decide."""
    admin_values: tuple[str, ...]
    user_values: tuple[str, ...]
    """What `role_claim` must have of; empty lets in everybody as a user."""
    name_claim: str
    auto_provision: bool
    """Whether somebody new becomes a member, or has to be linked with one by an admin."""
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a verified token is about."""

    subject: str
    name: str
    organisation: str | None
    """The name that `organisation_claim` gives; None for the issuer's own organisation."""
    role: Role | None
    """What `role_claim` gives; None if there is no such claim configured."""
    scopes: frozenset[Scope]
    issued_at_ms: int
    expires_at_ms: int
