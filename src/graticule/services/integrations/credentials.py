"""Vends storage credentials that reach only what they are for, and keeps the server's own.

Where authorisation ends: whoever calls `vend` has decided that the principal may have the grants.
Here they become a session policy, and nothing wider than a table or its sources ever leaves.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from graticule.discovery.queue_address import QueueAddress
from graticule.domain import waiting
from graticule.domain.catalog import AccessLevel, StorageCredential, StorageIntegration
from graticule.domain.errors import InvalidLocation, NoTokenService, SessionsNotNarrowed
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.services.expiring_cache import ExpiringCache
from graticule.services.integrations.credential_cache import ENTRIES_MAX
from graticule.services.integrations.sessions import DURATION_S, Refused, Sessions
from graticule.storage.gates import STORE_CALLERS_MAX, Gate
from graticule.storage.iam_policy import Json, LocationGrant, partition_of, session_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.keys import Keys
from graticule.storage.message_queue import MessageQueue
from graticule.storage.queue_policy import queue_session_policy
from graticule.storage.s3 import ObjectStore
from graticule.storage.session_proof import is_readable_by_anybody

SERVER_NAME: Final = "graticule-server"

OPEN_MS: Final = 10 * 60 * 1000
"""How long files are believed to be open to anybody, or not to be."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What signs a client's requests.  `are_narrow`: the store keeps them to the table as well."""

    keys: Keys
    are_narrow: bool


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
        self._outbound = outbound
        self._sessions = Sessions(
            identity,
            now_ms=now_ms,
            duration_s=duration_s,
            outbound=outbound,
            entries_max=entries_max,
        )
        self._open: ExpiringCache[tuple[str, int, str], bool] = ExpiringCache(
            lifetime_ms=OPEN_MS, entries_max=entries_max, now_ms=now_ms
        )
        self._guard = threading.Lock()
        self._refused: Refused = lambda _integration: None
        self._stores: dict[tuple[str, bool], tuple[int, ObjectStore]] = {}

    def when_refused(self, tell: Refused) -> None:
        """Have `tell` called whenever a store or its token service denies us access."""
        self._refused = tell
        self._sessions.when_refused(tell)

    def vend(
        self,
        principal: Principal,
        integration: StorageIntegration,
        grants: Sequence[LocationGrant],
    ) -> StorageCredential:
        """A credential for exactly `grants`, from memory or from the token service.

        Raises:
            InvalidLocation: a grant lies outside the integration, or is no safe location.
            NoNarrowSession: there cannot be one here; the message says why.
            StorageRefused: the token service said no.
            StorageUnavailable: the token service does not answer.
        """
        wanted = capped(integration, grants)
        session = self._sessions.narrowed(
            integration,
            (principal.member_id, wanted),
            lambda: _policy(integration, wanted),
            actor=(principal.name, principal.member_id),
        )
        writes = any(grant.access is AccessLevel.WRITE for grant in wanted)
        return StorageCredential(
            access_key_id=session.access_key_id,
            secret_access_key=session.secret_access_key,
            session_token=session.session_token,
            expires_at_ms=session.expires_at_ms,
            access=AccessLevel.WRITE if writes else AccessLevel.READ,
            locations=tuple(grant.location for grant in wanted),
        )

    def signing_keys(
        self,
        principal: Principal,
        integration: StorageIntegration,
        grants: Sequence[LocationGrant],
    ) -> SigningKeys:
        """What signs requests in the principal's name: a session for exactly `grants`.

        Where a store has no token service, or a careless one, it is the check of each request alone
        that keeps tables apart.

        Raises:
            InvalidLocation, PolicyTooLarge, StorageRefused, StorageUnavailable: as for `vend`.
        """
        wanted = capped(integration, grants)
        purpose = (principal.member_id, wanted)
        actor = (principal.name, principal.member_id)
        try:
            session = self._sessions.narrowed(
                integration, purpose, lambda: _policy(integration, wanted), actor=actor
            )
        except (NoTokenService, SessionsNotNarrowed) as error:
            if integration.access_keys is not None:
                return SigningKeys(integration.access_keys, are_narrow=False)
            if isinstance(error, NoTokenService):
                raise
            session = self._sessions.unproven(
                integration, purpose, lambda: _policy(integration, wanted), actor=actor
            )
            return SigningKeys(session, are_narrow=False)
        return SigningKeys(session, are_narrow=True)

    def store_for(
        self, integration: StorageIntegration, *, in_background: bool = False
    ) -> ObjectStore:
        """The server's own view of the integration: its path, and nothing beside it.

        Only so many requests wait for one store at once, so that a dead one cannot take all
        threads.  What works `in_background`, in threads of its own, waits as long as it takes.
        """
        waiting.announce()
        key = (integration.id, in_background)
        with self._guard:
            version, store = self._stores.get(key, (None, None))
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
                    when_refused=lambda: self._refused(integration),
                    gate=None if in_background else _gate(integration),
                )
                self._stores[key] = (integration.version, store)
            return store

    def queue_for(
        self,
        integration: StorageIntegration,
        queue: QueueAddress,
        *,
        kms_key_arn: str | None,
        wait_s: int,
    ) -> MessageQueue:
        """A queue beside the integration's bucket, opened by a session for this queue alone.

        The session may decrypt what is in it with `kms_key_arn`, and use that for nothing else.

        Access keys of a store without a token service open it themselves: it is at that store.

        Raises:
            StorageRefused, StorageUnavailable: there is no such session.
        """
        keys: Keys
        try:
            keys = self._sessions.unproven(
                integration,
                (SERVER_NAME, queue, kms_key_arn),
                lambda: queue_session_policy(queue, kms_key_arn),
                actor=(SERVER_NAME, integration.id),
            )
        except NoTokenService:
            if integration.access_keys is None:
                raise
            keys = integration.access_keys
        return MessageQueue(
            queue, keys, kms_key_arn=kms_key_arn, wait_s=wait_s, outbound=self._outbound
        )

    def is_open(self, integration: StorageIntegration, uri: str) -> bool:
        """Whether anybody can read `uri` without credentials; tried, and believed for a while."""
        key = (integration.id, integration.version, uri)
        known = self._open.get(key)
        if known is None:
            waiting.announce()
            known = is_readable_by_anybody(integration, uri, self._outbound)
            self._open.put(key, known)
        return known

    def invalidate(self, integration_id: str) -> None:
        """Forget the integration: it was changed or deleted.

        What was vended lives on until it expires; only the bucket's owner can revoke it.
        """
        with self._guard:
            self._stores.pop((integration_id, False), None)
            self._stores.pop((integration_id, True), None)
        self._sessions.invalidate(integration_id)
        self._open.clear()

    def _server_keys(self, integration: StorageIntegration) -> Keys | None:
        if integration.is_anonymous:
            return None
        if integration.access_keys is not None:
            return integration.access_keys
        return self._sessions.unproven(
            integration,
            SERVER_NAME,
            lambda: _server_policy(integration),
            actor=(SERVER_NAME, integration.id),
        )


