"""`…/tables/{table}/files`: which files and row groups of a table an area may touch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, bytes_response
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
from graticule.services.planning.file_search import FoundFiles, FoundRowGroups

Json = dict[str, Any]
PartitionTypes = Mapping[int, Sequence[str | None]]
"""Of the values of each spec, by its id."""

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
_ROW_GROUPS: Final = pa.list_(_ROW_GROUP)
_SIDES_OF_A_BOX: Final = 4
_ENCODER: Final = msgspec.json.Encoder()


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
    if found.next_position is not None:
        following = after_token(call, request, found.of.snapshot_id, found.next_position)
    if request.media == TEXT:
        paths = b"".join(path + b"\n" for path in found.listing.paths)
        return _other(paths, f"{TEXT}; charset=utf-8", following)
    types = {} if found.reading is None else partition_types(found.of.document)
    document = _about(found, request, following, types)
    if request.media == ARROW:
        return _other(_arrow(document, found, request), ARROW, following)
    document["files"] = _files(found, request, types)
    return bytes_response(_ENCODER.encode(document))


def _other(content: bytes, media: str, following: str | None) -> Response:
    response = Response(content)
    add_header(response, "Content-Type", media)
    if following is not None:
        add_header(response, "X-Next", following)
    return response


def _about(
    found: FoundFiles, request: FileRequest, following: str | None, types: PartitionTypes
) -> Json:
    """What is said of all files together."""
    document: Json = {
        "snapshot_id": found.of.snapshot_id,
        "column": found.of.column,
        "positions": None if found.of.place.positions is None else list(found.of.place.positions),
        "crs": found.of.crs.identifier,
        "compared_by": found.compared_by,
        "reason": found.of.reason,
        "totals": asdict(found.totals),
        "next": following,
        "is_complete": request.first == 0 and following is None,
    }
    if request.level is Level.ROW_GROUP:
        document["listed"] = _listed(found)
    if found.reading is not None:
        document["delete_files"] = [
            content_file(entry, partition_types=types[entry.spec_id])
            for entry in found.reading.delete_files
        ]
    return document


def _listed(found: FoundFiles) -> Json:
    """What is left to read of the listed files; all of those whose row groups nobody knows."""
    listing, known = found.listing, found.row_groups
    kept = [group.span for of_file in known.values() for group in of_file.kept]
    whole = [at for at in range(len(listing)) if at not in known]
    return {
        "row_groups": sum(of_file.count for of_file in known.values()),
        "row_groups_kept": len(kept),
        "rows_kept": sum(span.rows for span in kept) + sum(listing.rows[whole].tolist()),
        "bytes_kept": sum(span.size_bytes for span in kept)
        + sum(listing.sizes_bytes[whole].tolist()),
    }


def _files(found: FoundFiles, request: FileRequest, types: PartitionTypes) -> list[Json]:
    listing = found.listing
    sides = listing.sides.tolist()
    files: list[Json] = [
        {
            "path": path.decode(),
            "size_bytes": size_bytes,
            "rows": rows,
            "box_status": status,
            "boxes": sides[start:end],
        }
        for path, size_bytes, rows, status, (start, end) in zip(
            listing.paths,
            listing.sizes_bytes.tolist(),
            listing.rows.tolist(),
            listing.statuses,
            pairwise(listing.ends.tolist()),
            strict=True,
        )
    ]
    for at, reason in found.unknown_because.items():
        files[at]["unknown_because"] = reason
    if request.level is Level.ROW_GROUP:
        for at, file in enumerate(files):
            file.update(_row_groups(found.row_groups.get(at)))
    if found.reading is not None:
        reading = zip(files, found.reading.entries, found.reading.deletes, strict=True)
        for file, entry, deletes in reading:
            file["data_file"] = content_file(entry, partition_types=types[entry.spec_id])
            file["deletes"] = list(deletes)
    return files


def _row_groups(of_file: FoundRowGroups | None) -> Json:
    if of_file is None:
        return {"row_group_count": None, "row_groups": None}
    return {
        "row_group_count": of_file.count,
        "row_groups": [_row_group(group) for group in of_file.kept],
    }


def _row_group(group: RowGroup) -> Json:
    sides = [[b.xmin, b.ymin, b.xmax, b.ymax] for b in group.box.boxes if b.is_finite]
    return {
        "index": group.ordinal,
        "offset": group.span.offset,
        "size_bytes": group.span.size_bytes,
        "rows": group.span.rows,
        "box_status": group.box.status,
        "boxes": sides,
    }


def _arrow(document: Json, found: FoundFiles, request: FileRequest) -> bytes:
    """A row for each file; what is about all of them is JSON in the schema's metadata."""
    listing = found.listing
    corners = pa.array(listing.sides.ravel())
    ends = np.arange(len(listing.sides) + 1, dtype=np.int32) * _SIDES_OF_A_BOX
    columns = {
        "path": pa.array(listing.paths, pa.binary()).cast(pa.string()),
        "size_bytes": pa.array(listing.sizes_bytes, pa.int64()),
        "rows": pa.array(listing.rows, pa.int64()),
        "box_status": pa.array(listing.statuses, pa.string()),
        "boxes": pa.ListArray.from_arrays(
            listing.ends.astype(np.int32), pa.ListArray.from_arrays(ends, corners)
        ),
    }
    if request.level is Level.ROW_GROUP:
        of_files = [_row_groups(found.row_groups.get(at)) for at in range(len(listing))]
        counts = [of_file["row_group_count"] for of_file in of_files]
        columns["row_group_count"] = pa.array(counts, pa.int32())
        groups = [of_file["row_groups"] for of_file in of_files]
        columns["row_groups"] = pa.array(groups, _ROW_GROUPS)
    table = pa.table(columns, metadata={"graticule": _ENCODER.encode(document)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


ROUTES: Final[Sequence[Line]] = (
    ("GET", f"{TABLE}/files", list_files, Action.READ_CATALOG),
    ("POST", f"{TABLE}/files/search", search_files, Action.READ_CATALOG),
)
