"""Signs requests to the object store for clients that hold no credentials.

Authorisation lives here: who may read or write the table.  What a request does, `access.signing`
reads from it; the keys that sign it reach no further than the table wherever the store can
narrow them, so that a request which tricks the store still ends there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from graticule.access.policy import Action, require
from graticule.access.s3_operations import DELETE_OBJECTS
from graticule.access.s3_urls import StoreAddress
from graticule.access.signing import Reach, SignRequest, authorise
from graticule.access.stage_tokens import StageTokens
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import AccessLevel, OpenCatalog, StorageIntegration
from graticule.domain.errors import PolicyTooLarge, SignatureRefused
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.services.catalog.table_storage import grants_of
from graticule.services.catalog.tables import Tables
from graticule.services.events.audit import Audit
from graticule.services.integrations.credentials import Credentials, SigningKeys, capped
from graticule.storage.iam_policy import LocationGrant
from graticule.storage.signing import signing_headers

ENCRYPTED: Final = frozenset({"PutObject", "CreateMultipartUpload"})
"""The operations that say how an object is to be encrypted."""

REQUESTER_PAYS: Final = {"x-amz-request-payer": "requester"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a client adds to its request.  `is_reusable`: also to the next one that is the same."""

    uri: str
    headers: Mapping[str, str]
    is_reusable: bool


class Signing:
    def __init__(
        self,
        tables: Tables,
        credentials: Credentials,
        stage_tokens: StageTokens,
        audit: Audit,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._tables = tables
        self._credentials = credentials
        self._stage_tokens = stage_tokens
        self._audit = audit
        self._now_ms = now_ms

    def sign(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: SignRequest,
        *,
        staged: str | None = None,
    ) -> SignedRequest:
        """Sign a request to a file of the table, or of one that is staged under this name.

        Raises:
            NoSuchTable: it is not there, and no token says that it is staged.
            SignatureRefused: the request does more than the principal may do with the table.
            StorageRefused, StorageUnavailable: from the token service.
        """
        integration = catalog.integration
        table_id, access = self._grants(principal, catalog, identifier, staged)
        grants = capped(integration, access)
        store = StoreAddress(integration.location.bucket, integration.region, integration.endpoint)
        try:
            signable = authorise(request, store, _reach(grants))
        except SignatureRefused as refused:
            log.info("signature refused", table=str(identifier), reason=refused.message)
            raise
        keys = self._keys(principal, catalog, grants, signable.place)
        if signable.operation == DELETE_OBJECTS.name and not keys.are_narrow:
            # Not every store checks that the body it gets is the one whose hash was signed.
            raise SignatureRefused(
                "this store has no sessions that would hold DeleteObjects to the table; "
                "delete one object at a time"
            )
        headers = signing_headers(
            signable,
            keys.keys,
            region=integration.region,
            now_ms=self._now_ms(),
            extra=_added(integration, signable.operation),
        )
        self._audit.note(
            principal,
            EventType.REQUEST_SIGNED,
            Subject(SubjectKind.TABLE, table_id, str(identifier), catalog.catalog.id),
            by=Privilege.READ,
            details={"operation": signable.operation},
        )
        return SignedRequest(request.uri, headers, signable.is_reusable)

    def _grants(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        staged: str | None,
    ) -> tuple[str, list[LocationGrant]]:
        """The table's id, empty for one that is staged, and what may be done where."""
        if staged is None:
            found = self._tables.readable(principal, catalog, identifier)
            return found.record.id, grants_of(found.record, found.access)
        require(principal, Action.WRITE_CATALOG)
        self._tables.require_creatable(principal, catalog, identifier.namespace)
        location = self._stage_tokens.location_of(
            staged,
            catalog_id=catalog.catalog.id,
            identifier=str(identifier),
            member_id=principal.member_id,
            now_ms=self._now_ms(),
        )
        return "", [LocationGrant(location.prefix, AccessLevel.WRITE)]

    def _keys(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        grants: Sequence[LocationGrant],
        place: str,
    ) -> SigningKeys:
        """Of the whole table, so that one session serves all; of one place if that is too much."""
        integration = catalog.integration
        try:
            return self._credentials.signing_keys(principal, integration, grants)
        except PolicyTooLarge:
            one = [grant for grant in grants if _key_of(grant) == place]
            return self._credentials.signing_keys(principal, integration, one)


def _added(integration: StorageIntegration, operation: str) -> dict[str, str]:
    """What clients cannot say by themselves: who pays, and which key encrypts what they write."""
    added = dict(REQUESTER_PAYS) if integration.requester_pays else {}
    if integration.kms_key_arn is not None and operation in ENCRYPTED:
        added["x-amz-server-side-encryption"] = "aws:kms"
        added["x-amz-server-side-encryption-aws-kms-key-id"] = integration.kms_key_arn
    return added


def _reach(grants: Sequence[LocationGrant]) -> Reach:
    return Reach(
        readable=tuple(_key_of(grant) for grant in grants),
        writable=tuple(_key_of(grant) for grant in grants if grant.access is AccessLevel.WRITE),
    )


def _key_of(grant: LocationGrant) -> str:
    location = Location.parse(grant.location)
    return location.key_prefix if grant.location.endswith("/") else location.key
