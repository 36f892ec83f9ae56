"""How a client gets at a table's files: what it may touch, and by which way.

Whoever calls has decided that the principal may read the table, and whether it may also write; the
integration has the last word about that.  Whatever leaves for a client leaves through
`TableStorage.storage_of`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

import structlog

from graticule.access.delegation import (
    Chosen,
    Delegations,
    Impossible,
    Situation,
    Way,
    choose,
)
from graticule.access.stage_tokens import StagedTable, StageTokens
from graticule.domain.audit import EventType, of_table
from graticule.domain.catalog import (
    AccessLevel,
    BucketType,
    OpenCatalog,
    StorageCredential,
    StorageIntegration,
    TableRecord,
)
from graticule.domain.errors import InvalidRequest, NoNarrowSession
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import NAMESPACE_SEPARATOR, TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.services.catalog.client_properties import (
    anonymous_config,
    place_config,
    session_config,
    signing_config,
    static_config,
)
from graticule.services.events.audit import Audit
from graticule.services.integrations.credentials import Credentials, capped
from graticule.storage.iam_policy import LocationGrant, fits, partition_of

STAGED_PARAMETER: Final = "staged"
"""Query parameter of the signing endpoint that carries the token of a staged table."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VendedStorage:
    """How a client reaches a table's files: properties for its file IO, and for which URIs."""

    prefixes: tuple[str, ...]
    """The first covers all of them."""
    config: Mapping[str, str]
    way: Way
    key_id: str = ""
    """Of what was handed out, if that was keys."""

    @property
    def prefix(self) -> str:
        return self.prefixes[0]

    @property
    def has_credentials(self) -> bool:
        return bool(self.key_id)

    @property
    def tag(self) -> str:
        """Differs whenever a client must not go on with what it was told before."""
        return self.key_id or ("" if self.way is Way.OWN else self.way.value)


class TableStorage:
    def __init__(
        self,
        credentials: Credentials,
        stage_tokens: StageTokens,
        audit: Audit,
        *,
        now_ms: Callable[[], int],
        public_url: str | None = None,
    ) -> None:
        """`public_url` is the catalog's base for clients; without it they use the one they know."""
        self._credentials = credentials
        self._stage_tokens = stage_tokens
        self._audit = audit
        self._now_ms = now_ms
        self._public_url = public_url

    def storage_of(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        record: TableRecord,
        *,
        access: AccessLevel,
        delegate: Delegations,
        is_staged: bool = False,
        needs_keys: bool = False,
    ) -> VendedStorage:
        """What to tell a client that accepts any of `delegate` and may have that `access`.

        `needs_keys`: the client asks for a credential and could do nothing with less.

        Raises:
            InvalidRequest: nothing that the client accepts can be had here; the message says why.
            StorageRefused, StorageUnavailable: from the token service.
        """
        integration = catalog.integration
        grants = capped(integration, grants_of(record, access))
        asks_less = bool(delegate) and not needs_keys
        situation = Situation(
            accepted=delegate,
            access=grants[0].access,
            session_obstacle=_known_obstacle(integration, grants),
            requester_pays=integration.requester_pays,
            is_open=asks_less and self._is_open(integration, grants, record),
            keys_may_leave=(
                None if integration.access_keys is None else integration.allow_static_credentials
            ),
        )
        chosen = _choose(situation)
        credential = None
        if chosen.way is Way.SESSION:
            try:
                credential = self._credentials.vend(principal, integration, grants)
            except NoNarrowSession as error:
                chosen = _choose(replace(situation, session_obstacle=error.message))
        _tell(self._audit, principal, record, chosen, credential)
        if credential is not None:
            refresh = refresh_endpoint(catalog, record.identifier)
            config = session_config(integration, credential, refresh_endpoint=refresh)
        elif chosen.way is Way.SIGNING:
            staged = self._stage_token(principal, catalog, record) if is_staged else None
            config = signing_config(
                integration,
                sign_endpoint(catalog, record.identifier, staged=staged),
                table_id=record.id,
                base_url=self._public_url,
            )
        else:
            config = _lasting_config(integration, chosen.way)
        return VendedStorage(
            _selectors(record), config, chosen.way, config.get("s3.access-key-id", "")
        )

    def _is_open(
        self,
        integration: StorageIntegration,
        grants: Sequence[LocationGrant],
        record: TableRecord,
    ) -> bool:
        """Whether anybody can read the table: tried, since a bucket may be public in part."""
        if integration.is_anonymous:
            return True
        return (
            integration.bucket_type is BucketType.PUBLIC
            and [grant.access for grant in grants] == [AccessLevel.READ]  # no files elsewhere
            and self._credentials.is_open(integration, record.metadata_location)
        )

    def _stage_token(self, principal: Principal, catalog: OpenCatalog, record: TableRecord) -> str:
        staged = StagedTable(
            catalog.catalog.id, str(record.identifier), principal.member_id, record.location
        )
        return self._stage_tokens.issue(staged, now_ms=self._now_ms())


def grants_of(record: TableRecord, access: AccessLevel) -> list[LocationGrant]:
    """The table's own location, to write too if that is the access; its sources only to read."""
    return [
        LocationGrant(record.location.prefix, access),
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


def _lasting_config(integration: StorageIntegration, way: Way) -> dict[str, str]:
    if way is Way.STATIC_KEYS and integration.access_keys is not None:
        return static_config(integration, integration.access_keys)
    return anonymous_config(integration) if way is Way.ANONYMOUS else place_config(integration)


def _choose(situation: Situation) -> Chosen:
    match choose(situation):
        case Impossible(reason):
            raise InvalidRequest(reason)
        case Chosen() as chosen:
            return chosen


def _tell(
    audit: Audit,
    principal: Principal,
    record: TableRecord,
    chosen: Chosen,
    credential: StorageCredential | None,
) -> None:
    """What left for whom, and why, and never the credential itself."""
    access_key_id = None if credential is None else credential.access_key_id
    access = AccessLevel.READ if credential is None else credential.access
    if chosen.way not in {Way.OWN, Way.ANONYMOUS}:
        audit.note(
            principal,
            EventType.CREDENTIAL_VENDED,
            of_table(record),
            by=Privilege.WRITE if access is AccessLevel.WRITE else Privilege.READ,
            details={
                "way": chosen.way.value,
                "access": access.value,
                "access_key_id": access_key_id,
            },
        )
    say = log.warning if chosen.way is Way.STATIC_KEYS else log.debug
    say(
        "storage handed out",
        way=chosen.way.value,
        reason=chosen.reason,
        member_id=principal.member_id,
        table_id=record.id,
        access_key_id=access_key_id,
        expires_at_ms=None if credential is None else credential.expires_at_ms,
    )


def _known_obstacle(integration: StorageIntegration, grants: Sequence[LocationGrant]) -> str | None:
    """Why no session can do, before the token service is asked; None if nothing is known."""
    partition = partition_of(role_arn=integration.role_arn, region=integration.region)
    if not fits(grants, partition=partition, kms_key_arn=integration.kms_key_arn):
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