def _gate(integration: StorageIntegration) -> Gate:
    return Gate(f"the store of `{integration.name}`", callers_max=STORE_CALLERS_MAX)


def capped(
    integration: StorageIntegration, grants: Sequence[LocationGrant]
) -> tuple[LocationGrant, ...]:
    """The grants as far as the integration goes: one that is read-only grants no writing."""
    if not integration.read_only:
        return tuple(grants)
    return tuple(LocationGrant(grant.location, AccessLevel.READ) for grant in grants)


def _policy(integration: StorageIntegration, grants: Sequence[LocationGrant]) -> Json:
    for grant in grants:
        if not Location.parse(grant.location).is_within(integration.location):
            raise InvalidLocation(
                f"`{grant.location}` is not inside storage integration `{integration.name}` "
                f"at `{integration.location}`"
            )
    return session_policy(
        grants, partition=_partition(integration), kms_key_arn=integration.kms_key_arn
    )


def _server_policy(integration: StorageIntegration) -> Json:
    access = AccessLevel.READ if integration.read_only else AccessLevel.WRITE
    return session_policy(
        [LocationGrant(integration.location.prefix, access)],
        partition=_partition(integration),
        kms_key_arn=integration.kms_key_arn,
        whole_bucket=True,
    )


def _partition(integration: StorageIntegration) -> str:
    return partition_of(role_arn=integration.role_arn, region=integration.region)
