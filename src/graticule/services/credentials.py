"""Vends storage credentials that reach only what they are for, and keeps the server's own.

Where authorisation ends: whoever calls `vend` has decided that the principal may have the grants.
Here they become a session policy, and nothing wider than a table or its sources ever leaves.
"""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from graticule.domain import waiting
from graticule.domain.catalog import AccessLevel, StorageCredential, StorageIntegration
from graticule.domain.errors import InvalidLocation, NoTokenService
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.services.credential_cache import ENTRIES_MAX, CredentialCache
from graticule.services.expiring_cache import ExpiringCache
from graticule.storage.iam_policy import Json, LocationGrant, partition_of, session_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.keys import Keys, TemporaryCredentials
from graticule.storage.s3 import ObjectStore
from graticule.storage.sts import TokenService

DURATION_S: Final = 3600
"""The most a session lasts when the server itself runs under a role (role chaining)."""

TOKEN_SERVICES_MAX: Final = 256

WITHOUT_TOKEN_SERVICE_MS: Final = 10 * 60 * 1000
"""How long a store is believed to have no token service before it is asked again."""

SERVER_NAME: Final = "graticule-server"


class Credentials:
    """Temporary credentials for clients, and one `ObjectStore` per integration for the server.

    A credential is shared by everybody who is the same member and asks for the same grants: the
    session's name tells the bucket's owner who acted, so two members never share one.
    """

    def __init__(
        self,
        *,
        identity: ServerIdentity,
        now_ms: Callable[[], int],
        duration_s: int = DURATION_S,
        outbound: Outbound = PUBLIC_ONLY,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._identity = identity
        self._duration_s = duration_s
        self._outbound = outbound
        self._cache = CredentialCache(now_ms=now_ms, entries_max=entries_max)
        self._token_service = lru_cache(maxsize=TOKEN_SERVICES_MAX)(
            partial(_token_service, outbound)
        )
        self._without: ExpiringCache[tuple[str, int], str] = ExpiringCache(
            lifetime_ms=WITHOUT_TOKEN_SERVICE_MS, entries_max=TOKEN_SERVICES_MAX, now_ms=now_ms
        )
        self._guard = threading.Lock()
        self._stores: dict[str, tuple[int, ObjectStore]] = {}

    def vend(
        self,
        principal: Principal,
        integration: StorageIntegration,
        grants: Sequence[LocationGrant],
    ) -> StorageCredential:
        """A credential for exactly `grants`, from memory or from the token service.

        Raises:
            InvalidLocation: a grant lies outside the integration, or is no safe location.
            NoTokenService: the store has none.
            StorageRefused: the token service said no, or one policy cannot hold the grants.
            StorageUnavailable: the token service does not answer.
        """
        wanted = capped(integration, grants)
        credentials = self._narrowed(principal, integration, wanted)
        writes = any(grant.access is AccessLevel.WRITE for grant in wanted)
        return StorageCredential(
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            session_token=credentials.session_token,
            expires_at_ms=credentials.expires_at_ms,
            access=AccessLevel.WRITE if writes else AccessLevel.READ,
            locations=tuple(grant.location for grant in wanted),
        )

    def signing_keys(
        self,
        principal: Principal,
        integration: StorageIntegration,
        grants: Sequence[LocationGrant],
    ) -> Keys:
        """What signs requests in the principal's name: a session for exactly `grants`.

        A store without a token service leaves nothing but the integration's own keys.  There it is
        the check of each request alone that keeps tables apart.

        Raises:
            InvalidLocation, StorageRefused, StorageUnavailable: as for `vend`.
        """
        try:
            return self._narrowed(principal, integration, capped(integration, grants))
        except NoTokenService:
            if integration.access_keys is None:
                raise
            return integration.access_keys

    def store_for(self, integration: StorageIntegration) -> ObjectStore:
        """The server's own view of the integration: its path, and nothing beside it."""
        waiting.announce()
        with self._guard:
            version, store = self._stores.get(integration.id, (None, None))
            if store is None or version != integration.version:
                store = ObjectStore(
                    integration.location,
                    region=integration.region,
                    endpoint=integration.endpoint,
                    path_style=integration.path_style,
                    credentials=lambda: self._server_keys(integration),
                    read_only=integration.read_only,
                    requester_pays=integration.requester_pays,
                    kms_key_arn=integration.kms_key_arn,
                    outbound=self._outbound,
                )
                self._stores[integration.id] = (integration.version, store)
            return store

    def invalidate(self, integration_id: str) -> None:
        """Forget the integration: it was changed or deleted.

        What was vended lives on until it expires; only the bucket's owner can revoke it.
        """
        with self._guard:
            self._stores.pop(integration_id, None)
        self._cache.invalidate(integration_id)

    def _narrowed(
        self,
        principal: Principal,
        integration: StorageIntegration,
        grants: tuple[LocationGrant, ...],
    ) -> TemporaryCredentials:
        version = (integration.id, integration.version)
        known = self._without.get(version)
        if known is not None:
            raise NoTokenService(known)
        try:
            return self._cache.get(
                (*version, principal.member_id, grants),
                lambda: self._vended_session(principal, integration, grants),
            )
        except NoTokenService as error:
            self._without.put(version, error.message)
            raise

    def _vended_session(
        self,
        principal: Principal,
        integration: StorageIntegration,
        grants: Sequence[LocationGrant],
    ) -> TemporaryCredentials:
        for grant in grants:
            if not Location.parse(grant.location).is_within(integration.location):
                raise InvalidLocation(
                    f"`{grant.location}` is not inside storage integration `{integration.name}` "
                    f"at `{integration.location}`"
                )
        policy = session_policy(grants, partition=_partition(integration))
        return self._session(integration, policy, principal.name, principal.member_id)

    def _server_keys(self, integration: StorageIntegration) -> Keys | None:
        if integration.is_anonymous:
            return None
        if integration.access_keys is not None:
            return integration.access_keys
        return self._cache.get(
            (integration.id, integration.version, SERVER_NAME),
            lambda: self._server_session(integration),
        )

    def _server_session(self, integration: StorageIntegration) -> TemporaryCredentials:
        access = AccessLevel.READ if integration.read_only else AccessLevel.WRITE
        everything = LocationGrant(integration.location.prefix, access)
        policy = session_policy([everything], partition=_partition(integration), whole_bucket=True)
        return self._session(integration, policy, SERVER_NAME, integration.id)

    def _session(
        self, integration: StorageIntegration, policy: Json, name: str, identifier: str
    ) -> TemporaryCredentials:
        keys = self._identity.keys_for(integration)
        service = self._token_service(keys, integration.region, integration.endpoint)
        return service.narrow(
            role_arn=integration.role_arn,
            external_id=integration.external_id,
            policy=policy,
            actor=(name, identifier),
            duration_s=self._duration_s,
        )


def capped(
    integration: StorageIntegration, grants: Sequence[LocationGrant]
) -> tuple[LocationGrant, ...]:
    """The grants as far as the integration goes: one that is read-only grants no writing."""
    if not integration.read_only:
        return tuple(grants)
    return tuple(LocationGrant(grant.location, AccessLevel.READ) for grant in grants)


def place_config(integration: StorageIntegration) -> dict[str, str]:
    """Where the integration's store is, for clients that bring their own credentials."""
    config = {"client.region": integration.region, "s3.region": integration.region}
    if integration.endpoint is not None:
        config["s3.endpoint"] = integration.endpoint
        config["s3.path-style-access"] = "true" if integration.path_style else "false"
    return config


def client_config(
    integration: StorageIntegration,
    credential: StorageCredential,
    *,
    refresh_endpoint: str | None,
) -> dict[str, str]:
    """The properties an Iceberg client needs to use `credential`.

    For `config` and for `storage-credentials` alike: old clients read only the first.  The region
    is always there, or PyIceberg asks the network for it.
    """
    config = place_config(integration) | {
        "s3.access-key-id": credential.access_key_id,
        "s3.secret-access-key": credential.secret_access_key.reveal(),
        "s3.session-token": credential.session_token.reveal(),
        "s3.session-token-expires-at-ms": str(credential.expires_at_ms),
    }
    if refresh_endpoint is not None:
        config["client.refresh-credentials-endpoint"] = refresh_endpoint
    return config


def _partition(integration: StorageIntegration) -> str:
    return partition_of(role_arn=integration.role_arn, region=integration.region)


def _token_service(
    outbound: Outbound, keys: Keys, region: str, endpoint: str | None
) -> TokenService:
    return TokenService(keys, region=region, endpoint=endpoint, outbound=outbound)
