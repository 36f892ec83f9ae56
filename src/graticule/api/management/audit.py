"""The audit log: a page of it, or all of it as a file."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.bodies import page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.domain.audit import AuditEvent, AuditFilter, Outcome
from graticule.domain.errors import InvalidRequest

Json = dict[str, Any]

_CSV_COLUMNS: Final = (
    "at",
    "id",
    "type",
    "outcome",
    "subject_kind",
    "subject_id",
    "subject_name",
    "catalog_id",
    "member_id",
    "member_name",
    "credential_id",
    "allowed_by",
    "request_id",
    "address",
    "count",
    "details",
)
_CHUNK_CHARACTERS: Final = 64 * 1024
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def list_events(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.audit.list(
        call.principal, _filter_of(call), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, event_to_json))


def export_events(call: Call) -> Response:
    """Everything that is asked for, oldest first, as JSON lines or CSV."""
    wanted = call.query.get("format", "jsonl")
    if wanted not in {"jsonl", "csv"}:
        raise InvalidRequest(f"`format` must be jsonl or csv, not `{wanted}`")
    events = call.services.audit.export(call.principal, _filter_of(call))
    lines, media = (
        (_csv_lines(events), "text/csv; charset=utf-8")
        if wanted == "csv"
        else (_json_lines(events), "application/jsonl")
    )
    return StreamingResponse(
        _chunks(lines),
        media_type=media,
        headers={"Content-Disposition": f'attachment; filename="audit.{wanted}"'},
    )


def event_to_json(event: AuditEvent) -> Json:
    subject = event.subject
    return {
        "id": event.id,
        "at": moment(event.at_ms),
        "type": event.type,
        "subject": {"kind": subject.kind.value, "id": subject.id, "name": subject.name},
        "catalog_id": subject.catalog_id,
        "outcome": event.outcome.value,
        "member": {"id": event.member_id, "name": event.member_name},
        "credential_id": event.credential_id,
        "allowed_by": event.allowed_by,
        "request_id": event.request_id,
        "address": event.address,
        "count": event.occurrences,
        "details": dict(event.details),
    }


def _filter_of(call: Call) -> AuditFilter:
    query = call.query
    outcome = query.get("outcome") or None
    if outcome is not None and outcome not in set(Outcome):
        raise InvalidRequest(f"`outcome` must be succeeded or denied, not `{outcome}`")
    return AuditFilter(
        type=query.get("type") or None,
        member=query.get("member") or None,
        subject=query.get("subject") or None,
        catalog_id=query.get("catalog") or None,
        outcome=None if outcome is None else Outcome(outcome),
        since_ms=_time(call, "since"),
        until_ms=_time(call, "until"),
    )


def _time(call: Call, parameter: str) -> int | None:
    text = call.query.get(parameter)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidRequest(
            f"`{parameter}` must be a time with its zone, such as 2026-11-21T00:00:00Z"
        )
    return int(at.timestamp() * 1000)


def _json_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    return (json.dumps(event_to_json(event), ensure_ascii=False) + "\n" for event in events)


def _csv_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    yield _csv_line(_CSV_COLUMNS)
    for event in events:
        subject = event.subject
        yield _csv_line(
            [
                moment(event.at_ms),
                event.id,
                event.type,
                event.outcome.value,
                subject.kind.value,
                subject.id,
                subject.name,
                subject.catalog_id,
                event.member_id,
                event.member_name,
                event.credential_id,
                event.allowed_by,
                event.request_id,
                event.address,
                event.occurrences,
                json.dumps(dict(event.details), ensure_ascii=False),
            ]
        )


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([_inert(value) for value in values])
    return line.getvalue()


def _inert(value: object) -> object:
    """A text that a spreadsheet does not take for a formula: names are chosen by members."""
    is_formula = isinstance(value, str) and value.startswith(_FORMULA_STARTS)
    return f"'{value}" if is_formula else value


def _chunks(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines put together: each chunk is a trip to the event loop and back."""
    gathered, size = [], 0
    for line in lines:
        gathered.append(line)
        size += len(line)
        if size >= _CHUNK_CHARACTERS:
            yield "".join(gathered).encode()
            gathered, size = [], 0
    yield "".join(gathered).encode()


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/audit", list_events, Action.READ_AUDIT),
    ("GET", "/audit/export", export_events, Action.READ_AUDIT),
)
