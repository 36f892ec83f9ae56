"""What requests about the files of a table ask: where, of which snapshot, and how to be answered.

A `GET` says it in its query, a `POST` in its body, since a geometry may be long; both mean the
same.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from graticule.api.endpoint import Call
from graticule.api.management.bodies import Body, body_of
from graticule.domain.errors import InvalidPageToken, InvalidRequest
from graticule.services.planning.placed_snapshots import FileQuery
from graticule.spatial.search_area import SearchArea, parse_crs

Json = dict[str, Any]

FILES_PER_ANSWER_MAX: Final = 10_000
FILES_WITH_ROW_GROUPS_PER_ANSWER_MAX: Final = 1_000
"""Fewer, since each may have to be looked into."""

ARROW: Final = "application/vnd.apache.arrow.stream"
TEXT: Final = "text/plain"
JSON_MEDIA: Final = "application/json"
_MEDIA: Final = {"json": JSON_MEDIA, "arrow": ARROW, "paths": TEXT}


class Level(StrEnum):
    FILE = "file"
    ROW_GROUP = "row_group"


class AreaBody(Body):
    """Where, and of which snapshot."""

    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] | str | None = None
    geometry: Json | str | None = None
    crs: str | None = None
    column: str | None = None
    snapshot: Annotated[int, Field(ge=0)] | str | None = None
    ref: str | None = None


class FileQueryBody(AreaBody):
    """The body of `POST …/files/search`."""

    level: Annotated[Level, Field(strict=False)] = Level.FILE
    scan: bool = False
    limit: int | None = None
    after: str | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class FileRequest:
    """`first` is the position in the snapshot's index from which on files are listed."""

    query: FileQuery
    level: Level
    with_scan: bool
    limit: int
    first: int
    media: str
    list_name: str
    """What page tokens are bound to: everything that decides what is listed."""


def request_of_query(call: Call) -> FileRequest:
    """The request in a URL.

    Raises:
        InvalidRequest: a parameter that is not what it should be.
    """
    given = {name: value for name, value in call.query.items() if value != ""}
    level = given.get("level", Level.FILE)
    if level not in set(Level):
        raise InvalidRequest(f"`level` must be {' or '.join(Level)}, not `{level[:50]}`")
    return _request(
        call,
        FileQueryBody(
            bbox=given.get("bbox"),
            geometry=given.get("geometry"),
            crs=given.get("crs"),
            column=given.get("column"),
            snapshot=given.get("snapshot"),
            ref=given.get("ref"),
            level=Level(level),
            scan=call.flag("scan"),
            limit=whole_number(given.get("limit"), "limit"),
            after=given.get("after"),
            format=given.get("format"),
        ),
    )


def request_of_body(call: Call) -> FileRequest:
    """The request in a body.

    Raises:
        InvalidRequest: a field that is not what it should be.
    """
    return _request(call, body_of(call, FileQueryBody))


def file_query_of(body: AreaBody) -> FileQuery:
    """Which files a body is about.

    Raises:
        InvalidRequest: a field that is not what it should be.
    """
    snapshot_id = body.snapshot
    if isinstance(snapshot_id, str):
        snapshot_id = whole_number(snapshot_id, "snapshot")
    return FileQuery(_area(body), body.column, snapshot_id, body.ref)


def whole_number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise InvalidRequest(f"`{name}` must be a whole number, not `{text[:50]}`")
    return int(text)


def after_token(call: Call, request: FileRequest, snapshot_id: int | None, first: int) -> str:
    """What `next` says; the pages after it are of the same snapshot, whatever is committed."""
    token: str = call.services.page_tokens.issue(request.list_name, f"{snapshot_id}.{first}")
    return token


def _request(call: Call, body: FileQueryBody) -> FileRequest:
    query = file_query_of(body)
    list_name = _list_name(call, body)
    first = 0
    if body.after is not None:
        at = call.services.page_tokens.read(body.after, of=list_name)
        snapshot, _, position = at.partition(".")
        if not (snapshot.isdecimal() and position.isdecimal()):
            raise InvalidPageToken("`after` must be what `next` of the page before said")
        query = replace(query, snapshot_id=int(snapshot), ref=None)
        first = int(position)
    return FileRequest(
        query=query,
        level=body.level,
        with_scan=body.scan,
        limit=_limit(body),
        first=first,
        media=_media(call, body.format),
        list_name=list_name,
    )


def _area(body: AreaBody) -> SearchArea | None:
    if body.bbox is not None and body.geometry is not None:
        raise InvalidRequest("an area is a `bbox` or a `geometry`, not both")
    crs = parse_crs(body.crs)
    if body.bbox is not None:
        return SearchArea.of_bbox(body.bbox, crs)
    if body.geometry is not None:
        return SearchArea.of_geometry(body.geometry, crs)
    return None


def _limit(body: FileQueryBody) -> int:
    most = (
        FILES_PER_ANSWER_MAX if body.level is Level.FILE else FILES_WITH_ROW_GROUPS_PER_ANSWER_MAX
    )
    if body.limit is None:
        return most
    if not 1 <= body.limit <= FILES_PER_ANSWER_MAX:
        raise InvalidRequest(f"`limit` must be a number from 1 to {FILES_PER_ANSWER_MAX}")
    return min(body.limit, most)


def _media(call: Call, wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in _MEDIA:
            raise InvalidRequest(f"`format` must be {', '.join(_MEDIA)}, not `{wanted[:50]}`")
        return _MEDIA[wanted]
    return _accepted(call.header("accept") or "")


def _accepted(header: str) -> str:
    """The first of ours that the header names; JSON for anybody who does not mind."""
    named: Sequence[str] = [part.partition(";")[0].strip() for part in header.split(",")]
    return next((media for media in named if media in _MEDIA.values()), JSON_MEDIA)


def _list_name(call: Call, body: FileQueryBody) -> str:
    decisive = body.model_dump(mode="json", exclude={"after", "limit", "format"})
    where = [call.path[name] for name in ("catalog", "namespace", "table")]
    text = json.dumps([where, decisive], sort_keys=True)
    return f"files from {hashlib.sha256(text.encode()).hexdigest()[:32]}"
