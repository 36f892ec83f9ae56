"""`…/tables/{table}/files`: which files and row groups of a table an area may touch."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import pyarrow as pa
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.file_queries import (
    ARROW,
    TEXT,
    FileRequest,
    Level,
    after_token,
    request_of_body,
    request_of_query,
)
from graticule.api.management.table_paths import TABLE, table_of
from graticule.api.response_headers import add_header
from graticule.planning.row_group import RowGroup
from graticule.planning.tasks import content_file, partition_types
from graticule.services.planning.file_search import FoundFile, FoundFiles
from graticule.spatial.bounding_box import BoxStatus, FileBox

Json = dict[str, Any]

_SIDES: Final = pa.list_(pa.list_(pa.float64()))
_ROW_GROUP: Final = pa.struct(
    [
        ("index", pa.int32()),
        ("offset", pa.int64()),
        ("size_bytes", pa.int64()),
        ("rows", pa.int64()),
        ("box_status", pa.string()),
        ("boxes", _SIDES),
    ]
)
_COLUMNS: Final = (
    ("path", pa.string()),
    ("size_bytes", pa.int64()),
    ("rows", pa.int64()),
    ("box_status", pa.string()),
    ("boxes", _SIDES),
)
_ROW_GROUP_COLUMNS: Final = (
    ("row_group_count", pa.int32()),
    ("row_groups", pa.list_(_ROW_GROUP)),
)


def list_files(call: Call) -> Response:
    """Files that may match the area, with what skipping the others saves; all without an area."""
    return _answered(call, request_of_query(call))


def search_files(call: Call) -> Response:
    """The same of a request whose geometry is too long for a URL."""
    return _answered(call, request_of_body(call))


def _answered(call: Call, request: FileRequest) -> Response:
    found = call.services.file_search.find(
        call.principal,
        call.services.catalogs.open(call.principal, call.name("catalog")),
        table_of(call),
        request.query,
        first=request.first,
        limit=request.limit,
        with_row_groups=request.level is Level.ROW_GROUP,
        with_deletes=request.with_scan,
    )
    following = None
    if found.next_first is not None:
        following = after_token(call, request, found.of.snapshot_id, found.next_first)
    if request.media == TEXT:
        paths = "".join(f"{file.entry.path}\n" for file in found.files)
        return _other(paths.encode(), f"{TEXT}; charset=utf-8", following)
    document = _json(found, request, following)
    if request.media == ARROW:
        return _other(_arrow(document, request), ARROW, following)
    return json_response(document)


def _other(content: bytes, media: str, following: str | None) -> Response:
    response = Response(content)
    add_header(response, "Content-Type", media)
    if following is not None:
        add_header(response, "X-Next", following)
    return response


def _json(found: FoundFiles, request: FileRequest, following: str | None) -> Json:
    listed_groups = [file.row_groups for file in found.files if file.row_groups is not None]
    document: Json = {
        "snapshot_id": found.of.snapshot_id,
        "column": found.of.column,
        "positions": None if found.of.place.positions is None else list(found.of.place.positions),
        "crs": found.of.crs.identifier,
        "compared_by": found.compared_by,
        "reason": found.of.reason,
        "totals": asdict(found.totals),
        "files": [_file(file, request) for file in found.files],
        "next": following,
        "is_complete": request.first == 0 and following is None,
    }
    if request.level is Level.ROW_GROUP:
        document["listed"] = {
            "row_groups": sum(file.row_group_count or 0 for file in found.files),
            "row_groups_kept": sum(map(len, listed_groups)),
            "rows_kept": sum(_rows_kept(file) for file in found.files),
            "bytes_kept": sum(_bytes_kept(file) for file in found.files),
        }
    if request.with_scan:
        types = partition_types(found.of.document)
        for described, file in zip(document["files"], found.files, strict=True):
            described["data_file"] = content_file(
                file.entry, partition_types=types[file.entry.spec_id]
            )
            described["deletes"] = list(file.deletes)
        document["delete_files"] = [
            content_file(entry, partition_types=types[entry.spec_id])
            for entry in found.delete_files
        ]
    return document


def _file(file: FoundFile, request: FileRequest) -> Json:
    described: Json = {
        "path": file.entry.path,
        "size_bytes": file.entry.size_bytes,
        "rows": file.entry.record_count,
        **_box(file.box),
    }
    if file.box.status is BoxStatus.UNKNOWN:
        described["unknown_because"] = file.unknown_because
    if request.level is Level.ROW_GROUP:
        groups = file.row_groups
        described["row_group_count"] = file.row_group_count
        described["row_groups"] = None if groups is None else [_row_group(g) for g in groups]
    return described


def _row_group(group: RowGroup) -> Json:
    return {
        "index": group.ordinal,
        "offset": group.span.offset,
        "size_bytes": group.span.size_bytes,
        "rows": group.span.rows,
        **_box(group.box),
    }


def _box(box: FileBox) -> Json:
    sides = [[b.xmin, b.ymin, b.xmax, b.ymax] for b in box.boxes if b.is_finite]
    return {"box_status": box.status, "boxes": sides}


def _rows_kept(file: FoundFile) -> int:
    if file.row_groups is None:
        return file.entry.record_count
    return sum(group.span.rows for group in file.row_groups)


def _bytes_kept(file: FoundFile) -> int:
    if file.row_groups is None:
        return file.entry.size_bytes
    return sum(group.span.size_bytes for group in file.row_groups)


def _arrow(document: Json, request: FileRequest) -> bytes:
    """A row for each file; what is about all of them is JSON in the schema's metadata."""
    columns = _COLUMNS + (_ROW_GROUP_COLUMNS if request.level is Level.ROW_GROUP else ())
    about = {name: value for name, value in document.items() if name != "files"}
    schema = pa.schema(columns, metadata={"graticule": json.dumps(about)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(document["files"], schema))
    return bytes(sink.getvalue())


ROUTES: Final[Sequence[Line]] = (
    ("GET", f"{TABLE}/files", list_files, Action.READ_CATALOG),
    ("POST", f"{TABLE}/files/search", search_files, Action.READ_CATALOG),
)
