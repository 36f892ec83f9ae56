"""Verifications of storage integrations: begun, followed, listed; drafts and changes tried."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.bodies import body_of, page_of, parse_body
from graticule.api.management.integrations import IntegrationChangesBody, NewIntegrationBody
from graticule.api.management.representations import (
    integration_to_json,
    page_to_json,
    report_to_json,
    verification_to_json,
)
from graticule.domain.errors import InvalidRequest
from graticule.services.integrations.verification_runs import WAIT_S_MAX
from graticule.storage.verification.engine import PATIENCE_S_MAX

WAIT_S_DEFAULT: Final = 30
"""A healthy store is done long before."""


def verify_draft(call: Call) -> Response:
    """Tries an integration that does not exist.  Keeps nothing, also not in the bucket."""
    new = body_of(call, NewIntegrationBody).to_domain()
    report = call.services.verifications.verify_draft(call.principal, new)
    return json_response({"verification": report_to_json(report)})


def verify_integration(call: Call) -> Response:
    """Begins a verification: 200 with its report if it ends while we wait, else 202.

    Answers 200 also when checks failed: verifying itself has succeeded.  With changes in the body
    they are tried, and neither they nor the report are kept.
    """
    name = call.name("integration")
    verifications = call.services.verifications
    changes = parse_body(call.json(), IntegrationChangesBody) if call.body else None
    if changes is not None and changes.to_domain():
        report = verifications.verify_changes(call.principal, name, changes.to_domain())
        return json_response({"verification": report_to_json(report)})
    found, verification = verifications.verify(
        call.principal,
        name,
        wait_s=_seconds(call, "wait_s", default=WAIT_S_DEFAULT, longest=WAIT_S_MAX),
        retry_s=_seconds(call, "retry_s", default=0, longest=PATIENCE_S_MAX),
    )
    return json_response(
        {**integration_to_json(found), "verification": verification_to_json(verification)},
        status=202 if verification.is_running else 200,
        headers={"Location": f"/api/v1/integrations/{found.id}/verifications/{verification.id}"},
    )


def list_verifications(call: Call) -> Response:
    """The history, newest first."""
    asked = page_of(call)
    found = call.services.verifications.history(
        call.principal, call.name("integration"), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, verification_to_json))


def show_verification(call: Call) -> Response:
    """One verification, also while it runs: then `checks` are those that are done."""
    found = call.services.verifications.get(
        call.principal, call.name("integration"), call.name("verification")
    )
    return json_response(verification_to_json(found))


def _seconds(call: Call, parameter: str, *, default: int, longest: float) -> int:
    text = call.query.get(parameter) or str(default)
    if not text.isascii() or not text.isdecimal() or int(text[:9]) > longest:
        raise InvalidRequest(
            f"`{parameter}` must be a number of seconds from 0 to {longest:.0f}, not `{text}`"
        )
    return int(text)


_ALL: Final = "/integrations/{integration}/verifications"

ROUTES: Final[Sequence[Line]] = (
    ("POST", "/integrations/verify", verify_draft, Action.CREATE_INTEGRATIONS),
    ("POST", "/integrations/{integration}/verify", verify_integration, Action.MANAGE_INTEGRATIONS),
    ("GET", _ALL, list_verifications, Action.USE_INTEGRATIONS),
    ("GET", f"{_ALL}/{{verification}}", show_verification, Action.USE_INTEGRATIONS),
)
