"""What a store answers when it is asked to list: `ListObjectsV2`, read into values.

Entries as S3 itself writes them are taken from the bytes by one expression, some ten times as fast
as from a tree of elements; a page with anything else in it is parsed as any XML.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element  # only the type: defusedxml parses

from botocore.utils import parse_timestamp

from graticule.storage.aws_errors import not_s3
from graticule.storage.s3_answers import S3Answer, local_name, parsed


class ObjectSummary(NamedTuple):
    """One row of a listing.  A tuple, because there are millions of them."""

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


@dataclass(frozen=True, slots=True)
class UnreadPage:
    """A page whose objects have yet to be read; equal `entries` are equal objects."""

    continuation: str | None
    entries: bytes
    read: Callable[[], tuple[ObjectSummary, ...]]


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
    frame, entries = _split(answer.body)
    document = parsed(S3Answer(answer.headers, frame), "listing", at, root="ListBucketResult")
    is_encoded = text_of(document, "EncodingType") == "url"

    def decoded(text: str) -> str:
        return unquote_plus(text) if is_encoded and _ESCAPED.search(text) else text

    try:
        files = tuple(
            _summary(row, decoded(row["Key"]))
            for row in (_row(entry) for entry in document.iterfind("{*}Contents"))
        )
        files += tuple(
            ObjectSummary(
                decoded(key.decode()),
                int(size),
                etag.replace(b"&quot;", b"").decode().strip('"'),
                _moment_ms(moment.decode()),
            )
            for key, moment, etag, size in entries
        )
        folders = tuple(
            decoded(_row(entry)["Prefix"]) for entry in document.iterfind("{*}CommonPrefixes")
        )
    except (KeyError, ValueError) as error:
        raise not_s3("listing", at) from error
    goes_on = text_of(document, "IsTruncated") == "true"
    following = text_of(document, "NextContinuationToken") if goes_on else ""
    return ListedPage(files, folders, following or None)


def unread_page(answer: S3Answer, at: str) -> UnreadPage:
    """A page of a listing without a delimiter, its objects left as they are.

    Raises:
        StorageRefused: it is something else.
    """
    if _is_plain(answer.body):
        frame, entries = _cut(answer.body)
        document = parsed(S3Answer(answer.headers, frame), "listing", at, root="ListBucketResult")
        following = text_of(document, "NextContinuationToken")
        goes_on = text_of(document, "IsTruncated")
        # If not all of these are there, they may be what was cut out.
        if entries and (goes_on == "false" or (goes_on == "true" and following)):
            encoding = text_of(document, "EncodingType").encode()
            continuation = following if goes_on == "true" else None
            return UnreadPage(
                continuation, encoding + entries, lambda: listed_page(answer, at).files
            )
    page = listed_page(answer, at)
    return UnreadPage(page.continuation, repr(page.files).encode(), lambda: page.files)


def text_of(parent: Element, name: str) -> str:
    return parent.findtext(f"{{*}}{name}") or ""


def _row(entry: Element) -> dict[str, str]:
    return {local_name(element): element.text or "" for element in entry}


def _summary(row: Mapping[str, str], key: str) -> ObjectSummary:
    return ObjectSummary(
        key=key,
        size_bytes=int(row["Size"]),
        etag=(row.get("ETag") or "").strip('"'),
        last_modified_ms=_moment_ms(row["LastModified"]),
    )


def _moment_ms(text: str) -> int:
    """S3's own `2026-01-31T12:00:00.000Z` fast; whatever else a store writes as AWS clients do."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = parse_timestamp(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


_Entry = tuple[bytes, bytes, bytes, bytes]
"""Key, moment, ETag and size, as they stand in the XML."""

_PLAIN_ENTRY: Final = re.compile(
    rb"<Contents>"
    rb"<Key>([^<&]++)</Key>"
    rb"<LastModified>([^<&]++)</LastModified>"
    rb"<ETag>((?>[^<&]++|&quot;)*+)</ETag>"
    rb"(?><Checksum(?:Algorithm|Type)>[^<&]*+</Checksum\w++>)*+"
    rb"<Size>([0-9]++)</Size>"
    rb"(?><Owner>(?><(?:ID|DisplayName)>[^<&]*+</\w++>)*+</Owner>)?+"
    rb"(?><(?:StorageClass|Type)>[^<&]*+</\w++>)*+"
    rb"</Contents>"
)
"""As AWS and most others write it.  Never goes back, so that a page made up by somebody takes no
longer than any other."""

_ESCAPED: Final = re.compile("[%+]")


def _split(body: bytes) -> tuple[bytes, Iterator[_Entry]]:
    """The page without its entries, and these; or all of it and none, if it is written otherwise.

    Comments, CDATA, entities and other encodings may make of the same bytes another page.
    """
    if not _is_plain(body):
        return body, iter(())
    frame, cut = _cut(body)
    entries: list[_Entry] = _PLAIN_ENTRY.findall(cut)
    # As many as there are, and nothing in between.
    if not entries or len(entries) - 1 != cut.count(b"</Contents><Contents>"):
        return body, iter(())
    if cut.count(b"<Contents") != len(entries):
        return body, iter(())
    return frame, iter(entries)


def _is_plain(body: bytes) -> bool:
    has_more = b"!" in body and b"<!" in body
    # Keys come with their question marks encoded.
    has_instructions = body.count(b"?") != 2 * body.startswith(b"<?xml ")
    is_foreign = re.search(rb'encoding=["\'](?!utf-8["\'])', body[:100], re.IGNORECASE)
    return not (has_more or has_instructions or is_foreign)


def _cut(body: bytes) -> tuple[bytes, bytes]:
    """What is around the entries, and what is from the first of them to the last."""
    end = body.rfind(b"</Contents>") + len(b"</Contents>")
    start = body.find(b"<Contents>")
    if not 0 <= start < end:
        return body, b""
    return body[:start] + body[end:], body[start:end]
