"""Storage integrations: made, listed, deleted.

Transactions and authorisation live here.  Secrets go in and are never answered back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.db import integrations as integrations_db
from graticule.db.engine import read, transact
from graticule.domain.audit import EventType, of_integration
from graticule.domain.catalog import AccessKeys, BucketType, StorageIntegration
from graticule.domain.errors import NoSuchIntegration
from graticule.domain.identifiers import check_resource_name
from graticule.domain.location import parse_integration_path
from graticule.domain.tenancy import Principal
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.services.events import audit_trail
from graticule.services.integrations import integration_rules as rules
from graticule.services.pages import Page, page

Json = dict[str, Any]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewIntegration:
    """What an admin says about a bucket; checked by `Integrations.create`."""

    name: str
    path: str
    role_arn: str | None = None
    access_keys: AccessKeys | None = None
    region: str | None = None
    endpoint: str | None = None
    path_style: bool | None = None
    kms_key_arn: str | None = None
    read_only: bool = False
    requester_pays: bool = False
    allow_static_credentials: bool = False
    anonymous: bool = False
    """Instead of a role or keys: a bucket that anybody may read, and we only read."""


class Integrations:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        *,
        now_ms: Callable[[], int],
        invalidate: Callable[[str], None],
        outbound: Outbound = PUBLIC_ONLY,
    ) -> None:
        """`invalidate` forgets what is cached about an integration."""
        self._engine = engine
        self._keyring = keyring
        self._now_ms = now_ms
        self._invalidate = invalidate
        self._outbound = outbound

    def create(self, principal: Principal, new: NewIntegration) -> StorageIntegration:
        """Check what an admin says about a bucket, and keep it.  Asks no store.

        Raises:
            AlreadyExists: the organisation has the name or the bucket, or the role is not free.
            EditionForbids: community organisations have no integrations of their own.
            InvalidRequest: a rule is broken; the message names the field.
        """
        require(principal, Action.CREATE_INTEGRATIONS)
        integration = self.checked(principal, new)

        def create(conn: Connection) -> None:
            integrations_db.create(conn, self._keyring, integration)
            self._tell(conn, principal, EventType.INTEGRATION_CREATED, integration)

        transact(self._engine, create)
        log.info(
            "integration created", integration_id=integration.id, location=integration.location.uri
        )
        return integration

    def checked(
        self, principal: Principal, new: NewIntegration, *, known_endpoint: str | None = None
    ) -> StorageIntegration:
        """A new integration as described, without keeping it.

        `known_endpoint` was checked before, and is not looked up again.

        Raises:
            InvalidRequest: a rule is broken; the message names the field.
        """
        check_resource_name(new.name, of="storage integration")
        location = parse_integration_path(new.path)
        rules.check_identity(
            role_arn=new.role_arn, access_keys=new.access_keys, anonymous=new.anonymous
        )
        on_aws = new.endpoint is None
        endpoint = None
        if new.endpoint is not None and new.endpoint == known_endpoint:
            endpoint = known_endpoint
        elif new.endpoint is not None:
            endpoint = self._outbound.check_endpoint(new.endpoint)
            rules.refuse_aws_endpoint(endpoint)
        if new.role_arn is not None:
            rules.check_role_arn(new.role_arn, on_aws=on_aws)
        if new.access_keys is not None:
            rules.check_access_keys(new.access_keys)
        region = rules.check_region(new.region, on_aws=on_aws, role_arn=new.role_arn)
        if new.kms_key_arn is not None:
            rules.check_kms_key_arn(new.kms_key_arn, on_aws=on_aws, region=region)
        integration = StorageIntegration(
            id=str(uuid7()),
            organisation_id=principal.organisation_id,
            name=new.name,
            location=location,
            region=region,
            endpoint=endpoint,
            path_style=not on_aws if new.path_style is None else new.path_style,
            role_arn=new.role_arn,
            access_keys=new.access_keys,
            external_id=principal.organisation_id,
            bucket_type=BucketType.UNKNOWN,
            version=1,
            created_at_ms=self._now_ms(),
            kms_key_arn=new.kms_key_arn,
            read_only=new.read_only or new.anonymous,
            requester_pays=new.requester_pays,
            allow_static_credentials=new.allow_static_credentials,
        )
        rules.check_flags(integration)
        return integration

    def list(self, principal: Principal, *, after: str | None = None, limit: int) -> Page:
        require(principal, Action.USE_INTEGRATIONS)
        with read(self._engine) as conn:
            found = integrations_db.page(
                conn, self._keyring, principal.organisation_id, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda integration: integration.id)

    def get(self, principal: Principal, id_or_name: str) -> StorageIntegration:
        """An integration by id or name.

        Raises:
            NoSuchIntegration: the organisation has none.
        """
        require(principal, Action.USE_INTEGRATIONS)
        with read(self._engine) as conn:
            found = integrations_db.find(conn, self._keyring, principal.organisation_id, id_or_name)
        if found is None:
            raise NoSuchIntegration(f"no storage integration is called `{id_or_name}`")
        return found

    def delete(self, principal: Principal, id_or_name: str) -> None:
        """Delete an integration.  Nothing in storage is touched.

        Raises:
            NoSuchIntegration: the organisation has none.
            InUse: catalogs use it.
        """
        require(principal, Action.MANAGE_INTEGRATIONS)

        def delete(conn: Connection) -> StorageIntegration:
            found = integrations_db.find(conn, self._keyring, principal.organisation_id, id_or_name)
            if found is None or not integrations_db.remove(conn, found.id):
                raise NoSuchIntegration(f"no storage integration is called `{id_or_name}`")
            self._tell(conn, principal, EventType.INTEGRATION_DELETED, found)
            return found

        deleted = transact(self._engine, delete)
        self._invalidate(deleted.id)
        log.info("integration deleted", integration_id=deleted.id)

    def _tell(
        self,
        conn: Connection,
        principal: Principal,
        type_: EventType,
        integration: StorageIntegration,
    ) -> None:
        audit_trail.record(
            conn,
            principal,
            type_,
            of_integration(integration),
            now_ms=self._now_ms(),
            details={"path": integration.location.uri},
        )
