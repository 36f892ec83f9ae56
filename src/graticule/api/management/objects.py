"""`…/integrations/{integration}/objects`: folders and files, their content, and links to it."""

import hashlib
import json
import re
from collections.abc import Sequence
from email.utils import formatdate, parsedate_to_datetime
from typing import Any, Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import moment
from graticule.api.response_headers import add_header
from graticule.domain.errors import InvalidRequest
from graticule.services.integrations.browsing import (
    LINK_LIFETIME_S_MAX,
    BrowsedPage,
    Download,
    content_disposition,
)

Json = dict[str, Any]

_RANGE: Final = re.compile(r"bytes=(?:\d{1,15}-\d{0,15}|-\d{1,15})", re.ASCII)
_ETAG: Final = re.compile(r'"([\x21\x23-\x7e]*)"')
_NO_ETAG: Final = "none that any file has"


class LinkBody(Body):
    path: str
    lifetime_s: int = LINK_LIFETIME_S_MAX


class _DownloadResponse(StreamingResponse):
    """Lets go of the download however it ends, also before it has begun."""

    def __init__(self, download: Download) -> None:
        super().__init__(
            download.chunks(), status_code=200 if download.content_range is None else 206
        )
        self._download = download

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._download.close()


def list_objects(call: Call) -> Response:
    """`?prefix=` is a folder with its slash, or the beginning of a name; folders come first."""
    prefix = call.query.get("prefix", "")
    delimiter = call.query.get("delimiter", "/")
    tokens, of = call.services.page_tokens, _list_name(call, prefix, delimiter)
    after = call.query.get("after") or None
    found = call.services.browsing.page(
        call.principal,
        call.name("integration"),
        prefix,
        delimiter=delimiter,
        limit=page_of(call, with_token=False).limit,
        continuation=tokens.read(after, of=of) if after is not None else None,
    )
    following = found.continuation
    return json_response(
        {"items": _items(found), "next": tokens.issue(of, following) if following else None}
    )


def download_object(call: Call) -> Response:
    """The bytes, or one range of them.  Whatever they are, a browser saves and never shows them."""
    wanted = call.header("range")
    download: Download = call.services.browsing.download(
        call.principal,
        call.name("integration"),
        _path_of(call),
        # What is not one plain range is ignored, as RFC 9110 has it.
        byte_range=wanted if wanted is not None and _RANGE.fullmatch(wanted) else None,
        if_range=_etag(call.header("if-range")),
    )
    response = _DownloadResponse(download)
    for name, value in _headers(download).items():
        add_header(response, name, value)
    return response


def create_link(call: Call) -> Response:
    body = body_of(call, LinkBody)
    link = call.services.browsing.link(
        call.principal, call.name("integration"), body.path, lifetime_s=body.lifetime_s
    )
    return json_response(
        {"url": link.url, "expires_at": moment(link.expires_at_ms)},
        headers={"Cache-Control": "no-store"},
    )


def _path_of(call: Call) -> str:
    path = call.query.get("path")
    if not path:
        raise InvalidRequest("`path` is missing; write `?path=folder/file`")
    return path


def _list_name(call: Call, prefix: str, delimiter: str) -> str:
    """Names the list in its page tokens; short, however long the prefix is."""
    parts = [call.principal.organisation_id, call.name("integration"), prefix, delimiter]
    return f"objects {hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _items(found: BrowsedPage) -> list[Json]:
    folders = [
        {"kind": "folder", "name": _name_of(folder.path), "path": folder.path, "uri": folder.uri}
        for folder in found.folders
    ]
    files = [
        {
            "kind": "file",
            "name": _name_of(file.path),
            "path": file.path,
            "uri": file.uri,
            "size_bytes": file.size_bytes,
            "last_modified": moment(file.last_modified_ms),
            "etag": file.etag or None,
        }
        for file in found.files
    ]
    return folders + files


def _name_of(path: str) -> str:
    return path.removesuffix("/").rpartition("/")[2]


def _etag(if_range: str | None) -> str | None:
    """The strong ETag of `If-Range`; a date would not tell two writes of one second apart."""
    if if_range is None:
        return None
    match = _ETAG.fullmatch(if_range.strip())
    return match[1] if match else _NO_ETAG


def _headers(download: Download) -> dict[str, str]:
    stored = download.stream.headers
    headers = {
        # Never the stored type: a page that somebody put there must not run here.
        "Content-Type": "application/octet-stream",
        "Content-Disposition": content_disposition(download.name),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
    }
    for name in ("Content-Length", "ETag"):
        if stored.get(name):
            headers[name] = stored[name]
    if stored.get("Last-Modified"):
        modified = parsedate_to_datetime(stored["Last-Modified"])
        headers["Last-Modified"] = formatdate(modified.timestamp(), usegmt=True)
    if download.content_range is not None:
        headers["Content-Range"] = download.content_range
    return headers


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/integrations/{integration}/objects", list_objects, Action.BROWSE_STORAGE),
    ("GET", "/integrations/{integration}/objects/content", download_object, Action.BROWSE_STORAGE),
    ("POST", "/integrations/{integration}/objects/link", create_link, Action.BROWSE_STORAGE),
)
