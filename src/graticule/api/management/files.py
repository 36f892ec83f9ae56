"""`GET …/tables/{table}/files`: which files of a table a map window may touch."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.table_paths import TABLE, table_of
from graticule.domain.errors import InvalidRequest
from graticule.services.scans import FilesInWindow
from graticule.spatial.bounding_box import parse_bbox

Json = dict[str, Any]

FILES_PER_ANSWER_MAX: Final = 10_000
DIGITS_MAX: Final = 19


def list_files(call: Call) -> Response:
    """Files that may match `bbox=xmin,ymin,xmax,ymax`, with what skipping the others saves.

    A box with xmin > xmax crosses the antigraticule; without `bbox` all files are listed.
    """
    bbox = call.query.get("bbox")
    found = call.services.scans.files_in_window(
        call.principal,
        call.services.catalogs.open(call.principal, call.name("catalog")),
        table_of(call),
        parse_bbox(bbox) if bbox else None,
        snapshot_id=_snapshot_of(call),
        limit=_limit_of(call),
    )
    return json_response(_json(found))


def _snapshot_of(call: Call) -> int | None:
    text = call.query.get("snapshot")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > DIGITS_MAX:
        raise InvalidRequest(f"`snapshot` must be a snapshot id, not `{text}`")
    return int(text)


def _limit_of(call: Call) -> int:
    text = call.query.get("limit") or str(FILES_PER_ANSWER_MAX)
    is_number = text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX
    if not is_number or not 1 <= int(text) <= FILES_PER_ANSWER_MAX:
        raise InvalidRequest(f"`limit` must be a number from 1 to {FILES_PER_ANSWER_MAX}")
    return int(text)


def _json(found: FilesInWindow) -> Json:
    return {
        "snapshot_id": found.snapshot_id,
        "totals": {
            "files": found.files_total,
            "files_kept": found.files_kept,
            "rows": found.rows_total,
            "rows_kept": found.rows_kept,
            "bytes": found.bytes_total,
            "bytes_kept": found.bytes_kept,
            "unknown_kept": found.unknown_count,
        },
        "files": [
            {
                "path": file.entry.path,
                "size_bytes": file.entry.size_bytes,
                "rows": file.entry.record_count,
                "box_status": file.status,
                "boxes": [[box.xmin, box.ymin, box.xmax, box.ymax] for box in file.boxes],
            }
            for file in found.files
        ],
        "is_complete": len(found.files) == found.files_kept,
    }


ROUTES: Final[Sequence[Line]] = (("GET", f"{TABLE}/files", list_files, Action.READ_CATALOG),)
