"""Scan planning operations of the Iceberg REST specification.

Nothing of a plan is kept: its id and its tasks carry all that was asked, signed, so that any
replica can answer them.  A plan is complete in the answer that makes it, unless its index has to be
built first and the client knows how to ask again.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from starlette.responses import Response

from graticule.access.delegation import Delegation
from graticule.api.endpoint import Call, json_response, no_content
from graticule.api.iceberg import wire
from graticule.domain.errors import (
    InvalidPageToken,
    InvalidRequest,
    NoSuchPlan,
    NoSuchPlanTask,
    PlanFailed,
)
from graticule.iceberg import expressions
from graticule.iceberg.expressions import AlwaysTrue
from graticule.services.planning.scans import Cancelled, Part, Plan, PlanRequest, Submitted, Wait

Json = dict[str, Any]

PLAN_ID_CHARACTERS_MAX: Final = 4_000
"""A plan id is part of a URL.  Whoever asks for more is answered at once, and can not ask again."""
TOKENS_CHARACTERS_MAX: Final = 2_000_000
"""Of all plan tasks in one answer, each of which repeats what was asked."""

_JAVA_VERSION: Final = re.compile(r"Apache Iceberg (\d+)\.(\d+)", re.IGNORECASE)
_JAVA_POLLS_FROM: Final = (1, 11)
_FAILED_TYPE: Final = "NotFoundException"
_FAILED_CODE: Final = 404


def plan_table_scan(call: Call) -> Response:
    body = call.json()
    request = _request(body)
    asked = _worth_keeping(body)
    can_wait = (
        _can_wait(call)
        and len(_plan_id(call, asked, "", None, Wait("", ""))) < PLAN_ID_CHARACTERS_MAX
    )
    try:
        plan = call.services.scans.begin(
            call.principal,
            wire.open_catalog(call),
            wire.table_of(call),
            request,
            can_wait=can_wait,
        )
    except PlanFailed as error:
        return _failed(error)
    if isinstance(plan, Submitted):
        plan_id = _plan_id(call, asked, plan.table_id, plan.snapshot_id, plan.wait)
        return _answer({"status": "submitted", "plan-id": plan_id})
    plan_id = _plan_id(call, asked, plan.table_id, plan.snapshot_id, None)
    if len(plan_id) > PLAN_ID_CHARACTERS_MAX:
        plan_id = call.request_id
    return _answer({"plan-id": plan_id, **_completed(call, plan, asked)})


def fetch_planning_result(call: Call) -> Response:
    """What has become of a plan; a complete one is made again, of the same snapshot.

    Raises:
        NoSuchPlan: not a plan of this table, member and server, or one that expired.
    """
    call.services.tables.readable(call.principal, wire.open_catalog(call), wire.table_of(call))
    try:
        state = call.services.plan_tokens.read(call.name("plan-id"), of=_plan_of(call))
    except InvalidPageToken as error:
        raise NoSuchPlan("no such plan; plan the scan again") from error
    try:
        plan = call.services.scans.result(
            call.principal,
            wire.open_catalog(call),
            wire.table_of(call),
            _request(state["asked"], snapshot_id=state["snapshot-id"]),
            _wait(state),
        )
    except PlanFailed as error:
        return _failed(error)
    except InvalidRequest as error:
        raise NoSuchPlan(f"{error.message}; plan the scan again") from error
    if plan.table_id != state["table-id"]:
        raise NoSuchPlan("the table is another one now; plan the scan again")
    if isinstance(plan, Submitted | Cancelled):
        status = "submitted" if isinstance(plan, Submitted) else "cancelled"
        return _answer({"status": status})
    return _answer(_completed(call, plan, state["asked"]))


def cancel_planning(call: Call) -> Response:
    """A plan that waits for its index stops that, unless others wait for it as well.

    Of a complete plan nothing is kept.  Clients cancel whenever they close one, so any id will do.
    """
    call.services.tables.readable(call.principal, wire.open_catalog(call), wire.table_of(call))
    with suppress(InvalidPageToken):
        wait = _wait(call.services.plan_tokens.read(call.name("plan-id"), of=_plan_of(call)))
        if wait is not None:
            call.services.scans.cancel(call.principal, wait)
    return no_content()


def fetch_scan_tasks(call: Call) -> Response:
    """The part of a plan that a plan task stands for.

    Raises:
        NoSuchPlanTask: not a task of this table, member and server, or one that expired.
    """
    token = wire.text(call.json(), "plan-task")
    call.services.tables.readable(call.principal, wire.open_catalog(call), wire.table_of(call))
    try:
        state = call.services.plan_tokens.read(token, of=_task_of(call))
    except InvalidPageToken as error:
        raise NoSuchPlanTask("no such plan task; plan the scan again") from error
    try:
        plan = call.services.scans.go_on(
            call.principal,
            wire.open_catalog(call),
            wire.table_of(call),
            _request(state["asked"], snapshot_id=state["snapshot-id"]),
            Part(state["first"], state["last"]),
        )
    except (PlanFailed, InvalidRequest) as error:
        raise NoSuchPlanTask(f"{error.message}; plan the scan again") from error
    if plan.table_id != state["table-id"]:
        raise NoSuchPlanTask("the table is another one now; plan the scan again")
    return json_response(_tasks(call, plan, state["asked"]))


def _can_wait(call: Call) -> bool:
    """Whether the client knows how to ask for a plan again; PyIceberg 0.12 fails if it has to."""
    if "respond-async" in (call.header("prefer") or "").lower():
        return True
    java = _JAVA_VERSION.match(call.header("x-client-version") or "")
    return java is not None and (int(java[1]), int(java[2])) >= _JAVA_POLLS_FROM


def _answer(body: Json) -> Response:
    return json_response(body, headers={"Cache-Control": "no-store"})


def _failed(error: PlanFailed) -> Response:
    model = {"message": error.message, "type": _FAILED_TYPE, "code": _FAILED_CODE}
    return _answer({"status": "failed", "error": model})


def _completed(call: Call, plan: Plan, asked: Json) -> Json:
    answer = {"status": "completed", **_tasks(call, plan, asked)}
    accepted = wire.delegations_of(call)
    if Delegation.VENDED_CREDENTIALS in accepted:
        storage = call.services.tables.vend(
            call.principal, wire.open_catalog(call), wire.table_of(call), delegate=accepted
        )
        if storage.has_credentials:
            credential = {"prefix": storage.prefix, "config": dict(storage.config)}
            answer["storage-credentials"] = [credential]
    return answer


def _tasks(call: Call, plan: Plan, asked: Json) -> Json:
    answer: Json = {"file-scan-tasks": plan.tasks}
    if plan.delete_files:
        answer["delete-files"] = plan.delete_files
    if plan.rest:
        answer["plan-tasks"] = _plan_tasks(call, plan, asked)
    return answer


def _plan_tasks(call: Call, plan: Plan, asked: Json) -> list[str]:
    """A token for each part; the last one stands for all that are left, if they get too long."""
    last = plan.rest[-1].last
    tokens: list[str] = []
    size = 0
    for part in plan.rest:
        tokens.append(_plan_task(call, plan, asked, part))
        size += len(tokens[-1])
        if size > TOKENS_CHARACTERS_MAX and part is not plan.rest[-1]:
            tokens[-1] = _plan_task(call, plan, asked, Part(part.first, last))
            break
    return tokens


def _plan_task(call: Call, plan: Plan, asked: Json, part: Part) -> str:
    state = {
        "asked": asked,
        "table-id": plan.table_id,
        "snapshot-id": plan.snapshot_id,
        "first": part.first,
        "last": part.last,
    }
    token: str = call.services.plan_tokens.issue(_task_of(call), state)
    return token


def _plan_id(
    call: Call, asked: Json, table_id: str, snapshot_id: int | None, wait: Wait | None
) -> str:
    state = {
        "asked": asked,
        "table-id": table_id,
        "snapshot-id": snapshot_id,
        "job-id": None if wait is None else wait.job_id,
        "waiter": None if wait is None else wait.waiter,
    }
    token: str = call.services.plan_tokens.issue(_plan_of(call), state)
    return token


def _wait(state: Json) -> Wait | None:
    """What a plan waits for, from its id."""
    return None if state["job-id"] is None else Wait(state["job-id"], state["waiter"])


def _plan_of(call: Call) -> str:
    return _of(call, "plan")


def _task_of(call: Call) -> str:
    return _of(call, "plan tasks")


def _of(call: Call, kind: str) -> str:
    """What a token is bound to: the table as one member names it."""
    table = wire.list_of(call, kind, str(wire.table_of(call)))
    return f"{table}/{call.principal.member_id}"


_KEPT: Final = (
    "start-snapshot-id",
    "end-snapshot-id",
    "filter",
    "case-sensitive",
    "use-snapshot-schema",
    "stats-fields",
)


def _worth_keeping(body: Mapping[str, Any]) -> Json:
    """What a plan depends on, beside its snapshot."""
    return {name: body[name] for name in _KEPT if body.get(name) is not None}


def _request(body: Mapping[str, Any], *, snapshot_id: int | None = None) -> PlanRequest:
    wire.names(body, "select")  # only checked: a plan names files, the client chooses columns
    rows = _id(body, "min-rows-requested")  # only checked: a hint, and all rows are enough of them
    if rows is not None and rows < 0:
        raise InvalidRequest("`min-rows-requested` must not be negative")
    start, end = _id(body, "start-snapshot-id"), _id(body, "end-snapshot-id")
    wanted = _id(body, "snapshot-id") if snapshot_id is None else snapshot_id
    if (start is None) != (end is None):
        raise InvalidRequest("`start-snapshot-id` and `end-snapshot-id` belong together")
    if start is not None and _id(body, "snapshot-id") is not None:
        raise InvalidRequest("`snapshot-id` and a range of snapshots exclude each other")
    filter_json = body.get("filter")
    return PlanRequest(
        snapshot_id=wanted if end is None else end,
        after_snapshot_id=start,
        filter=AlwaysTrue() if filter_json is None else expressions.parse(filter_json),
        case_sensitive=wire.flag(body, "case-sensitive", default=True),
        use_snapshot_schema=wire.flag(body, "use-snapshot-schema"),
        stats_fields=tuple(wire.names(body, "stats-fields")),
    )


def _id(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise InvalidRequest(f"`{name}` must be a whole number")
    return value
