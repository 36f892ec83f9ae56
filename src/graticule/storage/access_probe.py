"""What one verification of an integration knows so far, and the clients it tries things with."""

import uuid
from typing import Final

from graticule.domain.catalog import AccessLevel, BucketType, StorageIntegration
from graticule.domain.errors import StorageRefused
from graticule.domain.location import Location
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.bucket_facts import BucketFacts
from graticule.storage.iam_policy import LocationGrant, partition_of, session_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.keys import Keys, TemporaryCredentials
from graticule.storage.s3 import ObjectStore
from graticule.storage.sts import TokenService, session_name

PROBE_FOLDER: Final = ".graticule-access-check"
PROBE_BYTES: Final = b"Written by Graticule to verify access.  Safe to delete."
PROBE_SESSION_S: Final = 900
"""The shortest session there is: it dies by itself soon after the checks."""

PROBE_TIMEOUT_S: Final = 10.0
_ACTOR: Final = ("graticule-verify", "verify")


class AccessProbe:
    """One verification under way.  `own` is the integration's identity, once it is known."""

    def __init__(
        self,
        integration: StorageIntegration,
        identity: ServerIdentity,
        access: AccessLevel,
        outbound: Outbound = PUBLIC_ONLY,
    ) -> None:
        self.integration = integration
        self.identity = identity
        self.access = access
        self.outbound = outbound
        self.folder = integration.location.join(PROBE_FOLDER, str(uuid.uuid4()))
        self.bucket_type = BucketType.UNKNOWN
        self.written: set[str] = set()
        self.readable: str | None = None
        """An object that exists, for somebody anonymous to try."""
        self.own: Keys | None = None

    @property
    def tokens(self) -> TokenService:
        keys = self.identity.keys_for(self.integration)
        return TokenService(
            keys,
            region=self.integration.region,
            endpoint=self.integration.endpoint,
            read_timeout_s=PROBE_TIMEOUT_S,
            outbound=self.outbound,
        )

    def assume(self, external_id: str | None) -> TemporaryCredentials:
        assert self.integration.role_arn is not None  # noqa: S101 - callers looked
        return self.tokens.assume_role(
            self.integration.role_arn,
            session_name=session_name(*_ACTOR),
            external_id=external_id,
            policy=None,
            duration_s=PROBE_SESSION_S,
        )

    def narrow(self, folder: Location) -> TemporaryCredentials:
        integration = self.integration
        partition = partition_of(role_arn=integration.role_arn, region=integration.region)
        grant = LocationGrant(folder.prefix, self.access)
        return self.tokens.narrow(
            role_arn=integration.role_arn,
            external_id=integration.external_id,
            policy=session_policy([grant], partition=partition),
            actor=_ACTOR,
            duration_s=PROBE_SESSION_S,
        )

    def store(self, keys: Keys | None, root: Location | None = None) -> ObjectStore:
        return ObjectStore(
            root or self.integration.location,
            region=self.integration.region,
            endpoint=self.integration.endpoint,
            path_style=self.integration.path_style,
            credentials=lambda: keys,
            read_timeout_s=PROBE_TIMEOUT_S,
            outbound=self.outbound,
        )

    def facts(self) -> BucketFacts:
        return BucketFacts(
            self.integration, self.own, read_timeout_s=PROBE_TIMEOUT_S, outbound=self.outbound
        )

    def put(self, store: ObjectStore, name: str, data: bytes) -> str:
        uri = self.folder.join(name).uri
        self.written.add(uri)  # before the attempt: a lost answer may hide a written object
        try:
            store.put_if_absent(uri, data)
        except StorageRefused:
            self.written.discard(uri)
            raise
        return uri
