"""`GET …/tables/{table}/metrics`: what clients reported about their scans and commits."""

import json
from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.bodies import page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.api.management.table_paths import TABLE, table_of
from graticule.domain.metrics import MetricsReport

Json = dict[str, Any]


def list_reports(call: Call) -> Response:
    """Newest first."""
    asked = page_of(call)
    found = call.services.metrics.list(
        call.principal,
        call.services.catalogs.open(call.principal, call.name("catalog")),
        table_of(call),
        after=asked.after,
        limit=asked.limit,
    )
    return json_response(page_to_json(found, _json))


def _json(report: MetricsReport) -> Json:
    return {
        "id": report.id,
        "report_type": report.report_type,
        "snapshot_id": report.snapshot_id,
        "reported_by": report.principal,
        "received_at": moment(report.received_at_ms),
        "report": json.loads(report.report),
    }


ROUTES: Final[Sequence[Line]] = (("GET", f"{TABLE}/metrics", list_reports, Action.READ_CATALOG),)
