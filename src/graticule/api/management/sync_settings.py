"""How a catalog keeps itself in step, and where its store announces what has changed.

The token is in one answer only: the one to its making.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.management.bodies import Body, body_of
from graticule.api.management.representations import moment
from graticule.api.management.syncs import Count, Percent, catalog_of
from graticule.discovery.diff import DELETED_FILES_MAX, DELETED_PERCENT_MAX
from graticule.discovery.queue_address import KEY_CHARACTERS_MAX, QUEUE_CHARACTERS_MAX
from graticule.domain.errors import NoSuchQueue, PayloadTooLarge, Unauthenticated
from graticule.domain.sync import SyncSettings
from graticule.services.syncing.event_queues import QueueSettings
from graticule.services.syncing.sync_times import CRON_CHARACTERS_MAX

Json = dict[str, Any]

EVENTS_BODY_BYTES_MAX: Final = 1024 * 1024
INTERVAL_MINUTES_MAX: Final = 60 * 24 * 31
FILES_MAX: Final = 1_000_000_000
TOKEN_HEADER: Final = "x-graticule-token"
_BEARER: Final = "bearer "


Interval = Annotated[int, Field(ge=1, le=INTERVAL_MINUTES_MAX)]
Cron = Annotated[str, Field(min_length=1, max_length=CRON_CHARACTERS_MAX)]
"""In UTC."""
FilesMax = Annotated[int, Field(ge=1, le=FILES_MAX)]


class Settings(Body):
    """Replaces what was set before."""

    interval_minutes: Interval | None = None
    cron: Cron | None = None
    """Nothing happens by itself without either."""
    files_max: FilesMax | None = None
    """That one sync takes into a table."""
    deleted_percent_max: Percent = DELETED_PERCENT_MAX
    deleted_files_max: Count = DELETED_FILES_MAX
    finds_tables: bool = False
    """Scan for data that belongs to no table after each scheduled sync."""


class Queue(Body):
    """Replaces the one before."""

    queue: Annotated[str, Field(min_length=1, max_length=QUEUE_CHARACTERS_MAX)]
    """Its URL or ARN."""
    kms_key_arn: Annotated[str, Field(min_length=1, max_length=KEY_CHARACTERS_MAX)] | None = None
    """What it is encrypted with; what is known of the queue stays without it."""


def show_settings(call: Call) -> Response:
    catalog = catalog_of(call)
    found = call.services.sync_schedule.settings(call.principal, catalog)
    queue = call.services.event_queues.get(call.principal, catalog)
    return json_response(_settings_to_json(found, queue))


def change_settings(call: Call) -> Response:
    body = body_of(call, Settings)
    catalog = catalog_of(call)
    changed = call.services.sync_schedule.change(
        call.principal,
        catalog,
        interval_minutes=body.interval_minutes,
        cron=body.cron,
        files_max=body.files_max,
        deleted_percent_max=body.deleted_percent_max,
        deleted_files_max=body.deleted_files_max,
        finds_tables=body.finds_tables,
    )
    queue = call.services.event_queues.get(call.principal, catalog)
    return json_response(_settings_to_json(changed, queue))


def show_queue(call: Call) -> Response:
    catalog = catalog_of(call)
    found = call.services.event_queues.get(call.principal, catalog)
    if found is None:
        raise NoSuchQueue(f"no queue is read for catalog `{catalog.catalog.name}`")
    return json_response(_queue_to_json(found))


def put_queue(call: Call) -> Response:
    body = body_of(call, Queue)
    kept = call.services.event_queues.put(
        call.principal, catalog_of(call), body.queue, kms_key_arn=body.kms_key_arn
    )
    return json_response(_queue_to_json(kept))


def remove_queue(call: Call) -> Response:
    call.services.event_queues.remove(call.principal, catalog_of(call))
    return no_content()


def make_token(call: Call) -> Response:
    catalog = catalog_of(call)
    token = call.services.sync_schedule.new_token(call.principal, catalog)
    path = f"/api/v1/catalogs/{catalog.catalog.id}/events"
    return json_response(
        {"token": token.reveal(), "path": path}, status=201, headers={"Cache-Control": "no-store"}
    )


def revoke_token(call: Call) -> Response:
    call.services.sync_schedule.revoke_token(call.principal, catalog_of(call))
    return no_content()


def receive_events(call: Call) -> Response:
    """Served to anybody with the catalog's token, which opens nothing else."""
    if len(call.body) > EVENTS_BODY_BYTES_MAX:
        raise PayloadTooLarge(
            f"the message has {len(call.body)} bytes; at most {EVENTS_BODY_BYTES_MAX} are read"
        )
    token = _token_of(call)
    taken = call.services.sync_schedule.receive(call.name("catalog"), token, call.json())
    if taken:
        call.services.job_worker.wake()
    return json_response({"objects": taken}, status=202)


def _token_of(call: Call) -> str:
    own = call.header(TOKEN_HEADER)
    if own:
        return own
    authorization = call.header("authorization") or ""
    if not authorization.lower().startswith(_BEARER):
        raise Unauthenticated(
            f"send the catalog's event token in `Authorization: Bearer` or `{TOKEN_HEADER}`"
        )
    return authorization[len(_BEARER) :].strip()


def _settings_to_json(settings: SyncSettings, queue: QueueSettings | None) -> Json:
    return {
        "interval_minutes": settings.interval_minutes,
        "cron": settings.cron,
        "files_max": settings.files_max,
        "next_run_at": moment(settings.next_run_ms),
        "deleted_percent_max": settings.deleted_percent_max,
        "deleted_files_max": settings.deleted_files_max,
        "finds_tables": settings.finds_tables,
        "accepts_events": settings.token_hash is not None,
        "queue": None if queue is None else _reading_to_json(queue),
    }


def _reading_to_json(found: QueueSettings) -> Json:
    queue = found.queue
    state = "reading" if queue.polled_at_ms is not None else "new"
    return {
        "url": queue.url,
        "arn": found.arn,
        "kms_key_arn": queue.kms_key_arn,
        "state": "failing" if queue.error is not None else state,
        "error": queue.error,
        "next_poll_at": moment(queue.next_poll_ms),
        "polled_at": moment(queue.polled_at_ms),
        "received_at": moment(queue.received_at_ms),
        "messages": queue.messages,
        "has_dead_letters": queue.has_dead_letters,
        "unreadable": queue.unreadable,
        "unreadable_error": queue.unreadable_error,
    }


def _queue_to_json(found: QueueSettings) -> Json:
    return {
        **_reading_to_json(found),
        "role_statements": found.role_statements,
        "queue_policy": found.queue_policy,
        "key_statements": found.key_statements,
    }


_SETTINGS: Final = "/catalogs/{catalog}/sync-settings"
_QUEUE: Final = f"{_SETTINGS}/queue"

ROUTES: Final[Sequence[Line]] = (
    ("GET", _SETTINGS, show_settings, Action.SCAN_CATALOG),
    ("PUT", _SETTINGS, change_settings, Action.SCAN_CATALOG),
    ("POST", f"{_SETTINGS}/token", make_token, Action.SCAN_CATALOG),
    ("DELETE", f"{_SETTINGS}/token", revoke_token, Action.SCAN_CATALOG),
    ("GET", _QUEUE, show_queue, Action.SCAN_CATALOG),
    ("PUT", _QUEUE, put_queue, Action.SCAN_CATALOG),
    ("DELETE", _QUEUE, remove_queue, Action.SCAN_CATALOG),
    ("POST", "/catalogs/{catalog}/events", receive_events, None),
)
