"""What: storage integrations, catalogs, namespaces, tables as the server keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from graticule.domain.errors import ReadOnlyStorage
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.secret import Secret

OWN_FOLDER: Final = ".graticule"
"""In the root of a catalog: what the server keeps there that belongs to no table."""


class AccessLevel(StrEnum):
    """What a vended credential may do below its locations."""

    READ = "read"
    WRITE = "write"


class BucketType(StrEnum):
    """Found by verification.  Managed catalogs belong on private buckets."""

    UNKNOWN = "unknown"
    PRIVATE = "private"
    PUBLIC = "public"
    REQUESTER_PAYS = "requester_pays"


class VerificationStatus(StrEnum):
    """What is known of an integration from the last time it was verified."""

    UNVERIFIED = "unverified"
    PASSED = "passed"
    FAILED = "failed"
    STALE = "stale"
    """It was changed since."""


@dataclass(frozen=True, slots=True)
class AccessKeys:
    access_key_id: str
    secret_access_key: Secret


@dataclass(frozen=True, slots=True)
class StorageIntegration:
    """A bucket, or a folder of one, and the identity that may reach it.

    At most one of `role_arn` and `access_keys` is set; with neither, access is anonymous, and then
    it is `read_only`.  `external_id` is its organisation's id.
    `endpoint` is None for AWS.  `version` grows with every change: caches key on it.
    Nothing is ever written through one that is `read_only`.  `allow_static_credentials` is an
    admin's consent to hand the access keys themselves to clients.
    """

    id: str
    organisation_id: str
    name: str
    location: Location
    region: str
    endpoint: str | None
    path_style: bool
    role_arn: str | None
    access_keys: AccessKeys | None
    external_id: str
    bucket_type: BucketType
    version: int
    created_at_ms: int
    verified_at_ms: int | None = None
    kms_key_arn: str | None = None
    """Encrypts what is written there; None leaves it to the bucket's own default."""
    read_only: bool = False
    requester_pays: bool = False
    """Declared by an admin or learnt by a verification: every request must say that we pay."""
    allow_static_credentials: bool = False
    verification_status: VerificationStatus = VerificationStatus.UNVERIFIED

    def unproved(self) -> "StorageIntegration":
        """The same, after a change that a verification has to look at."""
        known = self.verification_status is not VerificationStatus.UNVERIFIED
        status = VerificationStatus.STALE if known else VerificationStatus.UNVERIFIED
        return replace(self, verified_at_ms=None, verification_status=status)

    @property
    def is_anonymous(self) -> bool:
        """Requests are not signed: for buckets that anybody may read."""
        return self.role_arn is None and self.access_keys is None

    def require_writable(self) -> None:
        """Raises ReadOnlyStorage where nothing may be written.  Ask before the first byte."""
        if self.read_only:
            raise ReadOnlyStorage(
                f"storage integration `{self.name}` is read-only: tables on it can be registered, "
                "read and dropped, but not created, changed or purged"
            )


@dataclass(frozen=True, slots=True)
class Catalog:
    """A managed Iceberg catalog: clients choose it with `warehouse=`; its id is the URL prefix."""

    id: str
    organisation_id: str
    integration_id: str
    name: str
    location: Location
    """Where generated table locations lie: the integration's location, the sub-path, the id."""
    properties: Mapping[str, str]
    created_at_ms: int
    forced_on: BucketType | None = None
    """The type of bucket that would have been refused, had its creator not insisted."""


@dataclass(frozen=True, slots=True)
class OpenCatalog:
    """A catalog together with the integration its data lies in: what every operation needs."""

    catalog: Catalog
    integration: StorageIntegration


@dataclass(frozen=True, slots=True)
class NamespaceRecord:
    id: str
    catalog_id: str
    namespace: Namespace
    properties: Mapping[str, str]
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class TableRecord:
    """One row per table: the pointer that a commit swaps, and what vending needs.

    `sources` are the places in the bucket that a table registered in place reads beside its own
    location: folders end with `/`, anything else is one object.  Only discovery sets them.
    """

    id: str
    catalog_id: str
    namespace_id: str
    identifier: TableIdentifier
    table_uuid: str
    location: Location
    metadata_location: str
    version: int
    created_at_ms: int
    updated_at_ms: int
    sources: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Where its files may lie: what readers' credentials open, and all that is read for it."""
        return (self.location.prefix, *self.sources)


@dataclass(frozen=True, slots=True)
class StorageCredential:
    """A temporary credential limited to `locations`, as vended.  Times in epoch milliseconds."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at_ms: int
    access: AccessLevel
    locations: tuple[str, ...] = field(default=())
