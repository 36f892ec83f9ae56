"""Changes to storage integrations that exist: what is said of them, and their access keys.

Transactions and authorisation live here.  Whatever was cached about an integration is forgotten at
once in this process; other processes use what they know for `CATALOG_CACHE_MS` at most.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict

import structlog
from sqlalchemy import Connection, Engine

from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.db import integrations as integrations_db
from graticule.db.engine import transact
from graticule.domain.audit import EventType, of_integration
from graticule.domain.catalog import AccessKeys, BucketType, StorageIntegration
from graticule.domain.errors import InvalidRequest, Outdated, WrongState
from graticule.domain.tenancy import Principal
from graticule.domain.verification import CheckStatus, Report
from graticule.services.events import audit_trail
from graticule.services.integrations import integration_rules as rules
from graticule.services.integrations.integrations import Integrations, NewIntegration

log = structlog.get_logger(__name__)

UPDATE_ATTEMPTS_MAX: Final = 4
"""Changes by others that may come in between when the caller names no version."""


Verify = Callable[[StorageIntegration], Report]
"""Asks the store and its token service, as the server."""


class IntegrationChanges(TypedDict, total=False):
    """What is to be said of an integration from now on; what is not in it stays."""

    name: str
    path: str
    role_arn: str
    region: str
    endpoint: str | None
    path_style: bool
    kms_key_arn: str | None
    read_only: bool
    requester_pays: bool
    allow_static_credentials: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """An integration, and what it is to become."""

    before: StorageIntegration
    after: StorageIntegration


class IntegrationUpdates:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        integrations: Integrations,
        *,
        now_ms: Callable[[], int],
        verify: Verify,
        invalidate: Callable[[str], None],
    ) -> None:
        """`invalidate` forgets what is cached about an integration."""
        self._engine = engine
        self._now_ms = now_ms
        self._keyring = keyring
        self._integrations = integrations
        self._verify = verify
        self._invalidate = invalidate

    def update(
        self,
        principal: Principal,
        id_or_name: str,
        changes: IntegrationChanges,
        *,
        expected_version: int | None = None,
    ) -> StorageIntegration:
        """Say something else of an integration.  It has to be verified again, unless only renamed.

        A `role_arn` takes the place of access keys or of anonymous access.

        Raises:
            AlreadyExists: the name, the bucket or the role is taken.
            InUse: the path is to change while catalogs use it.
            InvalidRequest: a rule is broken; the message names the field.
            NoSuchIntegration: the organisation has none.
            Outdated: it is not, or no longer, at `expected_version`.
        """
        require(principal, Action.MANAGE_INTEGRATIONS)
        return self._apply(
            principal,
            id_or_name,
            lambda found: self._updated(principal, found, changes),
            expected_version=expected_version,
            told=EventType.INTEGRATION_UPDATED,
            fields=sorted(changes),
        )

    def proposed(
        self, principal: Principal, id_or_name: str, changes: IntegrationChanges
    ) -> StorageIntegration:
        """What `update` would make of an integration, so that it can be tried before.

        Raises:
            InvalidRequest: a rule is broken; the message names the field.
            NoSuchIntegration: the organisation has none.
        """
        require(principal, Action.MANAGE_INTEGRATIONS)
        return self._updated(principal, self._integrations.get(principal, id_or_name), changes)

    def rotate_keys(
        self,
        principal: Principal,
        id_or_name: str,
        keys: AccessKeys,
        *,
        expected_version: int | None = None,
        force: bool = False,
    ) -> StorageIntegration:
        """Replace the access keys.  The old ones are dropped once the store has taken the new.

        With `force` the store is not asked, and the integration counts as not verified.

        Raises:
            InvalidRequest: the new keys are malformed, or do not do what the integration needs.
            NoSuchIntegration: the organisation has none.
            Outdated: it is not, or no longer, at `expected_version`.
            WrongState: it has a role or is anonymous, so there are no keys to replace.
        """
        require(principal, Action.MANAGE_INTEGRATIONS)
        rules.check_access_keys(keys)

        def rotated(found: StorageIntegration) -> StorageIntegration:
            if found.access_keys is None:
                raise WrongState(
                    f"`{found.name}` has no access keys to rotate: it "
                    + ("is anonymous" if found.is_anonymous else "assumes a role")
                )
            after = replace(found, access_keys=keys)
            if force:
                return after.unproved()
            _refuse_failed(found, self._verify(after))
            return after

        return self._apply(
            principal,
            id_or_name,
            rotated,
            expected_version=expected_version,
            told=EventType.INTEGRATION_KEYS_ROTATED,
            access_key_id=f"…{keys.access_key_id[-4:]}",
            forced=force,
        )

    def _apply(
        self,
        principal: Principal,
        id_or_name: str,
        change: Callable[[StorageIntegration], StorageIntegration],
        *,
        expected_version: int | None,
        told: EventType,
        **details: Any,
    ) -> StorageIntegration:
        """Change what is there now; again when it was changed meanwhile and no version is asked.

        `change` may talk to the store: no connection is held meanwhile.
        """
        for _ in range(UPDATE_ATTEMPTS_MAX):
            found = self._integrations.get(principal, id_or_name)
            if expected_version is not None and found.version != expected_version:
                raise Outdated(
                    f"`{found.name}` is at version {found.version}, not {expected_version}; "
                    "look at it again"
                )
            step = _Step(found, replace(change(found), version=found.version + 1))
            if transact(self._engine, self._keep, principal, step, told, details):
                self._invalidate(found.id)
                said = told.value.replace(".", " ").replace("_", " ")
                log.info(said, integration_id=found.id, version=step.after.version, **details)
                return step.after
        raise Outdated(f"`{id_or_name}` is being changed by others; try again")

    def _keep(
        self,
        conn: Connection,
        principal: Principal,
        step: _Step,
        told: EventType,
        details: Mapping[str, Any],
    ) -> bool:
        kept = integrations_db.update_described(
            conn, self._keyring, step.after, expected_version=step.before.version
        )
        if kept:
            audit_trail.record(
                conn,
                principal,
                told,
                of_integration(step.after),
                now_ms=self._now_ms(),
                details=details,
            )
        return kept

    def _updated(
        self, principal: Principal, found: StorageIntegration, changes: IntegrationChanges
    ) -> StorageIntegration:
        described = replace(_description(found), **changes)
        if "role_arn" in changes:
            described = replace(described, access_keys=None, anonymous=False)
        if "endpoint" in changes and "path_style" not in changes:
            described = replace(described, path_style=None)
        checked = self._integrations.checked(principal, described, known_endpoint=found.endpoint)
        same_bucket = (checked.location.bucket, checked.endpoint) == (
            found.location.bucket,
            found.endpoint,
        )
        updated = replace(
            checked,
            id=found.id,
            version=found.version,
            created_at_ms=found.created_at_ms,
            bucket_type=found.bucket_type if same_bucket else BucketType.UNKNOWN,
            verified_at_ms=found.verified_at_ms,
            verification_status=found.verification_status,
        )
        if replace(updated, name=found.name) != found:
            updated = updated.unproved()
        return updated


def _description(found: StorageIntegration) -> NewIntegration:
    return NewIntegration(
        name=found.name,
        path=found.location.uri,
        role_arn=found.role_arn,
        access_keys=found.access_keys,
        region=found.region,
        endpoint=found.endpoint,
        path_style=found.path_style,
        kms_key_arn=found.kms_key_arn,
        read_only=found.read_only,
        requester_pays=found.requester_pays,
        allow_static_credentials=found.allow_static_credentials,
        anonymous=found.is_anonymous,
    )


def _refuse_failed(found: StorageIntegration, verification: Report) -> None:
    failed = [check for check in verification.checks if check.status is CheckStatus.FAIL]
    if failed:
        said = "; ".join(f"{check.title}: {check.detail}" for check in failed)
        raise InvalidRequest(
            f"the new keys do not do for `{found.name}`, which keeps the old ones: {said}. "
            "Set `force` to take them nevertheless"
        )
