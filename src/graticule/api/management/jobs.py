"""Jobs: listed, shown while they run, cancelled."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.bodies import page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.domain.errors import InvalidRequest
from graticule.domain.job import Job, JobKind, JobState

Json = dict[str, Any]
E = TypeVar("E", bound=StrEnum)


def list_jobs(call: Call) -> Response:
    """Newest first; `?kind=`, `?state=` and `?subject=` narrow it."""
    asked = page_of(call)
    found = call.services.jobs.list(
        call.principal,
        kind=_one_of(call, "kind", JobKind),
        state=_one_of(call, "state", JobState),
        subject_id=call.query.get("subject") or None,
        after=asked.after,
        limit=asked.limit,
    )
    return json_response(page_to_json(found, job_to_json))


def show_job(call: Call) -> Response:
    return json_response(job_to_json(call.services.jobs.get(call.principal, call.name("job"))))


def cancel_job(call: Call) -> Response:
    """Answers with the job as it is now: one that runs stops at its next sign of progress."""
    found = call.services.jobs.cancel(call.principal, call.name("job"))
    return json_response(job_to_json(found), status=202 if found.state.is_active else 200)


def job_to_json(job: Job) -> Json:
    return {
        "id": job.id,
        "kind": job.kind.value,
        "subject_id": job.subject_id,
        "state": job.state.value,
        "cancelling": job.is_cancelling and job.state.is_active,
        "parameters": dict(job.parameters),
        "progress": dict(job.progress or {}),
        "result": None if job.result is None else dict(job.result),
        "error": job.error,
        "attempts": job.attempts,
        "worker": job.lease_owner,
        "requested_by": job.requested_by,
        "created_at": moment(job.created_at_ms),
        "run_after": moment(job.run_after_ms),
        "finished_at": moment(job.finished_at_ms),
    }


def _one_of(call: Call, parameter: str, values: type[E]) -> E | None:
    text = call.query.get(parameter)
    if not text:
        return None
    try:
        return values(text)
    except ValueError:
        known = ", ".join(values)
        raise InvalidRequest(f"`{parameter}` must be one of {known}, not `{text}`") from None


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/jobs", list_jobs, Action.MANAGE_JOBS),
    ("GET", "/jobs/{job}", show_job, Action.MANAGE_JOBS),
    ("POST", "/jobs/{job}/cancel", cancel_job, Action.MANAGE_JOBS),
)
