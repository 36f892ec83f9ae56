"""The operations of S3 that are signed for clients, with the parameters and headers of each.

An allow-list, and the whole of it: what is not here is refused, whatever it may do.  Left out on
purpose: copies (their source is a header), ACLs, tags, locks, versions, restores, queries into
objects, overriding response headers, other lists than of one prefix, and everything of buckets.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graticule.access.s3_urls import S3Url, shown
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import SignatureRefused

HEADERS_MAX: Final = 64
HEADER_VALUE_CHARACTERS_MAX: Final = 4096

Patterns = Mapping[str, re.Pattern[str]]

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE: Final = re.compile(r"[ -~\t]*")
_EMPTY: Final = re.compile("")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f]{0,1024}")
_TOKEN: Final = re.compile(r"[!-~]{1,2048}")

_ANY: Final[Patterns] = {"x-id": re.compile(r"[A-Za-z]{1,64}")}
_PART: Final[Patterns] = {"partNumber": re.compile(r"[1-9][0-9]{0,4}")}
_UPLOAD: Final[Patterns] = {"uploadId": _TOKEN}
_LIST: Final[Patterns] = {
    "list-type": re.compile("2"),
    "prefix": _TEXT,
    "continuation-token": _TOKEN,
    "delimiter": _TEXT,
    "encoding-type": re.compile("url"),
    "fetch-owner": re.compile("true|false"),
    "max-keys": _NUMBER,
    "start-after": _TEXT,
}


@dataclass(frozen=True, slots=True)
class Operation:
    """`required` are the parameters without which it would be another operation."""

    name: str
    needs: AccessLevel
    parameters: Patterns
    required: frozenset[str] = frozenset()


def _read(name: str, parameters: Patterns, *required: str) -> Operation:
    return Operation(name, AccessLevel.READ, {**_ANY, **parameters}, frozenset(required))


def _write(name: str, parameters: Patterns, *required: str) -> Operation:
    return Operation(name, AccessLevel.WRITE, {**_ANY, **parameters}, frozenset(required))


LIST_OBJECTS: Final = _read("ListObjectsV2", _LIST, "list-type", "prefix")
DELETE_OBJECTS: Final = _write("DeleteObjects", {"delete": _EMPTY}, "delete")

_ON_OBJECT: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", ""): _read("GetObject", _PART),
    ("HEAD", ""): _read("HeadObject", _PART),
    ("PUT", ""): _write("PutObject", {}),
    ("DELETE", ""): _write("DeleteObject", {}),
    ("POST", "uploads"): _write("CreateMultipartUpload", {"uploads": _EMPTY}, "uploads"),
    ("PUT", "uploadId"): _write("UploadPart", {**_UPLOAD, **_PART}, "uploadId", "partNumber"),
    ("POST", "uploadId"): _write("CompleteMultipartUpload", _UPLOAD, "uploadId"),
    ("DELETE", "uploadId"): _write("AbortMultipartUpload", _UPLOAD, "uploadId"),
    ("GET", "uploadId"): _write(
        "ListParts", {**_UPLOAD, "max-parts": _NUMBER, "part-number-marker": _NUMBER}, "uploadId"
    ),
}
_ON_BUCKET: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "list-type"): LIST_OBJECTS,
    ("POST", "delete"): DELETE_OBJECTS,
}
_MARKERS: Final = frozenset(marker for _, marker in (*_ON_OBJECT, *_ON_BUCKET) if marker)

_READ_HEADERS: Final = frozenset(
    {
        "accept", "content-type", "host", "if-match", "if-modified-since", "if-none-match",
        "if-unmodified-since", "x-amz-checksum-mode", "x-amz-content-sha256",
        "x-amz-request-payer", "x-amz-te",
    }
)  # fmt: skip
_WRITE_HEADERS: Final = _READ_HEADERS | {
    "cache-control", "content-encoding", "content-md5", "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1", "x-amz-checksum-sha256", "x-amz-checksum-type",
    "x-amz-decoded-content-length", "x-amz-mp-object-size", "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
}  # fmt: skip
_PASSED_OVER: Final = frozenset(
    {
        "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "amz-sdk-retry",
        "authorization", "connection", "content-length", "expect", "range", "traceparent",
        "tracestate", "transfer-encoding", "user-agent", "x-amz-date", "x-amzn-trace-id",
    }
)  # fmt: skip
"""Of no consequence or different each time: never signed, so that a signature can be used again."""

_VALUES: Final[Patterns] = {"x-amz-request-payer": re.compile("requester")}


def operation_of(method: str, url: S3Url) -> Operation:
    """Which operation a request is.

    Raises:
        SignatureRefused: none that is signed, or with a parameter that is not the operation's.
    """
    markers = sorted(_MARKERS & url.query.keys())
    table, place = (_ON_OBJECT, "an object") if url.key else (_ON_BUCKET, "the bucket")
    marker = markers[0] if markers else ""
    operation = table.get((method, marker)) if len(markers) <= 1 else None
    if operation is None:
        asked = "&".join(shown(name) for name in url.query)
        raise SignatureRefused(f"`{shown(method)}` of {place} with `?{asked}` is never signed")
    for name, value in url.query.items():
        pattern = operation.parameters.get(name)
        if pattern is None:
            raise SignatureRefused(
                f"{operation.name} is not signed with the parameter `{shown(name)}`"
            )
        if not pattern.fullmatch(value):
            raise SignatureRefused(f"`{name}` of {operation.name} cannot be `{shown(value)}`")
    missing = sorted(operation.required - url.query.keys())
    if missing:
        raise SignatureRefused(f"{operation.name} needs the parameter `{missing[0]}`")
    return operation


def headers_to_sign(
    headers: Mapping[str, Sequence[str]], operation: Operation, *, host: str
) -> dict[str, str]:
    """The headers of a request that its signature covers, with names in lower case.

    S3 wants every `x-amz-*` header covered, and of a write also what says how to read the body.

    Raises:
        SignatureRefused: a header that does more than this operation, or is not a header.
    """
    if len(headers) > HEADERS_MAX:
        raise SignatureRefused(f"a request has at most {HEADERS_MAX} headers")
    writes = operation.needs is AccessLevel.WRITE
    allowed = _WRITE_HEADERS if writes else _READ_HEADERS
    values: dict[str, str] = {}
    for given, texts in headers.items():
        name, value = given.lower(), ",".join(" ".join(text.split()) for text in texts)
        if not _NAME.fullmatch(given) or name in values:
            raise SignatureRefused(f"the header `{shown(given)}` is malformed or repeated")
        if len(value) > HEADER_VALUE_CHARACTERS_MAX or not all(map(_VALUE.fullmatch, texts)):
            raise SignatureRefused(f"the value of the header `{name}` is too long or not plain")
        if name not in allowed and name not in _PASSED_OVER:
            raise SignatureRefused(f"{operation.name} is not signed with the header `{name}`")
        if name in _VALUES and not _VALUES[name].fullmatch(value):
            raise SignatureRefused(f"the header `{name}` cannot be `{shown(value)}`")
        values[name] = value
    if values.get("host", host) != host:
        raise SignatureRefused(f"the header `host` is not the URI's host `{host}`")
    about_the_body = {"content-md5", "content-type"} if writes else set()
    return {
        name: value
        for name, value in values.items()
        if name in about_the_body or (name.startswith("x-amz-") and name not in _PASSED_OVER)
    }
