"""Storage integrations: create, list, show, update, verify, delete."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, cast

from pydantic import Field, SecretStr, model_validator
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import (
    integration_to_json,
    page_to_json,
    verification_to_json,
)
from graticule.domain.catalog import AccessKeys, StorageIntegration
from graticule.domain.errors import InvalidRequest
from graticule.domain.secret import Secret
from graticule.services.integrations.integration_updates import IntegrationChanges
from graticule.services.integrations.integrations import NewIntegration

_ETAG: Final = re.compile(r'(?:W/)?"(\d{1,9})"', re.ASCII)


class NewIntegrationBody(Body):
    name: str
    path: str
    role_arn: str | None = None
    access_key_id: str | None = None
    secret_access_key: Annotated[SecretStr, Field(strict=False)] | None = None
    region: str | None = None
    endpoint: str | None = None
    path_style: bool | None = None
    kms_key_arn: str | None = None
    read_only: bool = False
    requester_pays: bool = False
    allow_static_credentials: bool = False
    anonymous: bool = False

    @model_validator(mode="after")
    def _whole_keys(self) -> "NewIntegrationBody":
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("`access_key_id` and `secret_access_key` belong together")
        return self

    def to_domain(self) -> NewIntegration:
        keys = None
        if self.access_key_id is not None and self.secret_access_key is not None:
            keys = AccessKeys(self.access_key_id, Secret(self.secret_access_key.get_secret_value()))
        return NewIntegration(
            name=self.name,
            path=self.path,
            role_arn=self.role_arn,
            access_keys=keys,
            region=self.region,
            endpoint=self.endpoint,
            path_style=self.path_style,
            kms_key_arn=self.kms_key_arn,
            read_only=self.read_only,
            requester_pays=self.requester_pays,
            allow_static_credentials=self.allow_static_credentials,
            anonymous=self.anonymous,
        )


class IntegrationChangesBody(Body):
    """Only the fields that are there count; null clears what may be empty."""

    name: str = ""
    path: str = ""
    role_arn: str = ""
    region: str = ""
    endpoint: str | None = None
    path_style: bool = False
    kms_key_arn: str | None = None
    read_only: bool = False
    requester_pays: bool = False
    allow_static_credentials: bool = False
    version: int | None = None

    def to_domain(self) -> IntegrationChanges:
        given = self.model_dump(include=self.model_fields_set - {"version"})
        return cast("IntegrationChanges", given)


class NewKeysBody(Body):
    access_key_id: str
    secret_access_key: Annotated[SecretStr, Field(strict=False)]
    force: bool = False
    version: int | None = None


@once_managed
def create_integration(call: Call) -> Response:
    new = body_of(call, NewIntegrationBody).to_domain()
    landed = landed_id(call)
    if landed is not None:
        created = call.services.integrations.get(call.principal, landed)
    else:
        created = call.services.integrations.create(call.principal, new)
    return json_response(
        integration_to_json(created),
        status=201,
        headers={"Location": f"/api/v1/integrations/{created.id}", "ETag": etag_of(created)},
    )


def list_integrations(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.integrations.list(call.principal, after=asked.after, limit=asked.limit)
    return json_response(page_to_json(found, integration_to_json))


def show_integration(call: Call) -> Response:
    """The integration with its last verification."""
    found = call.services.integrations.get(call.principal, call.name("integration"))
    last = call.services.verifications.last(call.principal, found.id)
    return json_response(
        {**integration_to_json(found), "verification": last and verification_to_json(last)},
        headers={"ETag": etag_of(found)},
    )


@once_managed
def update_integration(call: Call) -> Response:
    body = body_of(call, IntegrationChangesBody)
    landed = landed_id(call)
    if landed is not None:
        return _shown(call, landed)
    updated = call.services.integration_updates.update(
        call.principal,
        call.name("integration"),
        body.to_domain(),
        expected_version=_expected_version(call, body.version),
    )
    return json_response(integration_to_json(updated), headers={"ETag": etag_of(updated)})


@once_managed
def rotate_keys(call: Call) -> Response:
    """Replaces the access keys once the store has taken the new ones, or at once if forced."""
    body = body_of(call, NewKeysBody)
    secret = Secret(body.secret_access_key.get_secret_value())
    landed = landed_id(call)
    if landed is not None:
        return _shown(call, landed)
    rotated = call.services.integration_updates.rotate_keys(
        call.principal,
        call.name("integration"),
        AccessKeys(body.access_key_id, secret),
        expected_version=_expected_version(call, body.version),
        force=body.force,
    )
    return json_response(integration_to_json(rotated), headers={"ETag": etag_of(rotated)})


@once_managed
def delete_integration(call: Call) -> Response:
    call.services.integrations.delete(call.principal, call.name("integration"))
    return no_content()


def _shown(call: Call, integration_id: str) -> Response:
    found = call.services.integrations.get(call.principal, integration_id)
    return json_response(integration_to_json(found), headers={"ETag": etag_of(found)})


def etag_of(integration: StorageIntegration) -> str:
    return f'"{integration.version}"'


def _expected_version(call: Call, in_body: int | None) -> int | None:
    """The version the caller has in mind: `version` of the body, or `If-Match` with an ETag."""
    if in_body is not None:
        return in_body
    wanted = (call.header("if-match") or "*").strip()
    if wanted == "*":
        return None
    match = _ETAG.fullmatch(wanted)
    if match is None:
        raise InvalidRequest(f"`If-Match` must be the ETag of an integration, not `{wanted}`")
    return int(match[1])


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/integrations", list_integrations, Action.USE_INTEGRATIONS),
    ("POST", "/integrations", create_integration, Action.CREATE_INTEGRATIONS),
    ("GET", "/integrations/{integration}", show_integration, Action.USE_INTEGRATIONS),
    ("DELETE", "/integrations/{integration}", delete_integration, Action.MANAGE_INTEGRATIONS),
    ("PATCH", "/integrations/{integration}", update_integration, Action.MANAGE_INTEGRATIONS),
    ("POST", "/integrations/{integration}/rotate", rotate_keys, Action.MANAGE_INTEGRATIONS),
)
