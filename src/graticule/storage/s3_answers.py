"""What a store answers to a signed request: a success, whole or as a stream, or a refusal.

An answer may be S3's, or anything: its size is bounded, and its XML is parsed with care.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from xml.etree.ElementTree import Element, ParseError  # only the types: defusedxml parses

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from graticule.domain.errors import CatalogError, StorageRefused
from graticule.storage.aws_errors import StoreError, no_answer, not_s3, refusal


@dataclass(frozen=True, slots=True)
class S3Answer:
    """A success.  Names of headers are in any case."""

    headers: Mapping[str, str]
    body: bytes


class S3Stream:
    """A success whose body has yet to be read, in pieces or not at all.  A context manager."""

    def __init__(self, answer: BaseHTTPResponse, operation: str, at: str) -> None:
        self._answer = answer
        self._operation = operation
        self._at = at

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are in any case."""
        return self._answer.headers

    def chunks(self, size_bytes: int) -> Iterator[bytes]:
        """The body, piece by piece.

        Raises:
            StorageUnavailable: it ended too early, or the store fell silent.
        """
        try:
            yield from self._answer.stream(size_bytes, decode_content=False)
        except (HTTPError, OSError) as error:
            raise no_answer(error, self._operation, self._at) from error

    def close(self) -> None:
        self._answer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parsed(answer: S3Answer, operation: str, at: str, *, root: str) -> Element:
    """The XML document in an answer, whose outermost element is called `root`.

    Raises:
        StorageRefused: it is something else.
    """
    try:
        document: Element = fromstring(answer.body)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise not_s3(operation, at) from error
    if local_name(document) != root:
        raise not_s3(operation, at)
    return document


def body_of(answer: BaseHTTPResponse, at: str, size_bytes_max: int) -> bytes:
    declared = answer.headers.get("content-length", "")
    size = f"{declared} bytes long"
    if not declared.isdecimal() or int(declared) <= size_bytes_max:
        data = answer.read(size_bytes_max + 1)
        if len(data) <= size_bytes_max:
            return data
        size = "longer than it says"
    raise too_long(at, size, size_bytes_max)


def too_long(at: str, size: str, size_bytes_max: int) -> StorageRefused:
    return StorageRefused(f"`{at}` is {size}; at most {size_bytes_max} are read at once")


def refusal_of(
    status: int, headers: Mapping[str, str], body: bytes, operation: str, at: str
) -> CatalogError:
    """What an answer that is no success means; its body may be S3's, or anything."""
    said: dict[str, str] = {}
    with suppress(ParseError, DefusedXmlException, ValueError):
        document = fromstring(body)
        said = {local_name(element): element.text or "" for element in document.iter()}
    return refusal(
        StoreError(
            status=status,
            code=said.get("Code") or str(status),
            message=said.get("Message") or "no message",
            region=headers.get("x-amz-bucket-region") or said.get("Region"),
        ),
        operation,
        at,
    )


def local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
