"""Scans of a catalog's storage: start, watch, register what was proposed."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.discovery.proposal import Confidence
from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import Namespace
from graticule.domain.scan import Scan, ScanEngine, ScanPolicy

Json = dict[str, Any]


ConfidenceName = Literal["high", "medium", "low"]


class NewScan(Body):
    prefix: str | None = None
    """An S3 location below the integration's; all of it by default."""
    ignore: list[str] = Field(default_factory=list)
    """Patterns of keys to pass over; kept for the scans to come."""
    auto_approve: ConfidenceName | None = None
    """Register what is at least as sure as this when the scan ends."""
    namespace: str | None = None
    """Where to register it; by default where it was proposed."""
    engine: Literal["server", "spark"] = "server"
    """Who inspects the files; for another than the server they are put ready."""


class Renamed(Body):
    """A proposal, and the table to make of it."""

    table: str
    name: str
    """A table name, or one with namespace levels in front, joined by dots."""


class Registration(Body):
    tables: list[str | Renamed] | str = "all"
    """Names of proposals, with new ones for some; or `all`."""
    namespace: str | None = None
    """Made when it is not there; levels joined by dots.  By default where it was proposed."""
    min_confidence: ConfidenceName = "low"
    """Of `all`, only those that are at least as sure."""
    rename: dict[str, str] = Field(default_factory=dict)
    """New names by proposal, when all are registered."""
    ignore: list[str] = Field(default_factory=list)
    """Patterns of keys to leave out; kept for the scans to come."""


class Policy(Body):
    ignore: list[str] = Field(default_factory=list)
    auto_approve: ConfidenceName | None = None


@once_managed
def start_scan(call: Call) -> Response:
    body = body_of(call, NewScan)
    landed = landed_id(call)
    if landed is not None:
        scan = call.services.discovery.get(call.principal, _catalog(call), landed)
    else:
        scan = call.services.discovery.start(
            call.principal,
            _catalog(call),
            prefix=body.prefix,
            ignore=body.ignore,
            auto_approve=_confidence(body.auto_approve),
            namespace=_namespace(body.namespace),
            engine=ScanEngine(body.engine),
        )
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


def take_over_scan(call: Call) -> Response:
    """The server goes on where it waits for other machines."""
    scan = call.services.discovery.take_over(call.principal, _catalog(call), call.name("scan"))
    return json_response(scan_to_json(scan), status=202)


def register_proposals(call: Call) -> Response:
    """Registers each proposal in a commit of its own and says what became of each."""
    body = body_of(call, Registration)
    registered = call.services.discovery.register(
        call.principal,
        _catalog(call),
        call.name("scan"),
        names=_names(body.tables),
        renamed=body.rename | _renamed(body.tables),
        namespace=_namespace(body.namespace),
        at_least=Confidence(body.min_confidence),
        ignore=body.ignore,
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


def show_policy(call: Call) -> Response:
    policy = call.services.scan_policies.get(call.principal, _catalog(call))
    return json_response(_policy_to_json(policy))


@once_managed
def replace_policy(call: Call) -> Response:
    body = body_of(call, Policy)
    catalog = _catalog(call)
    if landed_id(call) is not None:
        return json_response(
            _policy_to_json(call.services.scan_policies.get(call.principal, catalog))
        )
    policy = call.services.scan_policies.put(
        call.principal, catalog, ignored=body.ignore, auto_approve=_confidence(body.auto_approve)
    )
    return json_response(_policy_to_json(policy))


def _policy_to_json(policy: ScanPolicy) -> Json:
    return {"ignore": list(policy.ignored), "auto_approve": policy.auto_approve}


def _confidence(name: ConfidenceName | None) -> Confidence | None:
    return None if name is None else Confidence(name)


def _namespace(text: str | None) -> Namespace | None:
    return None if text is None else Namespace.of(text.split("."))


def _names(tables: list[str | Renamed] | str) -> list[str] | None:
    if tables == "all":
        return None
    named = [tables] if isinstance(tables, str) else tables
    return [each if isinstance(each, str) else each.table for each in named]


def _renamed(tables: list[str | Renamed] | str) -> dict[str, str]:
    if isinstance(tables, str):
        return {}
    return {each.table: each.name for each in tables if isinstance(each, Renamed)}


def _catalog(call: Call) -> OpenCatalog:
    opened: OpenCatalog = call.services.catalogs.open(call.principal, call.name("catalog"))
    return opened


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/catalogs/{catalog}/scans", list_scans, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/scans", start_scan, Action.SCAN_CATALOG),
    ("GET", "/catalogs/{catalog}/scans/{scan}", show_scan, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/scans/{scan}/cancel", cancel_scan, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/scans/{scan}/take-over", take_over_scan, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/scans/{scan}/register", register_proposals, Action.SCAN_CATALOG),
    ("GET", "/catalogs/{catalog}/scan-policy", show_policy, Action.SCAN_CATALOG),
    ("PUT", "/catalogs/{catalog}/scan-policy", replace_policy, Action.SCAN_CATALOG),
)
