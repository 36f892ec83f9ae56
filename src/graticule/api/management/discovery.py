"""Scans of a catalog's storage: start, watch, register what was proposed."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import Namespace
from graticule.domain.scan import Scan

Json = dict[str, Any]


class NewScan(Body):
    prefix: str | None = None
    """An S3 location below the integration's; all of it by default."""


class Registration(Body):
    tables: list[str] | str = "all"
    """Names of proposals, or `all`."""
    namespace: str
    """Made when it is not there; levels joined by dots."""


@once_managed
def start_scan(call: Call) -> Response:
    body = body_of(call, NewScan)
    landed = landed_id(call)
    if landed is not None:
        scan = call.services.discovery.get(call.principal, _catalog(call), landed)
    else:
        scan = call.services.discovery.start(call.principal, _catalog(call), prefix=body.prefix)
    return json_response(
        scan_to_json(scan),
        status=202,
        headers={"Location": f"/api/v1/catalogs/{scan.catalog_id}/scans/{scan.id}"},
    )


def list_scans(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.discovery.list_scans(
        call.principal, _catalog(call), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, _without_report))


def show_scan(call: Call) -> Response:
    scan = call.services.discovery.get(call.principal, _catalog(call), call.name("scan"))
    return json_response(scan_to_json(scan))


def cancel_scan(call: Call) -> Response:
    """A scan that runs stops within seconds; until then it is shown as running."""
    scan = call.services.discovery.cancel(call.principal, _catalog(call), call.name("scan"))
    return json_response(scan_to_json(scan), status=202)


def register_proposals(call: Call) -> Response:
    """Registers each proposal in a commit of its own and says what became of each."""
    body = body_of(call, Registration)
    registered = call.services.discovery.register(
        call.principal,
        _catalog(call),
        call.name("scan"),
        namespace=Namespace.of(body.namespace.split(".")),
        names=None if body.tables == "all" else _names(body.tables),
    )
    return json_response(
        {
            "tables": [
                {
                    "proposal": outcome.proposal,
                    "namespace": list(outcome.identifier.namespace.levels),
                    "name": outcome.identifier.name,
                    "files": outcome.files,
                    "rows": outcome.rows,
                    "error": outcome.error,
                }
                for outcome in registered
            ]
        }
    )


def scan_to_json(scan: Scan) -> Json:
    return {**_without_report(scan), "report": scan.report and dict(scan.report)}


def _without_report(scan: Scan) -> Json:
    return {
        "id": scan.id,
        "catalog_id": scan.catalog_id,
        "prefix": scan.prefix,
        "state": scan.state.value,
        "progress": dict(scan.progress),
        "requested_by": scan.requested_by,
        "created_at": moment(scan.created_at_ms),
        "finished_at": moment(scan.finished_at_ms),
    }


def _names(tables: list[str] | str) -> list[str]:
    return [tables] if isinstance(tables, str) else tables


def _catalog(call: Call) -> OpenCatalog:
    opened: OpenCatalog = call.services.catalogs.open(call.principal, call.name("catalog"))
    return opened


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/catalogs/{catalog}/scans", list_scans, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/scans", start_scan, Action.SCAN_CATALOG),
    ("GET", "/catalogs/{catalog}/scans/{scan}", show_scan, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/scans/{scan}/cancel", cancel_scan, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/scans/{scan}/register", register_proposals, Action.SCAN_CATALOG),
)
