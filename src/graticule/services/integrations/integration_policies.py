"""What a bucket's owner lets the server do there: policies to paste, before and after creation.

The documents come from `storage.iam_policy`, the scripts from `policy_scripts`; here it is decided
whose they are and who may see them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from graticule.access.policy import Action, require
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import CatalogError, InvalidRequest
from graticule.domain.location import Location, parse_integration_path
from graticule.domain.tenancy import Principal
from graticule.outbound.gate import Outbound
from graticule.services.expiring_cache import ExpiringCache
from graticule.services.integrations import integration_rules as rules
from graticule.services.integrations.integrations import Integrations
from graticule.storage.iam_policy import (
    partition_of,
    role_policy,
    server_policy,
    trust_policy,
    user_policy,
)

Json = dict[str, Any]
log = structlog.get_logger(__name__)

IDENTITY_LIFETIME_MS: Final = 10 * 60 * 1000
IDENTITY_RETRY_MS: Final = 30 * 1000
"""A token service that did not say who we are is asked again after this long."""

IDENTITIES_MAX: Final = 64
IDENTITY_NAME_CHARACTERS_MAX: Final = 64

FindArn = Callable[[str, str | None], str | None]
"""The ARN of the server's own principal, by region and endpoint; None if it has none there.

`storage.identity.ServerIdentity.arn`; raises CatalogError when the token service does not say.
"""


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """An integration that does not exist yet, as far as its policies depend on it."""

    path: str
    region: str | None = None
    endpoint: str | None = None
    kms_key_arn: str | None = None
    requester_pays: bool = False
    uses_access_keys: bool = False
    identity_name: str | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """What the bucket's owner attaches to a role or a user before the integration works.

    Of a role there is no `user_policy`; of a user no `role_policy` and no `trust_policy`.
    """

    access: AccessLevel
    identity_name: str
    """Of the role or user, as the scripts create it."""
    identity_path: str
    """IAM's own folder of that name, `/` if none."""
    role_policy: Json | None
    trust_policy: Json | None
    """None also while the server does not know its own principal."""
    user_policy: Json | None
    server_policy: Json
    external_id: str
    principal_arn: str | None
    role_tag: tuple[str, str]
    partition: str
    notes: tuple[str, ...]


