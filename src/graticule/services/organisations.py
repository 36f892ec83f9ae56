"""Organisations, members and API keys; and who a presented credential is.

Transactions and authorisation live here.  A secret leaves this module once, when it is made.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.access import tokens
from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.access.tokens import NewKey
from graticule.db import organisations as organisations_db
from graticule.db.engine import read, retry_serialisation, write
from graticule.domain import waiting
from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    NoSuchApiKey,
    NotFound,
    Unauthenticated,
)
from graticule.domain.identifiers import check_resource_name
from graticule.domain.tenancy import (
    ALL_SCOPES,
    ApiKey,
    Edition,
    Member,
    MemberKind,
    Organisation,
    Principal,
    Role,
    Scope,
)
from graticule.services.expiring_cache import ExpiringCache
from graticule.services.namespaces import Page, page

log = structlog.get_logger(__name__)

DEFAULT_ORGANISATION: Final = "default"
DEFAULT_ADMIN: Final = "admin"
PRINCIPAL_CACHE_MS: Final = 5_000
"""Another replica may honour a revoked key for this long; the one that revokes it stops at once."""
PRINCIPALS_CACHED_MAX: Final = 10_000
KEY_LIFETIME_S_MAX: Final = 10 * 366 * 86_400

_SIGNING: Final = "access tokens"


class Organisations:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        *,
        now_ms: Callable[[], int],
        token_lifetime_s: int,
    ) -> None:
        self._engine = engine
        self._signing_key = keyring.derive(_SIGNING)
        self._verifying_keys = keyring.derive_all(_SIGNING)
        self._now_ms = now_ms
        self._token_lifetime_s = token_lifetime_s
        self._principals: ExpiringCache[bytes, Principal] = ExpiringCache(
            lifetime_ms=PRINCIPAL_CACHE_MS, entries_max=PRINCIPALS_CACHED_MAX, now_ms=now_ms
        )

    # First start

    def bootstrap(self) -> NewKey | None:
        """Make the first organisation, its admin and an API key.

        None when there is an organisation already, or when another replica was quicker: exactly
        one caller ever gets the credential, and it cannot be read again.
        """
        try:
            return retry_serialisation(self._bootstrap)
        except AlreadyExists:
            return None

    def _bootstrap(self) -> NewKey | None:
        now_ms = self._now_ms()
        organisation = Organisation(_new_id(), DEFAULT_ORGANISATION, Edition.ENTERPRISE, now_ms)
        with write(self._engine) as conn:
            if organisations_db.has_any(conn):
                return None
            organisations_db.create(conn, organisation)  # the unique name decides between replicas
            admin = Member(
                _new_id(),
                organisation.id,
                MemberKind.SERVICE_ACCOUNT,
                DEFAULT_ADMIN,
                Role.ADMIN,
                now_ms,
            )
            organisations_db.create_member(conn, admin)
            new = tokens.new_key()
            key = _api_key(new, admin, name="first start", scopes=ALL_SCOPES, now_ms=now_ms)
            organisations_db.create_key(
                conn, key, secret_hash=tokens.hash_secret(new.client_secret.reveal())
            )
        log.info("organisation created", organisation=organisation.name, key_id=new.client_id)
        return new

    def recover_admin(self, organisation: str = DEFAULT_ORGANISATION) -> NewKey:
        """A new key for the first admin, for whoever holds the database but lost the credential.

        Raises:
            NotFound: no such organisation, or its member `admin` is gone or no longer an admin.
        """
        new = tokens.new_key()
        with write(self._engine) as conn:
            found = organisations_db.load_by_name(conn, organisation)
            if found is None:
                raise NotFound(f"no organisation is called `{organisation}`")
            admin = organisations_db.load_member(conn, found.id, DEFAULT_ADMIN)
            if admin is None or admin.role is not Role.ADMIN:
                raise NotFound(f"organisation `{organisation}` has no admin `{DEFAULT_ADMIN}`")
            key = _api_key(new, admin, name="recovery", scopes=ALL_SCOPES, now_ms=self._now_ms())
            organisations_db.create_key(
                conn, key, secret_hash=tokens.hash_secret(new.client_secret.reveal())
            )
        log.warning("admin key recovered", organisation=organisation, key_id=new.client_id)
        return new

    # Who is asking

    def authenticate_bearer(self, token: str) -> Principal:
        """The principal behind an API key in bearer form, or behind an access token.

        One SQL statement, or none within `PRINCIPAL_CACHE_MS` of the last time.

        Raises:
            Unauthenticated: unknown, tampered with, expired or revoked.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._principals.get(digest)
        if known is not None:
            return known
        waiting.announce()
        pair = tokens.split_bearer_key(token)
        if pair is not None:
            principal, ends_at_ms = self._principal_of_key(*pair)
        else:
            claims = tokens.verify(token, now_ms=self._now_ms(), keys=self._verifying_keys)
            principal, key_ends_at_ms = self._principal_of_key(claims.key_id, None)
            principal = _narrowed(principal, claims.scopes)
            ends_at_ms = min(claims.expires_at_ms, key_ends_at_ms or claims.expires_at_ms)
        self._principals.put(digest, principal, ends_at_ms=ends_at_ms)
        return principal

    def issue_token(
        self, client_id: str, client_secret: str, scope: str | None = None
    ) -> tuple[str, int]:
        """An access token for an API key, and its lifetime in seconds (client credentials grant).

        Raises:
            InvalidClient: the pair is not a valid API key.
            InvalidGrant: the key has none of the scopes asked for.
        """
        try:
            principal, ends_at_ms = self._principal_of_key(client_id, client_secret)
        except Unauthenticated as error:
            raise InvalidClient(error.message) from error
        return self._issue(principal, scope, ends_at_ms)

    def exchange_token(self, subject_token: str, scope: str | None = None) -> tuple[str, int]:
        """A fresh access token for one that is still valid (token exchange, as clients refresh).

        Never has more scopes than the token it replaces, nor outlives its API key.

        Raises:
            InvalidGrant: the subject token is not valid any more.
        """
        try:
            principal = self.authenticate_bearer(subject_token)
            _, ends_at_ms = self._principal_of_key(principal.key_id, None)
        except Unauthenticated as error:
            raise InvalidGrant(error.message) from error
        return self._issue(principal, scope, ends_at_ms)

    def _issue(
        self, principal: Principal, scope: str | None, key_ends_at_ms: int | None
    ) -> tuple[str, int]:
        scopes = tokens.parse_scopes(scope, principal.scopes)
        if not scopes:
            raise InvalidGrant(f"the API key has none of the scopes `{scope}`")
        now_ms = self._now_ms()
        lifetime_s = self._token_lifetime_s
        if key_ends_at_ms is not None:
            lifetime_s = max(1, min(lifetime_s, (key_ends_at_ms - now_ms) // 1000))
        token = tokens.issue(
            principal.key_id, scopes, now_ms=now_ms, lifetime_s=lifetime_s, key=self._signing_key
        )
        return token, lifetime_s

    def _principal_of_key(self, key_id: str, secret: str | None) -> tuple[Principal, int | None]:
        """The key's principal and when the key expires.

        `secret` is None when a signature already spoke for the key.
        """
        with read(self._engine) as conn:
            stored = organisations_db.load_credential(conn, key_id)
        if stored is None or (
            secret is not None and not tokens.secret_matches(secret, stored.secret_hash)
        ):
            raise Unauthenticated("no API key has this client id and secret")
        if stored.revoked_at_ms is not None:
            raise Unauthenticated(f"the API key `{key_id}` was revoked")
        if stored.expires_at_ms is not None and stored.expires_at_ms <= self._now_ms():
            raise Unauthenticated(f"the API key `{key_id}` has expired")
        return stored.principal, stored.expires_at_ms

    def organisation(self, principal: Principal) -> Organisation:
        with read(self._engine) as conn:
            found = organisations_db.load(conn, principal.organisation_id)
        if found is None:
            raise NotFound("the organisation is gone")
        return found

    # Members

    def create_member(
        self, principal: Principal, *, name: str, kind: MemberKind, role: Role
    ) -> Member:
        """Add a member.

        Raises:
            AlreadyExists: the organisation has one of that name.
            InvalidName: the name breaks the naming rules.
        """
        require(principal, Action.MANAGE_MEMBERS)
        check_resource_name(name, of="member")
        member = Member(_new_id(), principal.organisation_id, kind, name, role, self._now_ms())

        def create() -> None:
            with write(self._engine) as conn:
                organisations_db.create_member(conn, member)

        retry_serialisation(create)
        log.info("member created", member_id=member.id, role=role)
        return member

    def list_members(self, principal: Principal, *, after: str | None = None, limit: int) -> Page:
        require(principal, Action.MANAGE_MEMBERS)
        with read(self._engine) as conn:
            found = organisations_db.page_of_members(
                conn, principal.organisation_id, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda member: member.id)

    # API keys

    def create_key(
        self,
        principal: Principal,
        *,
        name: str,
        member: str | None = None,
        scopes: Iterable[Scope] | None = None,
        lifetime_s: int | None = None,
    ) -> tuple[ApiKey, NewKey]:
        """Make a key for a member (by id or name; the caller by default).

        Raises:
            Forbidden: scopes that the caller's own credential does not have.
            NotFound: no such member.
        """
        require(principal, Action.MANAGE_KEYS)
        check_resource_name(name, of="API key")
        wanted = frozenset(principal.scopes if scopes is None else scopes)
        if not wanted:
            raise InvalidRequest("an API key needs at least one scope: read, write or manage")
        if wanted - principal.scopes:
            # Otherwise a key that only manages could make itself one that reads everything.
            missing = ", ".join(sorted(wanted - principal.scopes))
            raise Forbidden(f"your credential lacks the scope {missing}, so it cannot grant it")
        if lifetime_s is not None and not 0 < lifetime_s <= KEY_LIFETIME_S_MAX:
            raise InvalidRequest(
                f"the lifetime of an API key is between 1 and {KEY_LIFETIME_S_MAX} seconds"
            )
        new = tokens.new_key()

        def create() -> ApiKey:
            with write(self._engine) as conn:
                owner = organisations_db.load_member(
                    conn, principal.organisation_id, member or principal.member_id
                )
                if owner is None:
                    raise NotFound(f"no member is called `{member}`")
                now_ms = self._now_ms()
                ends_at_ms = None if lifetime_s is None else now_ms + lifetime_s * 1000
                key = _api_key(
                    new, owner, name=name, scopes=wanted, now_ms=now_ms, expires_at_ms=ends_at_ms
                )
                organisations_db.create_key(
                    conn, key, secret_hash=tokens.hash_secret(new.client_secret.reveal())
                )
                return key

        key = retry_serialisation(create)
        log.info("API key created", key_id=key.id, member_id=key.member_id)
        return key, new

    def list_keys(self, principal: Principal, *, after: str | None = None, limit: int) -> Page:
        require(principal, Action.MANAGE_KEYS)
        with read(self._engine) as conn:
            found = organisations_db.page_of_keys(
                conn, principal.organisation_id, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda key: key.id)

    def revoke_key(self, principal: Principal, key_id: str) -> None:
        """End a key, and every access token made with it.

        Raises:
            NoSuchApiKey: no such key, or it was revoked before.
        """
        require(principal, Action.MANAGE_KEYS)

        def revoke() -> bool:
            with write(self._engine) as conn:
                return organisations_db.revoke_key(
                    conn, principal.organisation_id, key_id, now_ms=self._now_ms()
                )

        revoked = retry_serialisation(revoke)
        self._principals.clear()
        if not revoked:
            raise NoSuchApiKey(f"no API key `{key_id}` is in use")
        log.info("API key revoked", key_id=key_id)


def _api_key(
    new: NewKey,
    member: Member,
    *,
    name: str,
    scopes: frozenset[Scope],
    now_ms: int,
    expires_at_ms: int | None = None,
) -> ApiKey:
    return ApiKey(
        id=new.client_id,
        organisation_id=member.organisation_id,
        member_id=member.id,
        name=name,
        scopes=scopes,
        created_at_ms=now_ms,
        expires_at_ms=expires_at_ms,
        revoked_at_ms=None,
    )


def _narrowed(principal: Principal, scopes: frozenset[Scope]) -> Principal:
    return Principal(
        organisation_id=principal.organisation_id,
        member_id=principal.member_id,
        name=principal.name,
        edition=principal.edition,
        role=principal.role,
        scopes=principal.scopes & scopes,
        key_id=principal.key_id,
    )


def _new_id() -> str:
    return str(uuid7())
