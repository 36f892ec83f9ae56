"""Who a presented credential is: from a bearer token to a principal.

Knows nothing of HTTP, and makes no credential.  What it found is kept for a moment, so that a
request usually costs one look into a dictionary.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlalchemy import Engine

from graticule.access import tokens
from graticule.access.keyring import Keyring
from graticule.access.oidc import issuer_url_of
from graticule.db import api_keys as api_keys_db
from graticule.db import issuers as issuers_db
from graticule.db import members as members_db
from graticule.db import sessions as sessions_db
from graticule.db.engine import read
from graticule.domain import waiting
from graticule.domain.errors import Unauthenticated
from graticule.domain.tenancy import ALL_SCOPES, CredentialKind, Principal
from graticule.services.accounts.activity import Activity
from graticule.services.accounts.issuers import Issuers, lesser_role
from graticule.services.expiring_cache import ExpiringCache

PRINCIPAL_CACHE_MS: Final = 5_000
"""The revocation bound: another process may honour what was revoked, disabled or taken from a
member for this long.  The one that did it stops at once."""
PRINCIPALS_CACHED_MAX: Final = 10_000

SIGNING_PURPOSE: Final = "access tokens"
SESSION_PREFIX: Final = "gses_"

_FIRST_ADMIN: Final = b"the first admin"
_DISABLED: Final = "the member that this credential belongs to is disabled"


class Authentication:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        activity: Activity,
        issuers: Issuers,
        *,
        now_ms: Callable[[], int],
        session_idle_s: int,
    ) -> None:
        self._engine = engine
        self._verifying_keys = keyring.derive_all(SIGNING_PURPOSE)
        self._activity = activity
        self._issuers = issuers
        self._now_ms = now_ms
        self._session_idle_ms = session_idle_s * 1000
        self._principals: ExpiringCache[bytes, Principal] = ExpiringCache(
            lifetime_ms=PRINCIPAL_CACHE_MS, entries_max=PRINCIPALS_CACHED_MAX, now_ms=now_ms
        )

    def of_bearer(self, token: str) -> Principal:
        """The principal behind an API key in bearer form, an access token, or an issuer's token.

        One SQL statement, or none within `PRINCIPAL_CACHE_MS` of the last time.

        Raises:
            Unauthenticated: unknown, tampered with, expired, revoked, or of a disabled member.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._principals.get(digest)
        if known is not None:
            return known
        waiting.announce()
        principal, ends_at_ms = self.resolve(token)
        self._principals.put(digest, principal, ends_at_ms=ends_at_ms)
        return principal

    def resolve(self, token: str) -> tuple[Principal, int | None]:
        """As `of_bearer`, and when the credential ends; always asks the database.

        Raises:
            Unauthenticated: as there.
            Unavailable: an identity provider's keys are needed and cannot be had.
        """
        pair = tokens.split_bearer_key(token)
        if pair is not None:
            return self.of_key(*pair)
        url = issuer_url_of(token)
        if url is not None and url != tokens.ISSUER:
            return self._issuers.principal_of(token, url)
        claims = tokens.verify(token, now_ms=self._now_ms(), keys=self._verifying_keys)
        if claims.subject.startswith(tokens.MEMBER):
            principal = self._of_member(claims.subject)
            ends_at_ms = claims.expires_at_ms
        else:
            principal, key_ends_at_ms = self.of_key(claims.subject)
            ends_at_ms = min(claims.expires_at_ms, key_ends_at_ms or claims.expires_at_ms)
        narrowed = replace(
            principal,
            scopes=principal.scopes & claims.scopes,
            role=lesser_role(principal.role, claims.role_max),
        )
        return narrowed, ends_at_ms

    def _of_member(self, subject: str) -> Principal:
        """Behind an access token that was exchanged for an issuer's."""
        member_id, _, issuer = subject.removeprefix(tokens.MEMBER).partition(":")
        with read(self._engine) as conn:
            found = issuers_db.load_linked(conn, member_id, issuer)
        if found is None:
            raise Unauthenticated("nobody at that identity provider is a member here any more")
        member, edition = found
        if member.disabled_at_ms is not None:
            raise Unauthenticated(_DISABLED)
        return Principal(
            organisation_id=member.organisation_id,
            member_id=member.id,
            name=member.name,
            edition=edition,
            role=member.role,
            scopes=ALL_SCOPES,
            key_id=issuer,
            credential=CredentialKind.ISSUER_TOKEN,
        )

    def of_key(self, key_id: str, secret: str | None = None) -> tuple[Principal, int | None]:
        """An API key's principal and when the key expires; always asks the database.

        `secret` is None when a signature already spoke for the key.

        Raises:
            Unauthenticated: unknown, wrong secret, expired, revoked, or of a disabled member.
        """
        with read(self._engine) as conn:
            stored = api_keys_db.load_credential(conn, key_id)
        if stored is None or (
            secret is not None and not tokens.secret_matches(secret, stored.secret_hash)
        ):
            raise Unauthenticated("no API key has this client id and secret")
        if stored.revoked_at_ms is not None:
            raise Unauthenticated(f"the API key `{key_id}` was revoked")
        if stored.expires_at_ms is not None and stored.expires_at_ms <= self._now_ms():
            raise Unauthenticated(f"the API key `{key_id}` has expired")
        if stored.member_disabled_at_ms is not None:
            raise Unauthenticated(_DISABLED)
        self._activity.key_used(key_id, known_ms=stored.last_used_at_ms)
        return stored.principal, stored.expires_at_ms

    def of_session(self, token: str) -> Principal:
        """The principal behind the cookie of a browser that is signed in.

        Raises:
            Unauthenticated: unknown, signed out, over, idle for too long, or of a disabled member.
        """
        digest = hashlib.sha256(b"session " + token.encode()).digest()
        known = self._principals.get(digest)
        if known is not None:
            return known
        now_ms = self._now_ms()
        with read(self._engine) as conn:
            stored = sessions_db.load_credential(conn, tokens.hash_secret(token))
        if stored is None:
            raise Unauthenticated("you are signed out; sign in again")
        ends_at_ms = min(stored.expires_at_ms, stored.last_seen_at_ms + self._session_idle_ms)
        if ends_at_ms <= now_ms:
            raise Unauthenticated("your session is over; sign in again")
        if stored.member_disabled_at_ms is not None:
            raise Unauthenticated(_DISABLED)
        self._activity.session_seen(stored.principal.key_id, known_ms=stored.last_seen_at_ms)
        # Not until it is idle: it is being used.
        self._principals.put(digest, stored.principal, ends_at_ms=stored.expires_at_ms)
        return stored.principal

    def of_first_admin(self) -> Principal:
        """Whoever made the server, for one that was started to let everybody in.

        Raises:
            Unauthenticated: there is no admin.
        """
        known = self._principals.get(_FIRST_ADMIN)
        if known is not None:
            return known
        with read(self._engine) as conn:
            found = members_db.load_first_admin(conn)
        if found is None:
            raise Unauthenticated("this server has no admin that is not disabled")
        member, edition = found
        principal = Principal(
            organisation_id=member.organisation_id,
            member_id=member.id,
            name=member.name,
            edition=edition,
            role=member.role,
            scopes=ALL_SCOPES,
            key_id="",
            credential=CredentialKind.NOTHING,
        )
        self._principals.put(_FIRST_ADMIN, principal)
        return principal

    def forget(self) -> None:
        """Ask the database about every credential anew: something was taken from somebody."""
        self._principals.clear()