class IntegrationPolicies:
    def __init__(
        self,
        integrations: Integrations,
        *,
        now_ms: Callable[[], int],
        principal_arn: str | None,
        find_arn: FindArn,
        outbound: Outbound,
        role_tag: str,
    ) -> None:
        """`principal_arn` is what the operator set; without it `find_arn` is asked."""
        self._integrations = integrations
        self._now_ms = now_ms
        self._principal_arn = principal_arn
        self._find_arn = find_arn
        self._outbound = outbound
        self._role_tag = role_tag
        self._found: ExpiringCache[tuple[str, str | None], tuple[str | None]] = ExpiringCache(
            lifetime_ms=IDENTITY_LIFETIME_MS, entries_max=IDENTITIES_MAX, now_ms=now_ms
        )

    def of(
        self, principal: Principal, id_or_name: str, access: AccessLevel | None = None
    ) -> Policies:
        """The policies of an integration; to write, unless it is read-only or `access` says so.

        Raises:
            NoSuchIntegration: the organisation has none.
            InvalidRequest: it has no identity that policies could be attached to, or cannot write.
        """
        require(principal, Action.MANAGE_INTEGRATIONS)
        found = self._integrations.get(principal, id_or_name)
        if found.is_anonymous:
            raise InvalidRequest(
                f"`{found.name}` reaches a public bucket without an identity: there is nothing to "
                "attach a policy to"
            )
        if found.read_only and access is AccessLevel.WRITE:
            raise InvalidRequest(f"`{found.name}` is read-only; ask for its policies to read")
        path, _, name = (found.role_arn or "").partition(":role/")[2].rpartition("/")
        return self._policies(
            _Subject(
                location=found.location,
                access=access or (AccessLevel.READ if found.read_only else AccessLevel.WRITE),
                is_user=found.role_arn is None,
                name=name or _default_name(found.location),
                path=f"/{path}/" if path else "/",
                partition=partition_of(role_arn=found.role_arn, region=found.region),
                region=found.region,
                endpoint=found.endpoint,
                kms_key_arn=found.kms_key_arn,
                requester_pays=found.requester_pays,
                external_id=found.external_id,
            )
        )

    def preview(
        self, principal: Principal, asked: PolicyRequest, access: AccessLevel | None = None
    ) -> Policies:
        """As `of`, before the role and the integration exist.

        Raises:
            InvalidRequest: `asked` could not become an integration; the message names the field.
        """
        require(principal, Action.CREATE_INTEGRATIONS)
        location = parse_integration_path(asked.path)
        on_aws = asked.endpoint is None
        region = asked.region
        if region is None and asked.kms_key_arn is not None:
            region = rules.region_of_key(asked.kms_key_arn)
        region = rules.check_region(
            region or rules.DEFAULT_REGION_ELSEWHERE, on_aws=on_aws, role_arn=None
        )
        if asked.kms_key_arn is not None:
            rules.check_kms_key_arn(asked.kms_key_arn, on_aws=on_aws, region=region)
        endpoint = None
        if asked.endpoint is not None:
            endpoint = self._outbound.check_endpoint(asked.endpoint)
        return self._policies(
            _Subject(
                location=location,
                access=access or AccessLevel.WRITE,
                is_user=asked.uses_access_keys,
                name=rules.check_identity_name(asked.identity_name or _default_name(location)),
                path="/",
                partition=partition_of(role_arn=None, region=region),
                region=region,
                endpoint=endpoint,
                kms_key_arn=asked.kms_key_arn,
                requester_pays=asked.requester_pays,
                external_id=principal.organisation_id,
            )
        )

    def _policies(self, of: "_Subject") -> Policies:
        arn = None if of.is_user else self._arn(of.region, of.endpoint)
        document = user_policy if of.is_user else role_policy
        rights = document(
            of.location, of.access, partition=of.partition, kms_key_arn=of.kms_key_arn
        )
        return Policies(
            access=of.access,
            identity_name=of.name,
            identity_path=of.path,
            role_policy=None if of.is_user else rights,
            trust_policy=None if arn is None else trust_policy(arn, of.external_id),
            user_policy=rights if of.is_user else None,
            server_policy=server_policy(self._role_tag, partition=of.partition),
            external_id=of.external_id,
            principal_arn=arn,
            role_tag=(self._role_tag, of.external_id),
            partition=of.partition,
            notes=tuple(_notes(of, arn, is_found=self._principal_arn is None)),
        )

    def _arn(self, region: str, endpoint: str | None) -> str | None:
        if self._principal_arn is not None:
            return self._principal_arn
        known = self._found.get((region, endpoint))
        if known is not None:
            return known[0]
        ends_at_ms = None
        try:
            found = self._find_arn(region, endpoint)
        except CatalogError as error:
            log.warning("own principal not found", region=region, error=error.message)
            found = None
        if found is None:
            ends_at_ms = self._now_ms() + IDENTITY_RETRY_MS
        self._found.put((region, endpoint), (found,), ends_at_ms=ends_at_ms)
        return found


@dataclass(frozen=True, slots=True)
class _Subject:
    """An integration, or what may become one."""

    location: Location
    access: AccessLevel
    is_user: bool
    name: str
    path: str
    partition: str
    region: str
    endpoint: str | None
    kms_key_arn: str | None
    requester_pays: bool
    external_id: str


def _default_name(location: Location) -> str:
    """A name for the role or user that tells which bucket it is for, within IAM's rules."""
    told = "-".join(["graticule", location.bucket, *filter(None, location.key.split("/"))])
    return told[:IDENTITY_NAME_CHARACTERS_MAX].rstrip("-")


def _notes(of: _Subject, arn: str | None, *, is_found: bool) -> list[str]:
    notes = []
    if arn is None and not of.is_user:
        notes.append(
            "The server does not know its own AWS identity, which the trust policy has to name: "
            "its operator gives it AWS credentials, or sets GRATICULE_PRINCIPAL_ARN."
        )
    if arn is not None and arn.split(":")[1] != of.partition:
        notes.append(
            f"The server's identity `{arn}` is not of the partition `{of.partition}`: no role "
            "there can trust it. The operator runs a server with an identity of that partition."
        )
    if arn is not None and is_found and ":role/" in arn:
        notes.append(
            f"The trust policy names `{arn}`. If that role has a path, which its sessions do not "
            "tell, the operator sets GRATICULE_PRINCIPAL_ARN."
        )
    if of.requester_pays:
        notes.append(
            "Requester pays: whoever owns this role or user is charged for requests and downloads. "
            "In another account's bucket, its owner's bucket policy must allow the same actions."
        )
    if of.kms_key_arn is not None:
        notes.append(
            "The policy of the KMS key must also allow this role or user, unless the key is of "
            "its own account and leaves access to IAM."
        )
    return notes
