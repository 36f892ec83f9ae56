"""Access tokens: the grants of the OAuth2 token endpoint, without its HTTP."""

from collections.abc import Callable
from dataclasses import replace

from graticule.access import tokens
from graticule.access.keyring import Keyring
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.errors import InvalidClient, InvalidGrant, InvalidScope, Unauthenticated
from graticule.domain.tenancy import NOWHERE, CredentialKind, Origin, Principal, Role
from graticule.services.accounts.authentication import SIGNING_PURPOSE, Authentication
from graticule.services.events.audit import Audit


class AccessTokens:
    def __init__(
        self,
        keyring: Keyring,
        authentication: Authentication,
        audit: Audit,
        *,
        now_ms: Callable[[], int],
        lifetime_s: int,
    ) -> None:
        self._signing_key = keyring.derive(SIGNING_PURPOSE)
        self._authentication = authentication
        self._audit = audit
        self._now_ms = now_ms
        self._lifetime_s = lifetime_s

    def issue(
        self,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        *,
        origin: Origin = NOWHERE,
    ) -> tuple[str, int]:
        """An access token for an API key, and its lifetime in seconds (client credentials grant).

        Raises:
            InvalidClient: the pair is not a valid API key.
            InvalidScope: the key has none of the scopes asked for.
        """
        try:
            principal, ends_at_ms = self._authentication.of_key(client_id, client_secret)
        except Unauthenticated as error:
            raise InvalidClient(error.message) from error
        return self._issue(replace(principal, origin=origin), scope, ends_at_ms)

    def exchange(
        self, subject_token: str, scope: str | None = None, *, origin: Origin = NOWHERE
    ) -> tuple[str, int]:
        """A fresh access token for one that is still valid (token exchange, as clients refresh).

        Never has more scopes than the token it replaces, nor outlives its API key.  A token of an
        identity provider is exchanged too: for one of ours that ends when it does.

        Raises:
            InvalidGrant: the subject token is not valid any more.
            InvalidScope: it has none of the scopes asked for.
        """
        try:
            principal, ends_at_ms = self._authentication.resolve(subject_token)
        except Unauthenticated as error:
            raise InvalidGrant(error.message) from error
        return self._issue(replace(principal, origin=origin), scope, ends_at_ms)

    def _issue(
        self, principal: Principal, scope: str | None, ends_at_ms: int | None
    ) -> tuple[str, int]:
        scopes = tokens.parse_scopes(scope, principal.scopes)
        if not scopes:
            raise InvalidScope(f"the credential has none of the scopes `{scope}`")
        now_ms = self._now_ms()
        lifetime_s = self._lifetime_s
        if ends_at_ms is not None:
            lifetime_s = max(1, min(lifetime_s, (ends_at_ms - now_ms) // 1000))
        is_key = principal.credential is CredentialKind.API_KEY
        token = tokens.issue(
            principal.key_id if is_key else _subject_of(principal),
            scopes,
            now_ms=now_ms,
            lifetime_s=lifetime_s,
            key=self._signing_key,
            role_max=principal.role if not is_key else Role.ADMIN,
        )
        subject = Subject(SubjectKind.SESSION, principal.key_id, principal.credential.value)
        self._audit.note(principal, EventType.TOKEN_ISSUED, subject)
        return token, lifetime_s


def _subject_of(principal: Principal) -> str:
    """Member and issuer: the token ends when the one is no longer known to be at the other."""
    return f"{tokens.MEMBER}{principal.member_id}:{principal.key_id}"
