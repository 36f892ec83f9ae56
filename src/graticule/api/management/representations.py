"""What the management API shows of each thing.  No secret is among it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from graticule.domain.catalog import Catalog, StorageIntegration
from graticule.domain.tenancy import (
    ApiKey,
    CredentialKind,
    Member,
    Organisation,
    Principal,
    Session,
)
from graticule.domain.verification import Check, Report, Verification, VerificationState
from graticule.services.integrations.integration_policies import Policies
from graticule.services.pages import Page

Json = dict[str, Any]


def page_to_json(page: Page, show: Callable[[Any], Json]) -> Json:
    return {"items": [show(item) for item in page.items], "next": page.next_after}


def moment(at_ms: int | None) -> str | None:
    """A time as RFC 3339 in UTC, to the millisecond."""
    if at_ms is None:
        return None
    text = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def principal_to_json(principal: Principal) -> Json:
    return {
        "member_id": principal.member_id,
        "name": principal.name,
        "role": principal.role.value,
        "organisation_id": principal.organisation_id,
        "edition": principal.edition.value,
        "scopes": sorted(scope.value for scope in principal.scopes),
        "credential": principal.credential.value,
        "key_id": principal.key_id if principal.credential is CredentialKind.API_KEY else None,
    }


def organisation_to_json(organisation: Organisation) -> Json:
    return {
        "id": organisation.id,
        "name": organisation.name,
        "edition": organisation.edition.value,
        "external_id": organisation.id,
        "created_at": moment(organisation.created_at_ms),
    }


def member_to_json(member: Member) -> Json:
    return {
        "id": member.id,
        "name": member.name,
        "kind": member.kind.value,
        "role": member.role.value,
        "created_at": moment(member.created_at_ms),
        "disabled_at": moment(member.disabled_at_ms),
    }


def key_to_json(key: ApiKey) -> Json:
    return {
        "client_id": key.id,
        "name": key.name,
        "member_id": key.member_id,
        "scopes": sorted(scope.value for scope in key.scopes),
        "created_at": moment(key.created_at_ms),
        "expires_at": moment(key.expires_at_ms),
        "revoked_at": moment(key.revoked_at_ms),
        "last_used_at": moment(key.last_used_at_ms),
    }


def session_to_json(session: Session) -> Json:
    return {
        "id": session.id,
        "method": session.method,
        "created_at": moment(session.created_at_ms),
        "last_seen_at": moment(session.last_seen_at_ms),
        "expires_at": moment(session.expires_at_ms),
    }


def integration_to_json(integration: StorageIntegration) -> Json:
    keys = integration.access_keys
    return {
        "id": integration.id,
        "name": integration.name,
        "path": integration.location.uri,
        "region": integration.region,
        "endpoint": integration.endpoint,
        "path_style": integration.path_style,
        "role_arn": integration.role_arn,
        "access_key_id": f"…{keys.access_key_id[-4:]}" if keys is not None else None,
        "anonymous": integration.is_anonymous,
        "external_id": integration.external_id,
        "kms_key_arn": integration.kms_key_arn,
        "read_only": integration.read_only,
        "requester_pays": integration.requester_pays,
        "allow_static_credentials": integration.allow_static_credentials,
        "bucket_type": integration.bucket_type.value,
        "version": integration.version,
        "created_at": moment(integration.created_at_ms),
        "verified_at": moment(integration.verified_at_ms),
        "verification_status": integration.verification_status.value,
    }


def report_to_json(report: Report) -> Json:
    """What was found of something that is not kept."""
    return {
        "passed": report.passed,
        "bucket_type": report.bucket_type.value,
        "requester_pays": report.requester_pays,
        "checks": [_check_to_json(check) for check in report.checks],
    }


def verification_to_json(verification: Verification) -> Json:
    """`passed` is null while it runs, and when it did not come to an end."""
    ended = verification.state in {VerificationState.PASSED, VerificationState.FAILED}
    return {
        "id": verification.id,
        "state": verification.state.value,
        "trigger": verification.trigger.value,
        "requested_by": verification.requested_by,
        "started_at": moment(verification.started_at_ms),
        "verified_at": moment(verification.finished_at_ms),
        "passed": verification.state is VerificationState.PASSED if ended else None,
        "waiting": verification.waiting or None,
        "bucket_type": verification.bucket_type.value,
        "checks": [_check_to_json(check) for check in verification.checks],
    }


def _check_to_json(check: Check) -> Json:
    return {
        "id": check.id,
        "title": check.title,
        "status": check.status.value,
        "ms": check.ms,
        "detail": check.detail,
        "remedy": check.remedy or None,
        "docs": check.docs,
    }


def policies_to_json(policies: Policies) -> Json:
    key, value = policies.role_tag
    return {
        "mode": policies.access.value,
        "name": policies.identity_name,
        "role_policy": policies.role_policy,
        "trust_policy": policies.trust_policy,
        "user_policy": policies.user_policy,
        "server_policy": policies.server_policy,
        "external_id": policies.external_id,
        "principal_arn": policies.principal_arn,
        "role_tags": {key: value},
        "partition": policies.partition,
        "notes": list(policies.notes),
    }


def catalog_to_json(catalog: Catalog) -> Json:
    return {
        "id": catalog.id,
        "name": catalog.name,
        "integration_id": catalog.integration_id,
        "location": catalog.location.uri,
        "properties": dict(catalog.properties),
        "forced_on": catalog.forced_on.value if catalog.forced_on is not None else None,
        "created_at": moment(catalog.created_at_ms),
    }
