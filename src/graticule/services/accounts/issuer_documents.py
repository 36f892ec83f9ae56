"""What issuers publish: their endpoints and signing keys, fetched, checked and kept for a while.

Nothing a caller sends decides where is connected to: only URLs that the operator configured are
asked, and what their discovery documents name.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import jwt
import structlog

from graticule.access.oidc import SigningKeys
from graticule.domain.errors import Unauthenticated, Unavailable
from graticule.domain.issuer import Issuer
from graticule.outbound.fetch import Fetched, Fetcher

log = structlog.get_logger(__name__)

T = TypeVar("T")

FRESH_MS: Final = 60 * 60_000
"""After this long the documents are fetched again."""
STALE_MS: Final = 24 * 60 * 60_000
"""How long they are used while the issuer does not answer."""
COOL_DOWN_MS: Final = 30_000
"""Between two fetches of an issuer's documents, whatever key ids tokens name and whether it works:
a flood of forged tokens must not become one of requests."""

_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Published:
    """What an issuer says of itself."""

    authorization_endpoint: str | None
    token_endpoint: str | None
    keys: SigningKeys
    fetched_at_ms: int


class IssuerDocuments:
    def __init__(self, fetcher: Fetcher, *, now_ms: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._now_ms = now_ms
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._known: dict[str, Published] = {}
        self._tried_at_ms: dict[str, int] = {}

    def key(self, issuer: Issuer, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """The key that verifies a token; an unknown one may be new, and is looked for once.

        Raises:
            Unauthenticated: the issuer has no such key.
            Unavailable: the issuer does not answer, and nothing recent is known of it.
        """
        published = self.published(issuer)
        found = published.keys.find(kid, algorithm)
        if found is None:
            published = self.published(issuer, newer_than_ms=published.fetched_at_ms)
            found = published.keys.find(kid, algorithm)
        if found is None:
            raise Unauthenticated(f"the token is signed with a key that `{issuer.name}` has not")
        return found

    def published(self, issuer: Issuer, *, newer_than_ms: int | None = None) -> Published:
        """The issuer's documents: kept ones while they are fresh, or while it does not answer.

        Raises:
            Unavailable: it does not answer, and nothing recent is known.
        """
        with self._guard:
            turn = self._turns.setdefault(issuer.url, threading.Lock())
        known = self._known.get(issuer.url)
        if known is not None and newer_than_ms is None and self._age_ms(known) < FRESH_MS:
            return known
        with turn:  # one fetch, however many ask
            known = self._known.get(issuer.url)
            if known is not None and self._is_enough(known, newer_than_ms):
                return known
            tried_at_ms = self._tried_at_ms.get(issuer.url)
            now_ms = self._now_ms()
            if tried_at_ms is None or now_ms - tried_at_ms >= COOL_DOWN_MS:
                self._tried_at_ms[issuer.url] = now_ms
                try:
                    self._known[issuer.url] = self.fetch(issuer)
                    return self._known[issuer.url]
                except Unavailable as error:
                    log.warning("issuer not reached", issuer=issuer.name, reason=error.message)
            if known is not None and self._age_ms(known) < STALE_MS:
                return known
        raise Unavailable(f"the identity provider `{issuer.name}` does not answer; try again")

    def _is_enough(self, known: Published, newer_than_ms: int | None) -> bool:
        if newer_than_ms is not None:
            return known.fetched_at_ms > newer_than_ms
        return self._age_ms(known) < FRESH_MS

    def _age_ms(self, known: Published) -> int:
        return self._now_ms() - known.fetched_at_ms

    def fetch(self, issuer: Issuer) -> Published:
        """Ask the issuer now.

        Raises:
            Unavailable: it does not answer, or says what it must not.
        """
        document = self._json(issuer.url.rstrip("/") + _DISCOVERY_PATH)
        if document.get("issuer") != issuer.url:
            raise Unavailable(
                f"`{issuer.url}` calls itself `{str(document.get('issuer'))[:200]}`; configure it "
                "exactly as it does"
            )
        jwks_url = _endpoint(document, "jwks_uri", issuer)
        if jwks_url is None:
            raise Unavailable(f"`{issuer.url}` names no `jwks_uri`")
        try:
            keys = SigningKeys(self._json(jwks_url))
        except ValueError as error:
            raise Unavailable(f"`{jwks_url}` is no key set: {error}") from error
        return Published(
            authorization_endpoint=_endpoint(document, "authorization_endpoint", issuer),
            token_endpoint=_endpoint(document, "token_endpoint", issuer),
            keys=keys,
            fetched_at_ms=self._now_ms(),
        )

    def _json(self, url: str) -> dict[str, Any]:
        answer = self._fetcher.request("GET", url, headers={"Accept": "application/json"})
        if answer.status != 200:
            raise Unavailable(f"`{url}` answered {answer.status}")
        return json_object(answer, url)


def json_object(answer: Fetched, url: str) -> dict[str, Any]:
    """The body of an answer as an object.

    Raises:
        Unavailable: it is none.
    """
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"`{url}` answered no JSON") from error
    if not isinstance(document, dict):
        raise Unavailable(f"`{url}` answered no JSON object")
    return document


def _endpoint(document: dict[str, Any], name: str, issuer: Issuer) -> str | None:
    url = document.get(name)
    if url is None:
        return None
    allowed = ("https://",) if issuer.url.startswith("https://") else ("https://", "http://")
    if not isinstance(url, str) or not url.startswith(allowed) or not url.isprintable():
        raise Unavailable(f"`{issuer.url}` names a `{name}` that is no {allowed[0]} URL")
    return url
