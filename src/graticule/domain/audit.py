"""What happened: one event for each change, and for each credential that left the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from graticule.domain.catalog import (
    Catalog,
    NamespaceRecord,
    StorageIntegration,
    TableRecord,
)
from graticule.domain.function import FunctionRecord
from graticule.domain.grants import Privilege
from graticule.domain.tenancy import Principal, Role


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    DENIED = "denied"


class EventType(StrEnum):
    """Everything that is told: a kind of thing, and what was done with it."""

    ORGANISATION_CREATED = "organisation.created"
    ORGANISATION_UPDATED = "organisation.updated"
    MEMBER_CREATED = "member.created"
    MEMBER_UPDATED = "member.updated"
    MEMBER_DELETED = "member.deleted"
    PASSWORD_CHANGED = "member.password_changed"
    API_KEY_CREATED = "api_key.created"
    API_KEY_REVOKED = "api_key.revoked"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    SIGN_IN_DENIED = "session.denied"
    TOKEN_ISSUED = "session.token_issued"
    ISSUER_CREATED = "issuer.created"
    ISSUER_DELETED = "issuer.deleted"
    ROLE_CREATED = "role.created"
    ROLE_UPDATED = "role.updated"
    ROLE_DELETED = "role.deleted"
    GRANT_CREATED = "grant.created"
    GRANT_REVOKED = "grant.revoked"
    INTEGRATION_CREATED = "integration.created"
    INTEGRATION_UPDATED = "integration.updated"
    INTEGRATION_KEYS_ROTATED = "integration.keys_rotated"
    INTEGRATION_VERIFIED = "integration.verified"
    INTEGRATION_DELETED = "integration.deleted"
    OBJECT_DOWNLOADED = "integration.object_downloaded"
    CATALOG_CREATED = "catalog.created"
    CATALOG_DELETED = "catalog.deleted"
    SCAN_POLICY_CHANGED = "catalog.scan_policy_changed"
    NAMESPACE_CREATED = "namespace.created"
    NAMESPACE_UPDATED = "namespace.updated"
    NAMESPACE_DROPPED = "namespace.dropped"
    TABLE_CREATED = "table.created"
    TABLE_COMMITTED = "table.committed"
    TABLE_REGISTERED = "table.registered"
    TABLE_RENAMED = "table.renamed"
    TABLE_DROPPED = "table.dropped"
    TABLE_UNREGISTERED = "table.unregistered"
    INDEX_DAMAGED = "table.index_damaged"
    VIEW_CREATED = "view.created"
    VIEW_REPLACED = "view.replaced"
    VIEW_REGISTERED = "view.registered"
    VIEW_RENAMED = "view.renamed"
    VIEW_DROPPED = "view.dropped"
    FUNCTION_CREATED = "function.created"
    FUNCTION_REPLACED = "function.replaced"
    FUNCTION_DROPPED = "function.dropped"
    CREDENTIAL_VENDED = "table.credential_vended"
    REQUEST_SIGNED = "table.request_signed"
    SCAN_STARTED = "scan.started"
    SCAN_CANCELLED = "scan.cancelled"
    SCAN_TOKEN_ISSUED = "scan.token_issued"
    SCAN_CREDENTIAL_VENDED = "scan.credential_vended"
    SCAN_TAKEN_OVER = "scan.taken_over"
    SCAN_REGISTERED = "scan.registered"
    SYNC_SETTINGS_CHANGED = "catalog.sync_settings_changed"
    SYNC_STARTED = "sync.started"
    SYNC_FINISHED = "sync.finished"
    SYNC_CONFIRMED = "sync.confirmed"
    SYNC_DISCARDED = "sync.discarded"
    SYNC_UNDONE = "sync.undone"
    CONVERSION_STARTED = "conversion.started"
    JOB_CANCELLED = "job.cancelled"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_ENABLED = "webhook.enabled"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_DELETED = "webhook.deleted"
    REQUEST_DENIED = "request.denied"


class SubjectKind(StrEnum):
    """What an event is about."""

    ORGANISATION = "organisation"
    MEMBER = "member"
    ROLE = "role"
    API_KEY = "api_key"
    SESSION = "session"
    ISSUER = "issuer"
    INTEGRATION = "integration"
    CATALOG = "catalog"
    NAMESPACE = "namespace"
    TABLE = "table"
    VIEW = "view"
    FUNCTION = "function"
    SCAN = "scan"
    SYNC = "sync"
    JOB = "job"
    GRANT = "grant"
    WEBHOOK = "webhook"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Subject:
    """The thing an event is about, named as it was called then.

    `catalog_id` is set for what lies in a catalog, and for the catalog itself.
    """

    kind: SubjectKind
    id: str
    name: str
    catalog_id: str | None = None


def of_catalog(catalog: Catalog) -> Subject:
    return Subject(SubjectKind.CATALOG, catalog.id, catalog.name, catalog.id)


def of_namespace(record: NamespaceRecord) -> Subject:
    return Subject(SubjectKind.NAMESPACE, record.id, str(record.namespace), record.catalog_id)


def of_table(record: TableRecord) -> Subject:
    return Subject(SubjectKind.TABLE, record.id, str(record.identifier), record.catalog_id)


def of_view(record: TableRecord) -> Subject:
    return Subject(SubjectKind.VIEW, record.id, str(record.identifier), record.catalog_id)


def of_function(record: FunctionRecord) -> Subject:
    return Subject(SubjectKind.FUNCTION, record.id, str(record), record.catalog_id)


def of_integration(integration: StorageIntegration) -> Subject:
    return Subject(SubjectKind.INTEGRATION, integration.id, integration.name)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what, on what, when, from where, how it ended, and what allowed it.

    `occurrences` is above 1 where
    equal events of one moment were put together; only credentials handed out and denials are.
    """

    id: str
    organisation_id: str
    at_ms: int
    type: EventType
    subject: Subject
    outcome: Outcome
    member_id: str
    member_name: str
    credential_id: str
    allowed_by: str
    request_id: str
    address: str
    occurrences: int = 1
    details: Mapping[str, Any] = field(default_factory=dict)


def event_of(
    principal: Principal,
    type_: EventType,
    subject: Subject,
    *,
    event_id: str,
    now_ms: int,
    outcome: Outcome = Outcome.SUCCEEDED,
    by: Privilege | None = None,
    details: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """An event of something that this principal did.

    `by` is the privilege that it took, of which admins hold all by their role.
    """
    is_granted = by is not None and principal.role is not Role.ADMIN
    return AuditEvent(
        id=event_id,
        organisation_id=principal.organisation_id,
        at_ms=now_ms,
        type=type_,
        subject=subject,
        outcome=outcome,
        member_id=principal.member_id,
        member_name=principal.name,
        credential_id=principal.key_id,
        allowed_by=f"privilege {by}" if is_granted else f"role {principal.role.value}",
        request_id=principal.origin.request_id,
        address=principal.origin.address,
        details=details or {},
    )


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events are asked for.  `type` may end in `*`; times are a half-open interval."""

    type: str | None = None
    member: str | None = None
    subject: str | None = None
    """An id or a name."""
    catalog_id: str | None = None
    outcome: Outcome | None = None
    since_ms: int | None = None
    until_ms: int | None = None
