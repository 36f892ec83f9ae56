"""Signing in to a browser at an identity provider: the authorisation code flow with PKCE.

What has to be remembered meanwhile is sealed into a cookie: any replica can finish what another
began, and only the browser that began it.

Spec: OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9207.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import quote_plus, urlencode

import structlog

from graticule.access.keyring import Keyring
from graticule.access.oidc import header_of, identity_of, verified_claims
from graticule.domain.errors import Unauthenticated, Unavailable
from graticule.domain.issuer import Issuer
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Member
from graticule.outbound.fetch import Fetcher
from graticule.services.accounts.issuer_documents import IssuerDocuments, json_object
from graticule.services.accounts.issuers import Issuers

log = structlog.get_logger(__name__)

ATTEMPT_LIFETIME_S: Final = 600
SCOPES: Final = "openid profile email"
_PLACE: Final = "sign-in at an issuer"


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and the cookie to give it."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class _Attempt:
    issuer: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    return_to: str
    ends_at_ms: int


class IssuerSignIn:
    def __init__(
        self,
        keyring: Keyring,
        issuers: Issuers,
        documents: IssuerDocuments,
        fetcher: Fetcher,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._keyring = keyring
        self._issuers = issuers
        self._documents = documents
        self._fetcher = fetcher
        self._now_ms = now_ms

    def start(self, name: str, *, redirect_uri: str, return_to: str) -> Started:
        """Begin to sign somebody in at an issuer.

        Raises:
            NoSuchIssuer: none of that name signs people in.
            Unavailable: the issuer does not answer.
        """
        issuer = self._issuers.for_people(name)
        endpoint = self._documents.published(issuer).authorization_endpoint
        if endpoint is None:
            raise Unavailable(f"`{name}` has no page to sign in at")
        attempt = _Attempt(
            issuer=name,
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            redirect_uri=redirect_uri,
            return_to=return_to,
            ends_at_ms=self._now_ms() + ATTEMPT_LIFETIME_S * 1000,
        )
        challenge = hashlib.sha256(attempt.verifier.encode()).digest()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": issuer.client_id,
                "redirect_uri": redirect_uri,
                "scope": SCOPES,
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
                "code_challenge_method": "S256",
            }
        )
        separator = "&" if "?" in endpoint else "?"
        sealed = self._keyring.seal(Secret(json.dumps(asdict(attempt))), bound_to=_PLACE)
        return Started(f"{endpoint}{separator}{query}", sealed)

    def finish(self, cookie: str | None, answer: Mapping[str, str]) -> tuple[Member, str, str]:
        """The member who came back from the issuer, the issuer's name, and where to go on to.

        `cookie` is what `start` gave this browser, `answer` the query it came back with.

        Raises:
            Unauthenticated: another browser, too late, refused there, or nobody here.
            Unavailable: the issuer does not answer.
        """
        attempt = self._attempt(cookie, answer.get("state", ""))
        issuer = self._issuers.for_people(attempt.issuer)
        if answer.get("iss", issuer.url) != issuer.url:
            raise Unauthenticated("this answer is another identity provider's")
        code = answer.get("code")
        if not code:
            log.info("issuer refused sign-in", issuer=issuer.name, error=answer.get("error"))
            raise Unauthenticated(f"`{issuer.name}` did not sign you in")
        token = self._redeem(issuer, attempt, code)
        kid, algorithm = header_of(token)
        claims = verified_claims(
            token,
            self._documents.key(issuer, kid, algorithm),
            issuer,
            audiences=(issuer.client_id or "",),
            now_ms=self._now_ms(),
        )
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), attempt.nonce.encode()
        ):
            raise Unauthenticated("the identity provider answered somebody else's question")
        if claims.get("azp", issuer.client_id) != issuer.client_id:
            raise Unauthenticated("the token is for another client than this server")
        known = self._issuers.recognise(issuer, identity_of(claims, issuer))
        return known.member, issuer.name, attempt.return_to

    def _attempt(self, cookie: str | None, state: str) -> _Attempt:
        try:
            opened = self._keyring.open(cookie or "", bound_to=_PLACE)
        except Unavailable as error:
            raise Unauthenticated(_ANOTHER_BROWSER) from error
        attempt = _Attempt(**json.loads(opened.reveal()))
        if not hmac.compare_digest(attempt.state.encode(), state.encode()):
            raise Unauthenticated(_ANOTHER_BROWSER)
        if attempt.ends_at_ms <= self._now_ms():
            raise Unauthenticated("that took too long; sign in again")
        return attempt

    def _redeem(self, issuer: Issuer, attempt: _Attempt, code: str) -> str:
        """The ID token for a code."""
        endpoint = self._documents.published(issuer).token_endpoint
        if endpoint is None:
            raise Unavailable(f"`{issuer.name}` has no token endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        if issuer.client_secret is None:
            form["client_id"] = issuer.client_id or ""
        else:
            pair = f"{quote_plus(issuer.client_id or '')}:" + quote_plus(
                issuer.client_secret.reveal()
            )
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = self._fetcher.request(
            "POST", endpoint, body=urlencode(form).encode(), headers=headers
        )
        if answer.status != 200:
            log.warning("issuer refused code", issuer=issuer.name, status=answer.status)
            raise Unauthenticated(f"`{issuer.name}` did not sign you in")
        token = json_object(answer, endpoint).get("id_token")
        if not isinstance(token, str):
            raise Unavailable(f"`{issuer.name}` answered without an ID token")
        return token


_ANOTHER_BROWSER: Final = "this sign-in was begun in another browser, or too long ago; begin again"
