"""Storage integrations: create, list, show, verify, delete, and the policy texts they need."""

from typing import Annotated

from pydantic import Field, SecretStr, model_validator
from starlette.responses import Response

from graticule.api.endpoint import Call, json_response, no_content
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import (
    integration_to_json,
    page_to_json,
    policies_to_json,
    verification_to_json,
)
from graticule.domain.catalog import AccessKeys, AccessLevel
from graticule.domain.errors import InvalidRequest
from graticule.domain.secret import Secret
from graticule.services.integrations import NewIntegration


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


def create_integration(call: Call) -> Response:
    new = body_of(call, NewIntegrationBody).to_domain()
    created = call.services.integrations.create(call.principal, new)
    return json_response(
        integration_to_json(created),
        status=201,
        headers={"Location": f"/api/v1/integrations/{created.id}"},
    )


def list_integrations(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.integrations.list(call.principal, after=asked.after, limit=asked.limit)
    return json_response(page_to_json(found, integration_to_json))


def show_integration(call: Call) -> Response:
    """The integration with its last verification."""
    integrations = call.services.integrations
    found = integrations.get(call.principal, call.name("integration"))
    report = integrations.last_verification(call.principal, found.id)
    return json_response(
        {**integration_to_json(found), "verification": verification_to_json(report)}
    )


def delete_integration(call: Call) -> Response:
    call.services.integrations.delete(call.principal, call.name("integration"))
    return no_content()


def verify_integration(call: Call) -> Response:
    """Answers 200 with the report also when checks failed: verifying itself has succeeded."""
    found, report = call.services.integrations.verify(call.principal, call.name("integration"))
    return json_response(
        {**integration_to_json(found), "verification": verification_to_json(report)}
    )


def show_policies(call: Call) -> Response:
    found = call.services.integrations.policies(
        call.principal, call.name("integration"), _mode(call)
    )
    return json_response(policies_to_json(found))


def preview_policies(call: Call) -> Response:
    """The policy texts for `?path=s3://…` before the role and the integration exist."""
    path = call.query.get("path")
    if not path:
        raise InvalidRequest("`path` is missing; write `?path=s3://bucket/folder`")
    found = call.services.integrations.preview_policies(
        call.principal, path=path, access=_mode(call), region=call.query.get("region") or None
    )
    return json_response(policies_to_json(found))


def _mode(call: Call) -> AccessLevel:
    mode = call.query.get("mode") or AccessLevel.WRITE.value
    if mode not in {level.value for level in AccessLevel}:
        raise InvalidRequest(f"`mode` must be `read` or `write`, not `{mode}`")
    return AccessLevel(mode)
