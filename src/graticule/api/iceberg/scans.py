"""Scan planning operations of the Iceberg REST specification.

Always answered at once with `completed`; PyIceberg understands nothing else.  Large plans go on in
plan tasks, which carry all they need and are signed, so no plan is kept anywhere.
"""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from graticule.access.delegation import Delegation
from graticule.api.endpoint import Call, json_response, no_content
from graticule.api.iceberg import wire
from graticule.domain.errors import (
    InvalidPageToken,
    InvalidRequest,
    NoSuchPlan,
    NoSuchPlanTask,
    Unsupported,
)
from graticule.iceberg import expressions
from graticule.iceberg.expressions import AlwaysTrue
from graticule.services.scans import Plan, PlanRequest

Json = dict[str, Any]

_TASKS_OF = "plan tasks"


def plan_table_scan(call: Call) -> Response:
    body = call.json()
    request = _request(body)
    plan = call.services.scans.plan(
        call.principal, wire.open_catalog(call), wire.table_of(call), request
    )
    answer = {"status": "completed", "plan-id": call.request_id, **_tasks(call, plan, body)}
    accepted = wire.delegations_of(call)
    if Delegation.VENDED_CREDENTIALS in accepted:
        storage = call.services.tables.vend(
            call.principal, wire.open_catalog(call), wire.table_of(call), delegate=accepted
        )
        if storage.has_credentials:
            credential = {"prefix": storage.prefix, "config": dict(storage.config)}
            answer["storage-credentials"] = [credential]
    return json_response(answer, headers={"Cache-Control": "no-store"})


def fetch_scan_tasks(call: Call) -> Response:
    """The part of a plan that a plan task stands for.

    Raises:
        NoSuchPlanTask: not a task of this server, or of another table.
    """
    token = wire.text(call.json(), "plan-task")
    try:
        text = call.services.page_tokens.read(token, of=_tasks_of(call))
    except InvalidPageToken as error:
        raise NoSuchPlanTask("no such plan task; plan the scan again") from error
    body = json.loads(text)
    plan = call.services.scans.plan(
        call.principal,
        wire.open_catalog(call),
        wire.table_of(call),
        _request(body["request"], snapshot_id=body["snapshot-id"]),
        first=body["first"],
    )
    return json_response(_tasks(call, plan, body["request"]))


def fetch_planning_result(call: Call) -> Response:
    """Nothing is kept: a plan is complete in the answer that made it.

    Raises:
        NoSuchPlan: always, for a table that is there.
    """
    call.services.tables.readable(call.principal, wire.open_catalog(call), wire.table_of(call))
    raise NoSuchPlan("no plan is kept; it was complete when it was submitted")


def cancel_planning(call: Call) -> Response:
    """Nothing is kept, so there is nothing to cancel; clients cancel when they close a plan."""
    call.services.tables.readable(call.principal, wire.open_catalog(call), wire.table_of(call))
    return no_content()


def _tasks(call: Call, plan: Plan, body: Json) -> Json:
    answer: Json = {"file-scan-tasks": plan.tasks}
    if plan.delete_files:
        answer["delete-files"] = plan.delete_files
    if plan.next_first is not None:
        state = json.dumps(
            {"request": body, "snapshot-id": plan.snapshot_id, "first": plan.next_first}
        )
        answer["plan-tasks"] = [call.services.page_tokens.issue(_tasks_of(call), state)]
    return answer


def _tasks_of(call: Call) -> str:
    return wire.list_of(call, _TASKS_OF, str(wire.table_of(call)))


def _request(body: Mapping[str, Any], *, snapshot_id: int | None = None) -> PlanRequest:
    if body.get("start-snapshot-id") is not None or body.get("end-snapshot-id") is not None:
        raise Unsupported(
            "incremental scans are not planned by this server; plan them in the client"
        )
    wire.names(body, "select")  # only checked: a plan names files, the client chooses columns
    wanted = body.get("snapshot-id") if snapshot_id is None else snapshot_id
    if wanted is not None and (not isinstance(wanted, int) or isinstance(wanted, bool)):
        raise InvalidRequest("`snapshot-id` must be a whole number")
    filter_json = body.get("filter")
    return PlanRequest(
        snapshot_id=wanted,
        filter=AlwaysTrue() if filter_json is None else expressions.parse(filter_json),
        case_sensitive=body.get("case-sensitive") is not False,
        use_snapshot_schema=wire.flag(body, "use-snapshot-schema"),
        stats_fields=tuple(wire.names(body, "stats-fields")),
    )
