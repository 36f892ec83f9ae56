"""Sessions that can do less than the integration they come from: fetched, remembered, and proven.

What a session may do is decided by whoever asks.  Here is how one is got from a token service that
may be slow, strict, or careless about policies.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Final

import structlog

from graticule.domain.catalog import AccessLevel, StorageIntegration
from graticule.domain.errors import (
    NoTokenService,
    SessionsNotNarrowed,
    SessionTooLong,
    StorageRefused,
)
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.services.expiring_cache import ExpiringCache
from graticule.services.integrations.credential_cache import ENTRIES_MAX, CredentialCache
from graticule.storage.aws_errors import shows_lost_access
from graticule.storage.iam_policy import Json, LocationGrant, partition_of, session_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.keys import Keys, TemporaryCredentials
from graticule.storage.session_proof import check_session, proof_folder
from graticule.storage.sts import TokenService

DURATION_S: Final = 3600
SHORTER_DURATIONS_S: Final = (3600, 900)
"""Tried in turn where a longer one is refused: what every role on AWS allows, and the least."""

TOKEN_SERVICES_MAX: Final = 256
TOKEN_SERVICE_TIMEOUT_S: Final = 10.0

OBSTACLE_MS: Final = 10 * 60 * 1000
"""How long a store is believed to have no token service, or a careless one."""

PROOF_MS: Final = 60 * 60 * 1000
"""How long a store that kept a session to its policy is trusted to go on doing so."""

SHORTER_MS: Final = 60 * 60 * 1000
"""How long only shorter sessions are asked for, where a longer one was refused."""

PROOF: Final = ("graticule-verify", "verify")
PROOF_DURATION_S: Final = 900

Version = tuple[str, int]
Refused = Callable[[StorageIntegration], None]
"""Told of an integration whose store denied us access."""

log = structlog.get_logger(__name__)


class Sessions:
    def __init__(
        self,
        identity: ServerIdentity,
        *,
        now_ms: Callable[[], int],
        duration_s: int = DURATION_S,
        outbound: Outbound = PUBLIC_ONLY,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._outbound = outbound
        self._refused: Refused = lambda _integration: None
        self._identity = identity
        self._duration_s = duration_s
        self._cache = CredentialCache(now_ms=now_ms, entries_max=entries_max)
        self._token_service = lru_cache(maxsize=TOKEN_SERVICES_MAX)(
            partial(_token_service, outbound)
        )
        self._obstacles: ExpiringCache[Version, NoTokenService | SessionsNotNarrowed] = (
            ExpiringCache(lifetime_ms=OBSTACLE_MS, entries_max=TOKEN_SERVICES_MAX, now_ms=now_ms)
        )
        self._proofs: ExpiringCache[Version, bool] = ExpiringCache(
            lifetime_ms=PROOF_MS, entries_max=TOKEN_SERVICES_MAX, now_ms=now_ms
        )
        self._shorter_s: ExpiringCache[Version, int] = ExpiringCache(
            lifetime_ms=SHORTER_MS, entries_max=TOKEN_SERVICES_MAX, now_ms=now_ms
        )

    def when_refused(self, tell: Refused) -> None:
        """Have `tell` called whenever a token service denies us access."""
        self._refused = tell

    def narrowed(
        self,
        integration: StorageIntegration,
        purpose: Hashable,
        policy: Callable[[], Json],
        *,
        actor: tuple[str, str],
    ) -> TemporaryCredentials:
        """A session that is known to be kept to the policy.  `purpose` tells policies apart.

        Raises:
            NoTokenService, SessionsNotNarrowed, PolicyTooLarge: there cannot be one.
            StorageRefused, StorageUnavailable: from the token service or the store.
        """
        version = (integration.id, integration.version)
        obstacle = self._obstacles.get(version)
        if obstacle is not None:
            raise type(obstacle)(obstacle.message)
        try:
            if integration.endpoint is not None and not self._proofs.get(version):
                policy()  # what cannot be granted is refused before anybody is asked
                self._cache.get((*version, PROOF), lambda: self._proven(integration))
                self._proofs.put(version, True)
            return self._cache.get(
                (*version, purpose), lambda: self._session(integration, policy(), actor)
            )
        except (NoTokenService, SessionsNotNarrowed) as error:
            self._obstacles.put(version, error)
            raise

    def unproven(
        self,
        integration: StorageIntegration,
        purpose: Hashable,
        policy: Callable[[], Json],
        *,
        actor: tuple[str, str],
    ) -> TemporaryCredentials:
        """As `narrowed`, from whatever store: for the server itself, never to be handed out."""
        return self._cache.get(
            (integration.id, integration.version, "unproven", purpose),
            lambda: self._session(integration, policy(), actor),
        )

    def invalidate(self, integration_id: str) -> None:
        """Forget what is known of an integration."""
        self._cache.invalidate(integration_id)
        self._obstacles.clear()
        self._proofs.clear()
        self._shorter_s.clear()

    def _proven(self, integration: StorageIntegration) -> TemporaryCredentials:
        inside = proof_folder(integration)
        access = AccessLevel.READ if integration.read_only else AccessLevel.WRITE
        policy = session_policy(
            [LocationGrant(inside.prefix, access)],
            partition=partition_of(role_arn=integration.role_arn, region=integration.region),
        )
        session = self._issued(integration, policy, PROOF, duration_s=PROOF_DURATION_S)
        check_session(integration, session, inside, self._outbound)
        log.info("session policies are enforced", integration_id=integration.id)
        return session

    def _session(
        self, integration: StorageIntegration, policy: Json, actor: tuple[str, str]
    ) -> TemporaryCredentials:
        version = (integration.id, integration.version)
        longest_s = self._shorter_s.get(version) or self._duration_s
        durations = [longest_s, *(s for s in SHORTER_DURATIONS_S if s < longest_s)]
        for duration_s in durations:
            try:
                session = self._issued(integration, policy, actor, duration_s=duration_s)
            except SessionTooLong as error:
                if duration_s == durations[-1]:
                    raise
                log.warning(
                    "a shorter session is asked for",
                    integration_id=integration.id,
                    asked_s=duration_s,
                    reason=error.message,
                )
                continue
            if duration_s < longest_s:
                self._shorter_s.put(version, duration_s)
            return session
        raise AssertionError("there is always a last duration")

    def _issued(
        self,
        integration: StorageIntegration,
        policy: Json,
        actor: tuple[str, str],
        *,
        duration_s: int,
    ) -> TemporaryCredentials:
        keys = self._identity.keys_for(integration)
        service = self._token_service(keys, integration.region, integration.endpoint)
        try:
            return service.narrow(
                role_arn=integration.role_arn,
                external_id=integration.external_id,
                policy=policy,
                actor=actor,
                duration_s=duration_s,
            )
        except StorageRefused as error:
            if shows_lost_access(error):
                self._refused(integration)
            raise


def _token_service(
    outbound: Outbound, keys: Keys, region: str, endpoint: str | None
) -> TokenService:
    return TokenService(
        keys,
        region=region,
        endpoint=endpoint,
        read_timeout_s=TOKEN_SERVICE_TIMEOUT_S,
        outbound=outbound,
    )
