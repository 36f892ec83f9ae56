"""What a store answers when it is asked to list: `ListObjectsV2`, read into values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element  # only the type: defusedxml parses

from botocore.utils import parse_timestamp

from graticule.storage.aws_errors import not_s3
from graticule.storage.s3_requests import S3Answer, local_name, parsed


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One row of a listing."""

    key: str
    size_bytes: int
    etag: str
    last_modified_ms: int


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A part of a listing.  `folders` are keys that end with the delimiter."""

    files: tuple[ObjectSummary, ...]
    folders: tuple[str, ...]
    continuation: str | None
    """What the store wants to hear to go on; None at the end."""


def list_query(
    prefix: str,
    *,
    keys_max: int,
    delimiter: str = "",
    start_after: str | None = None,
    continuation: str | None = None,
) -> dict[str, str]:
    """The query parameters that ask for a page."""
    query = {
        "list-type": "2",
        "prefix": prefix,
        "max-keys": str(keys_max),
        "encoding-type": "url",  # a key may hold what XML cannot
    }
    optional = {
        "delimiter": delimiter,
        "start-after": start_after,
        "continuation-token": continuation,
    }
    return query | {name: value for name, value in optional.items() if value}


def listed_page(answer: S3Answer, at: str) -> ListedPage:
    """Read an answer to a request for `list_query`.

    Raises:
        StorageRefused: it is something else.
    """
    document = parsed(answer, "listing", at, root="ListBucketResult")
    is_encoded = text_of(document, "EncodingType") == "url"

    def decoded(text: str) -> str:
        return unquote_plus(text) if is_encoded else text

    try:
        files = tuple(
            _summary(row, decoded(row["Key"]))
            for row in (_row(entry) for entry in document.iterfind("{*}Contents"))
        )
        folders = tuple(
            decoded(_row(entry)["Prefix"]) for entry in document.iterfind("{*}CommonPrefixes")
        )
    except (KeyError, ValueError) as error:
        raise not_s3("listing", at) from error
    goes_on = text_of(document, "IsTruncated") == "true"
    following = text_of(document, "NextContinuationToken") if goes_on else ""
    return ListedPage(files, folders, following or None)


def text_of(parent: Element, name: str) -> str:
    return parent.findtext(f"{{*}}{name}") or ""


def _row(entry: Element) -> dict[str, str]:
    return {local_name(element): element.text or "" for element in entry}


def _summary(row: Mapping[str, str], key: str) -> ObjectSummary:
    return ObjectSummary(
        key=key,
        size_bytes=int(row["Size"]),
        etag=(row.get("ETag") or "").strip('"'),
        last_modified_ms=int(_moment(row["LastModified"]).timestamp() * 1000),
    )


def _moment(text: str) -> datetime:
    """S3's own `2026-01-31T12:00:00.000Z` fast; whatever else a store writes as AWS clients do."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return parse_timestamp(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
