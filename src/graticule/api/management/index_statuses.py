"""`…/index`: which indexes of a table are stored, and whether they are sound."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.representations import moment
from graticule.api.management.table_paths import TABLE, table_of
from graticule.domain.stored_index import StoredIndex

Json = dict[str, Any]


def show_index(call: Call) -> Response:
    found = call.services.index_statuses.of(
        call.principal,
        call.services.catalogs.open(call.principal, call.name("catalog")),
        table_of(call),
    )
    return json_response(
        {
            "snapshot_id": found.snapshot_id,
            "state": found.state.value,
            "job_id": found.job_id,
            "indexes": [_stored(one) for one in found.stored],
        }
    )


def _stored(index: StoredIndex) -> Json:
    return {
        "snapshot_id": index.snapshot_id,
        "place": index.place,
        "location": index.location,
        "files": index.file_count,
        "unknown_files": index.unknown_count,
        "created_at": moment(index.created_at_ms),
        "damage": index.damage,
        "damaged_at": moment(index.damaged_at_ms),
    }


ROUTES: Final[Sequence[Line]] = (("GET", f"{TABLE}/index", show_index, Action.READ_CATALOG),)
