"""Syncs of tables that were registered in place: start, watch, confirm or discard."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.api.management.table_paths import TABLE, table_of
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import InvalidRequest
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.sync import Sync

Json = dict[str, Any]
Percent = Annotated[int, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


class NewSync(Body):
    tables: list[str] | None = None
    """Names, levels joined by dots; all that were registered in place by default."""
    again: bool = False
    """Also what was left out or undone before and has not changed since."""
    deleted_percent_max: Percent | None = None
    deleted_files_max: Count | None = None


@once_managed
def start_sync(call: Call) -> Response:
    body = body_of(call, NewSync)
    catalog = catalog_of(call)
    landed = landed_id(call)
    if landed is not None:
        sync = call.services.syncing.get(call.principal, catalog, landed)
    else:
        sync = call.services.syncing.start(
            call.principal,
            catalog,
            tables=None if body.tables is None else [_identifier(name) for name in body.tables],
            again=body.again,
            deleted_percent_max=body.deleted_percent_max,
            deleted_files_max=body.deleted_files_max,
        )
        call.services.job_worker.wake()
    return json_response(sync_to_json(sync), status=202, headers={"Location": _location(sync)})


def list_syncs(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.syncing.list_syncs(
        call.principal, catalog_of(call), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, _without_report))


def show_sync(call: Call) -> Response:
    found = call.services.syncing.get(call.principal, catalog_of(call), call.name("sync"))
    return json_response(sync_to_json(found))


@once_managed
def confirm_sync(call: Call) -> Response:
    """Lets go of the files that it stopped for, and of no others."""
    sync = _landed_or(call, call.services.syncing.confirm)
    call.services.job_worker.wake()
    return json_response(sync_to_json(sync), status=202)


@once_managed
def discard_sync(call: Call) -> Response:
    return json_response(sync_to_json(_landed_or(call, call.services.syncing.discard)))


@once_managed
def undo_sync(call: Call) -> Response:
    return json_response(sync_to_json(_landed_or(call, call.services.undoing.undo_sync)))


@once_managed
def undo_registration(call: Call) -> Response:
    if landed_id(call) is None:
        call.services.undoing.undo_registration(call.principal, catalog_of(call), table_of(call))
    return no_content()


def _landed_or(call: Call, change: Callable[..., Sync]) -> Sync:
    """The sync as it is, where this very request has changed it before."""
    landed = landed_id(call)
    found: Sync = (
        call.services.syncing.get(call.principal, catalog_of(call), landed)
        if landed is not None
        else change(call.principal, catalog_of(call), call.name("sync"))
    )
    return found


def sync_to_json(sync: Sync) -> Json:
    report = dict(sync.report or {})
    return {
        **_without_report(sync),
        "tables": report.get("tables", []),
        "error": report.get("error"),
    }


def _without_report(sync: Sync) -> Json:
    return {
        "id": sync.id,
        "catalog_id": sync.catalog_id,
        "state": sync.state.value,
        "trigger": sync.trigger.value,
        "requested_by": sync.requested_by,
        "created_at": moment(sync.created_at_ms),
        "finished_at": moment(sync.finished_at_ms),
    }


def _identifier(name: str) -> TableIdentifier:
    *levels, table = name.split(".")
    if not levels:
        raise InvalidRequest(f"`{name}` does not name a table; write `namespace.table`")
    return TableIdentifier(Namespace.of(levels), table)


def _location(sync: Sync) -> str:
    return f"/api/v1/catalogs/{sync.catalog_id}/syncs/{sync.id}"


def catalog_of(call: Call) -> OpenCatalog:
    opened: OpenCatalog = call.services.catalogs.open(call.principal, call.name("catalog"))
    return opened


_SYNCS: Final = "/catalogs/{catalog}/syncs"

ROUTES: Final[Sequence[Line]] = (
    ("GET", _SYNCS, list_syncs, Action.SCAN_CATALOG),
    ("POST", _SYNCS, start_sync, Action.SCAN_CATALOG),
    ("GET", f"{_SYNCS}/{{sync}}", show_sync, Action.SCAN_CATALOG),
    ("POST", f"{_SYNCS}/{{sync}}/confirm", confirm_sync, Action.SCAN_CATALOG),
    ("POST", f"{_SYNCS}/{{sync}}/discard", discard_sync, Action.SCAN_CATALOG),
    ("POST", f"{_SYNCS}/{{sync}}/undo", undo_sync, Action.SCAN_CATALOG),
    ("POST", f"{TABLE}/undo-registration", undo_registration, Action.SCAN_CATALOG),
)
