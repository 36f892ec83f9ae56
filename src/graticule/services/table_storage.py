"""How a client gets at a table's files: what it may touch, and by which mechanism.

Whoever calls has decided that the principal may read the table; whether it may also write is
decided here, from the principal alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import structlog

from graticule.access.delegation import (
    Chosen,
    Delegation,
    Delegations,
    Impossible,
    choose,
)
from graticule.access.policy import access_level
from graticule.access.stage_tokens import StagedTable, StageTokens
from graticule.domain.catalog import (
    AccessLevel,
    OpenCatalog,
    StorageCredential,
    StorageIntegration,
    TableRecord,
)
from graticule.domain.errors import InvalidRequest, NoTokenService
from graticule.domain.identifiers import NAMESPACE_SEPARATOR, TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.services.credentials import Credentials, client_config, place_config
from graticule.storage.iam_policy import LocationGrant, fits, partition_of

STAGED_PARAMETER: Final = "staged"
"""Query parameter of the signing endpoint that carries the token of a staged table."""

PYICEBERG_SIGNING_IO: Final = "pyiceberg.io.fsspec.FsspecFileIO"
"""The only file IO of PyIceberg that can have its requests signed."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VendedStorage:
    """How a client reaches a table's files: properties for its file IO, and for which URIs."""

    prefixes: tuple[str, ...]
    """The first covers all of them."""
    config: Mapping[str, str]
    credential: StorageCredential | None
    delegation: Delegation | None = None

    @property
    def prefix(self) -> str:
        return self.prefixes[0]

    @property
    def tag(self) -> str:
        """Differs whenever a client must not go on with what it was told before."""
        if self.credential is not None:
            return self.credential.access_key_id
        return self.delegation or ""


class TableStorage:
    def __init__(
        self,
        credentials: Credentials,
        stage_tokens: StageTokens,
        *,
        now_ms: Callable[[], int],
        public_url: str | None = None,
    ) -> None:
        """`public_url` is the catalog's base for clients; without it they use the one they know."""
        self._credentials = credentials
        self._stage_tokens = stage_tokens
        self._now_ms = now_ms
        self._public_url = public_url

    def storage_of(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        record: TableRecord,
        *,
        delegate: Delegations,
        is_staged: bool = False,
    ) -> VendedStorage:
        """What to tell a client that accepts any of `delegate`.

        Raises:
            InvalidRequest: credentials cannot be vended and the client accepts nothing else.
            StorageRefused, StorageUnavailable: from the token service.
        """
        integration = catalog.integration
        grants = grants_of(principal, record)
        wants_credentials = Delegation.VENDED_CREDENTIALS in delegate
        obstacle = _obstacle(integration, grants) if wants_credentials else None
        chosen = _choose(delegate, obstacle)
        credential = None
        if chosen.delegation is Delegation.VENDED_CREDENTIALS:
            try:
                credential = self._credentials.vend(principal, integration, grants)
            except NoTokenService as error:
                chosen = _choose(delegate, error.message)
        if credential is not None:
            refresh = refresh_endpoint(catalog, record.identifier)
            config = client_config(integration, credential, refresh_endpoint=refresh)
        elif chosen.delegation is Delegation.REMOTE_SIGNING:
            log.debug("requests will be signed", table=record.id, reason=chosen.reason)
            staged = self._stage_token(principal, catalog, record) if is_staged else None
            endpoint = sign_endpoint(catalog, record.identifier, staged=staged)
            config = place_config(integration) | self._signing_config(endpoint, record)
        else:
            config = place_config(integration)
        return VendedStorage(_selectors(record), config, credential, chosen.delegation)

    def _signing_config(self, endpoint: str, record: TableRecord) -> dict[str, str]:
        """Every client generation reads names of its own; the endpoint is always the table's.

        The session token is none: PyIceberg shares one S3 file system, and with it the signer of
        the table opened last, between all tables whose properties are the same.
        """
        config = {
            "s3.remote-signing-enabled": "true",
            "s3.signer": "S3V4RestSigner",
            "s3.signer.endpoint": endpoint,
            "signer.endpoint": endpoint,
            "py-io-impl": PYICEBERG_SIGNING_IO,
            "s3.session-token": f"none-{record.id}",
        }
        if self._public_url is not None:
            config |= {"s3.signer.uri": self._public_url, "signer.uri": self._public_url}
        return config

    def _stage_token(self, principal: Principal, catalog: OpenCatalog, record: TableRecord) -> str:
        staged = StagedTable(
            catalog.catalog.id, str(record.identifier), principal.member_id, record.location
        )
        return self._stage_tokens.issue(staged, now_ms=self._now_ms())


def grants_of(principal: Principal, record: TableRecord) -> list[LocationGrant]:
    """The table's own location, to write too if the principal may; its sources only to read."""
    return [
        LocationGrant(record.location.prefix, access_level(principal)),
        *(LocationGrant(source, AccessLevel.READ) for source in record.sources),
    ]


def refresh_endpoint(catalog: OpenCatalog, identifier: TableIdentifier) -> str:
    """Where a client fetches fresh credentials, relative to the catalog's base URI."""
    return f"{_table_path(catalog, identifier)}/credentials"


def sign_endpoint(
    catalog: OpenCatalog, identifier: TableIdentifier, *, staged: str | None = None
) -> str:
    """Where a client has requests signed, relative to the catalog's base URI."""
    path = f"{_table_path(catalog, identifier)}/sign"
    return path if staged is None else f"{path}?{STAGED_PARAMETER}={staged}"


def _table_path(catalog: OpenCatalog, identifier: TableIdentifier) -> str:
    namespace = quote(NAMESPACE_SEPARATOR, safe="").join(
        quote(level, safe="") for level in identifier.namespace.levels
    )
    name = quote(identifier.name, safe="")
    return f"v1/{catalog.catalog.id}/namespaces/{namespace}/tables/{name}"


def _choose(delegate: Delegations, obstacle: str | None) -> Chosen:
    match choose(delegate, obstacle=obstacle):
        case Impossible(reason):
            raise InvalidRequest(reason)
        case Chosen() as chosen:
            return chosen


def _obstacle(integration: StorageIntegration, grants: list[LocationGrant]) -> str | None:
    """Why no credential can do, before the token service is asked; None if nothing is known."""
    if integration.requester_pays:
        return (
            f"requests to `{integration.location.bucket}` are paid by the requester, and Iceberg "
            "clients cannot say by themselves that they pay"
        )
    partition = partition_of(role_arn=integration.role_arn, region=integration.region)
    if not fits(grants, partition=partition):
        return f"the table reads {len(grants) - 1} places, more than one session policy can hold"
    return None


def _selectors(record: TableRecord) -> tuple[str, ...]:
    """The URI prefixes by which clients choose this credential for a file.

    Only selectors: what the credential opens is in its policy.  PyIceberg chooses one credential
    by the metadata location for all files, so a table that reads elsewhere in its bucket needs a
    prefix that covers both.  DuckDB takes an only credential to be for the table's location and
    nothing else, whatever its prefix says; so there are two.
    """
    own = record.location.prefix
    return (f"s3://{record.location.bucket}/", own) if record.sources else (own,)
