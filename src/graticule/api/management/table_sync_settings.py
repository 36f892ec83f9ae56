"""How one table is kept in step where that differs from its catalog."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.bodies import Body, body_of
from graticule.api.management.representations import moment
from graticule.api.management.sync_settings import Cron, FilesMax, Interval
from graticule.api.management.syncs import Count, Percent, catalog_of
from graticule.api.management.table_paths import TABLE, table_of
from graticule.domain.sync import TableSchedule, TableSyncSettings

Json = dict[str, Any]


class Settings(Body):
    """Replaces what was set before; what is left out is as the catalog has it."""

    schedule: Literal["catalog", "own", "off"] = "catalog"
    interval_minutes: Interval | None = None
    cron: Cron | None = None
    deleted_percent_max: Percent | None = None
    deleted_files_max: Count | None = None
    files_max: FilesMax | None = None


def show_settings(call: Call) -> Response:
    found = call.services.sync_overrides.get(call.principal, catalog_of(call), table_of(call))
    return json_response(_settings_to_json(found))


def change_settings(call: Call) -> Response:
    body = body_of(call, Settings)
    asked = body.model_dump() | {"schedule": TableSchedule(body.schedule)}
    wanted = TableSyncSettings("", **asked)
    changed = call.services.sync_overrides.change(
        call.principal, catalog_of(call), table_of(call), wanted
    )
    return json_response(_settings_to_json(changed))


def _settings_to_json(settings: TableSyncSettings) -> Json:
    return {
        "schedule": settings.schedule.value,
        "interval_minutes": settings.interval_minutes,
        "cron": settings.cron,
        "next_run_at": moment(settings.next_run_ms),
        "deleted_percent_max": settings.deleted_percent_max,
        "deleted_files_max": settings.deleted_files_max,
        "files_max": settings.files_max,
    }


_SETTINGS: Final = f"{TABLE}/sync-settings"

ROUTES: Final[Sequence[Line]] = (
    ("GET", _SETTINGS, show_settings, Action.SCAN_CATALOG),
    ("PUT", _SETTINGS, change_settings, Action.SCAN_CATALOG),
)
