"""Who: organisations, members, API keys, and the principal that a request acts as."""

from dataclasses import dataclass, field
from enum import StrEnum

from graticule.domain.idempotency import IdempotentRequest


class Edition(StrEnum):
    """What an organisation has subscribed to.  `community` may not create storage integrations."""

    COMMUNITY = "community"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


class Role(StrEnum):
    """Admins create, change, verify and delete integrations and catalogs; users use them."""

    ADMIN = "admin"
    USER = "user"


class MemberKind(StrEnum):
    USER = "user"
    SERVICE_ACCOUNT = "service_account"


class Scope(StrEnum):
    """What an API key may be used for; it narrows its member's role, never widens it."""

    READ = "read"
    WRITE = "write"
    MANAGE = "manage"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Organisation:
    """A tenant.  Its id is the AWS external id of all its integrations."""

    id: str
    name: str
    edition: Edition
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Member:
    id: str
    organisation_id: str
    kind: MemberKind
    name: str
    role: Role
    created_at_ms: int
    disabled_at_ms: int | None = None
    """Since when none of its credentials works; None while they do."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it may be shown: the secret exists only as a hash.  `id` is the client id."""

    id: str
    organisation_id: str
    member_id: str
    name: str
    scopes: frozenset[Scope]
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    last_used_at_ms: int | None = None
    """To within a minute or so: it is not worth a write per request."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in.  Its token exists only as a hash."""

    id: str
    member_id: str
    method: str
    """How the member signed in: `password`, `link`, or the name of an identity provider."""
    created_at_ms: int
    last_seen_at_ms: int
    expires_at_ms: int


class CredentialKind(StrEnum):
    """What a request showed to be let in."""

    API_KEY = "api_key"
    SESSION = "session"
    ISSUER_TOKEN = "issuer_token"
    NOTHING = "nothing"
    """The server was started to let in everybody from this machine."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, for the audit log, and what makes it the same as another."""

    request_id: str = ""
    address: str = ""
    request: IdempotentRequest | None = None
    """Set for a management change with an `Idempotency-Key`: `services.events` claims it."""


NOWHERE = Origin()
"""The server itself, or whoever holds its host."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The member that a request acts as, with what its credential allows."""

    organisation_id: str
    member_id: str
    name: str
    edition: Edition
    role: Role
    scopes: frozenset[Scope]
    key_id: str
    """Id of that credential: the client id of an API key, the id of a session, an issuer's name."""
    credential: CredentialKind = CredentialKind.API_KEY
    origin: Origin = field(default=NOWHERE, compare=False)


class DeviceState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Device:
    """A command line that waits for somebody to sign it in.  Its code exists only as a hash."""

    code_hash: str
    user_code: str
    name: str
    state: DeviceState
    member_id: str | None
    scopes: frozenset[Scope]
    created_at_ms: int
    polled_at_ms: int | None
    expires_at_ms: int
