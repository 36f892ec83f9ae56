"""The policies that a bucket's owner pastes: as JSON, as Terraform, as commands."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.responses import PlainTextResponse, Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.representations import policies_to_json
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import InvalidRequest
from graticule.services.integrations.integration_policies import Policies, PolicyRequest
from graticule.services.integrations.policy_scripts import aws_cli, terraform

_SCRIPTS: Final[Mapping[str, Callable[[Policies], str]]] = {"terraform": terraform, "cli": aws_cli}
_IDENTITIES: Final = ("role", "user")


def show_policies(call: Call) -> Response:
    """The policies of an integration, in `?format=json|terraform|cli`."""
    policies = call.services.integration_policies
    return _answer(call, policies.of(call.principal, call.name("integration"), _mode(call)))


def preview_policies(call: Call) -> Response:
    """The same for `?path=s3://…`, before the role and the integration exist."""
    path = call.query.get("path")
    if not path:
        raise InvalidRequest("`path` is missing; write `?path=s3://bucket/folder`")
    identity = call.query.get("identity") or "role"
    if identity not in _IDENTITIES:
        raise InvalidRequest(f"`identity` must be `role` or `user`, not `{identity}`")
    asked = PolicyRequest(
        path=path,
        region=call.query.get("region") or None,
        endpoint=call.query.get("endpoint") or None,
        kms_key_arn=call.query.get("kms_key_arn") or None,
        requester_pays=_flag(call, "requester_pays"),
        uses_access_keys=identity == "user",
        identity_name=call.query.get("name") or None,
    )
    found = call.services.integration_policies.preview(call.principal, asked, _mode(call))
    return _answer(call, found)


def _answer(call: Call, policies: Policies) -> Response:
    wanted = call.query.get("format") or "json"
    if wanted == "json":
        return json_response(policies_to_json(policies))
    script = _SCRIPTS.get(wanted)
    if script is None:
        raise InvalidRequest(f"`format` must be `json`, `terraform` or `cli`, not `{wanted}`")
    return PlainTextResponse(script(policies))


def _mode(call: Call) -> AccessLevel | None:
    mode = call.query.get("mode")
    if not mode:
        return None
    if mode not in {level.value for level in AccessLevel}:
        raise InvalidRequest(f"`mode` must be `read` or `write`, not `{mode}`")
    return AccessLevel(mode)


def _flag(call: Call, name: str) -> bool:
    value = call.query.get(name) or "false"
    if value not in {"true", "false"}:
        raise InvalidRequest(f"`{name}` must be `true` or `false`, not `{value}`")
    return value == "true"


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/policies", preview_policies, Action.CREATE_INTEGRATIONS),
    ("GET", "/integrations/{integration}/policies", show_policies, Action.MANAGE_INTEGRATIONS),
)
