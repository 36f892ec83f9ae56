"""Conversions: files of other formats in a catalog's storage become tables of it."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of
from graticule.api.management.jobs import job_to_json
from graticule.domain.identifiers import Namespace, TableIdentifier


class NewConversion(Body):
    source: str
    """The S3 location of a file, or of a folder of files of one format."""
    format: str | None = None
    """As a scan's report names it; needed for a folder."""
    namespace: str
    """Made when it is not there; levels joined by dots."""
    name: str


@once_managed
def start_conversion(call: Call) -> Response:
    """Answers with the job that carries it out."""
    body = body_of(call, NewConversion)
    landed = landed_id(call)
    if landed is not None:
        job = call.services.jobs.get(call.principal, landed)
    else:
        job = call.services.conversions.start(
            call.principal,
            call.services.catalogs.open(call.principal, call.name("catalog")),
            source=body.source,
            identifier=TableIdentifier(Namespace.of(body.namespace.split(".")), body.name),
            format_=body.format,
        )
    return json_response(
        job_to_json(job), status=202, headers={"Location": f"/api/v1/jobs/{job.id}"}
    )


ROUTES: Final[Sequence[Line]] = (
    ("POST", "/catalogs/{catalog}/conversions", start_conversion, Action.SCAN_CATALOG),
)
