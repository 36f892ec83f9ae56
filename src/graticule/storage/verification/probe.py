"""What one verification of an integration knows so far, and the clients it tries things with."""

import uuid
from typing import TYPE_CHECKING, Final

from graticule.domain.catalog import AccessLevel, BucketType, StorageIntegration
from graticule.domain.errors import StorageRefused
from graticule.domain.location import Location
from graticule.domain.verification import Surroundings
from graticule.outbound.gate import Outbound
from graticule.storage.clients import s3_client
from graticule.storage.iam_policy import LocationGrant, partition_of, session_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.keys import Keys, TemporaryCredentials
from graticule.storage.s3 import ObjectStore
from graticule.storage.sts import TokenService, session_name
from graticule.storage.verification.bucket_facts import BucketFacts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROBE_FOLDER: Final = ".graticule-access-check"
PROBE_BYTES: Final = b"Written by Graticule to verify access.  Safe to delete."
PROBE_SESSION_S: Final = 900
"""The shortest session there is: it dies by itself soon after the checks."""

PROBE_TIMEOUT_S: Final = 10.0
PROBE_ATTEMPTS_MAX: Final = 2
"""Fewer than usual: whoever verifies waits, and wants to see what goes wrong."""

_ACTOR: Final = ("graticule-verify", "verify")


class AccessProbe:
    """One verification under way.  `own` is the integration's identity, once it is known."""

    def __init__(
        self,
        integration: StorageIntegration,
        identity: ServerIdentity,
        surroundings: Surroundings,
        outbound: Outbound,
    ) -> None:
        self.integration = integration
        self.identity = identity
        self.outbound = outbound
        self.access = AccessLevel.READ if integration.read_only else AccessLevel.WRITE
        self.surroundings = surroundings
        self.folder = integration.location.join(PROBE_FOLDER, str(uuid.uuid4()))
        self.bucket_type = BucketType.UNKNOWN
        self.requester_pays: bool | None = True if integration.requester_pays else None
        """None while nobody knows."""
        self.written: set[str] = set()
        self.uploads: set[tuple[str, str]] = set()
        """Multipart uploads under way: key and upload id."""
        self.sample: str | None = None
        """An object that lay there before us."""
        self.readable: str | None = None
        """An object that exists, for somebody anonymous to try."""
        self.own: Keys | None = None
        self.skew_s: float | None = None
        """How far our clock is ahead of the store's, when that told."""

    @property
    def tokens(self) -> TokenService:
        keys = self.identity.keys_for(self.integration)
        return TokenService(
            keys,
            region=self.integration.region,
            endpoint=self.integration.endpoint,
            read_timeout_s=PROBE_TIMEOUT_S,
            outbound=self.outbound,
            attempts_max=PROBE_ATTEMPTS_MAX,
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

    def narrow(self, folder: Location, access: AccessLevel | None = None) -> TemporaryCredentials:
        """A session as a client gets one for a table at `folder`."""
        integration = self.integration
        partition = partition_of(role_arn=integration.role_arn, region=integration.region)
        grant = LocationGrant(folder.prefix, access or self.access)
        return self.tokens.narrow(
            role_arn=integration.role_arn,
            external_id=integration.external_id,
            policy=session_policy(
                [grant], partition=partition, kms_key_arn=integration.kms_key_arn
            ),
            actor=_ACTOR,
            duration_s=PROBE_SESSION_S,
        )

    def store(self, keys: Keys | None, *, anonymous: bool = False) -> ObjectStore:
        """The integration's path as `keys` see it; as nobody in particular without any."""
        return ObjectStore(
            self.integration.location,
            region=self.integration.region,
            endpoint=self.integration.endpoint,
            path_style=self.integration.path_style,
            credentials=lambda: keys,
            read_timeout_s=PROBE_TIMEOUT_S,
            outbound=self.outbound,
            requester_pays=bool(self.requester_pays) and not anonymous,
            kms_key_arn=self.integration.kms_key_arn,
        )

    def client(self, keys: Keys | None, *, requester_pays: bool = False) -> "S3Client":
        """For the few calls that `ObjectStore` has no need of."""
        return s3_client(
            keys,
            region=self.integration.region,
            endpoint=self.integration.endpoint,
            path_style=self.integration.path_style,
            read_timeout_s=PROBE_TIMEOUT_S,
            outbound=self.outbound,
            attempts_max=PROBE_ATTEMPTS_MAX,
            requester_pays=requester_pays or bool(self.requester_pays),
        )

    def facts(self) -> BucketFacts:
        return BucketFacts(self.client(self.own), self.integration.location.bucket)

    def put(self, store: ObjectStore, name: str, data: bytes = PROBE_BYTES) -> str:
        """Write a probe object; cleaned up at the end whatever happens."""
        uri = self.folder.join(name).uri
        self.written.add(uri)  # before the attempt: a lost answer may hide a written object
        try:
            store.put_if_absent(uri, data)
        except StorageRefused:
            self.written.discard(uri)
            raise
        return uri
