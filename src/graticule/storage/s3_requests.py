"""Signed requests to one bucket, without the weight of a whole AWS client around each.

A commit is one PUT, so what a request costs is what a commit costs.  What requests there are, and
what they mean, `s3` knows; here they are addressed, signed, sent, and sent again while the store is
busy.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import Element, ParseError  # only the types: defusedxml parses

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from graticule.access.s3_urls import StoreAddress
from graticule.domain.errors import CatalogError, StorageRefused, StorageUnavailable
from graticule.domain.spliced import Content, pieces_of
from graticule.outbound.exchanges import Exchanges
from graticule.outbound.gate import PUBLIC_ONLY, AddressRefused, Outbound
from graticule.storage.aws_errors import (
    StoreError,
    no_answer,
    not_s3,
    refusal,
    shows_lost_access,
)
from graticule.storage.connections import connections_to
from graticule.storage.gates import Gate
from graticule.storage.keys import Keys
from graticule.storage.signing import (
    UNRESERVED,
    UNSIGNED_PAYLOAD,
    presigned_query,
    signing_headers,
)

T = TypeVar("T")

ATTEMPTS_MAX: Final = 3
PAUSE_S: Final = 0.2
"""Before the second attempt, on average; doubled before every further one."""

REFUSED_FROM: Final = 300
"""A redirect is a refusal: it leads to a host that nobody checked."""

ERROR_BODY_BYTES_MAX: Final = 64 * 1024
XML_BODY_BYTES_MAX: Final = 16 * 1024 * 1024

_USER_AGENT: Final = "graticule"
_HOST_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")


@dataclass(frozen=True, slots=True)
class S3Request:
    """What is asked.  Names of headers are lower case; without a key it is about the bucket."""

    method: str
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Content = b""


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


@dataclass(frozen=True, slots=True)
class _Signed:
    """A request as it is signed: `path` and `query` decoded."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    payload_hash: str


class S3Requests:
    """Sends requests to one bucket as whoever `credentials` says at the moment.

    Safe to use from many threads.  Requests of nobody are not signed.  The headers `always` go
    with every request.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        path_style: bool,
        credentials: Callable[[], Keys | None],
        read_timeout_s: float,
        outbound: Outbound = PUBLIC_ONLY,
        always: Mapping[str, str] | None = None,
        when_refused: Callable[[], None] = lambda: None,
        gate: Gate | None = None,
    ) -> None:
        """`when_refused` is called for answers that a working integration does not get.

        `gate` bounds how many threads wait for this store at once.
        """
        self._enter = gate.enter if gate is not None else nullcontext
        origin, self._prefix = origin_of(address, path_style=path_style)
        self._origin = origin
        self._host = urlsplit(origin).netloc
        self._region = address.region
        self._credentials = credentials
        self._always = dict(always or {})
        self._when_refused = when_refused
        self._connections = connections_to(
            origin,
            read_timeout_s=read_timeout_s,
            outbound=None if address.endpoint is None else outbound,
        )
        # A proxy is spoken to in ways that only the library knows.
        has_proxy = self._connections.proxy is not None
        self._exchanges = None if has_proxy else Exchanges(self._connections)

    def send(
        self,
        request: S3Request,
        operation: str,
        at: str,
        *,
        size_bytes_max: int = XML_BODY_BYTES_MAX,
    ) -> S3Answer:
        """The answer, if it is a success, with a body of at most `size_bytes_max`.

        `operation` and `at` are for messages: what was tried and where.

        Raises:
            NoSuchFile: what is asked for is not there.
            StorageRefused: the store said no, with S3's `code` as context, or the body is larger.
            StorageUnavailable: no answer, or none but that the store is busy or broken.
        """

        def once() -> S3Answer:
            if request.body and self._exchanges is not None:
                return self._exchanged(self._exchanges, request, operation, at, size_bytes_max)
            try:
                with closing(self._ask(request, operation, at)) as answer:
                    # A connection whose answer was read to its end stays open.
                    return S3Answer(answer.headers, _body(answer, at, size_bytes_max))
            except (HTTPError, OSError) as error:
                raise no_answer(error, operation, at) from error

        with self._enter():
            return _patiently(once)

    def open(self, request: S3Request, operation: str, at: str) -> S3Stream:
        """As `send`, with a body that the caller reads and closes."""
        with self._enter():
            answer = _patiently(lambda: self._ask(request, operation, at))
        return S3Stream(answer, operation, at)

    def url(self, request: S3Request, keys: Keys | None, *, lifetime_s: int, now_ms: int) -> str:
        """A URL with which anybody may send `request`, for a while, as if they were `keys`.

        Without keys it is the plain URL.  What goes along with every request is in its query.
        """
        path = self._prefix + request.key
        query = {**self._always, **request.query}
        if keys is not None:
            unsigned = _Signed(request.method, self._host, path, query, {}, UNSIGNED_PAYLOAD)
            query = presigned_query(
                unsigned, keys, region=self._region, now_ms=now_ms, lifetime_s=lifetime_s
            )
        return self._origin + _target(path, query)

    def _ask(self, request: S3Request, operation: str, at: str) -> BaseHTTPResponse:
        """The answer to one attempt, its body unread; the caller closes it."""
        target, headers = self._signed(request)
        try:
            answer = self._connections.urlopen(
                request.method,
                target,
                body=bytes(request.body),
                headers=headers,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            if answer.status < REFUSED_FROM:
                return answer
            with closing(answer):
                said = answer.read(ERROR_BODY_BYTES_MAX)
            raise self._refused(answer.status, answer.headers, said, operation, at)
        except AddressRefused as error:
            raise _not_there(error, operation, at) from error
        except (HTTPError, OSError) as error:
            raise no_answer(error, operation, at) from error

    def _exchanged(
        self,
        exchanges: Exchanges,
        request: S3Request,
        operation: str,
        at: str,
        size_bytes_max: int,
    ) -> S3Answer:
        """As `_ask`, of a request whose body is what counts, with the whole answer."""
        target, headers = self._signed(request)
        try:
            answer = exchanges.exchange(
                request.method, target, headers, request.body, body_bytes_max=size_bytes_max
            )
        except AddressRefused as error:
            raise _not_there(error, operation, at) from error
        except (HTTPError, OSError) as error:
            raise no_answer(error, operation, at) from error
        if answer.status >= REFUSED_FROM:
            said = answer.body[:ERROR_BODY_BYTES_MAX]
            raise self._refused(answer.status, answer.headers, said, operation, at)
        if len(answer.body) > size_bytes_max:
            raise _too_long(at, "longer than it says", size_bytes_max)
        return S3Answer(answer.headers, answer.body)

    def _refused(
        self, status: int, headers: Mapping[str, str], body: bytes, operation: str, at: str
    ) -> CatalogError:
        refused = _refusal(status, headers, body, operation, at)
        if shows_lost_access(refused):
            self._when_refused()
        return refused

    def _signed(self, request: S3Request) -> tuple[str, dict[str, str]]:
        """The target and all headers."""
        path = self._prefix + request.key
        asked = {**self._always, **request.headers}
        headers = {"host": self._host, "user-agent": _USER_AGENT, **asked}
        keys = self._credentials()
        if keys is not None:
            signed = _Signed(
                method=request.method,
                host=self._host,
                path=path,
                query=request.query,
                headers=asked,
                payload_hash=_hash_of(request.body),
            )
            now_ms = time.time_ns() // 1_000_000
            headers |= signing_headers(signed, keys, region=self._region, now_ms=now_ms)
        return _target(path, request.query), headers


def _hash_of(body: Content) -> str:
    hashed = sha256()
    for piece in pieces_of(body):
        hashed.update(piece)
    return hashed.hexdigest()


def _patiently(attempt: Callable[[], T]) -> T:
    """The outcome of the first attempt at which the store is not busy, or of the last."""
    for number in range(1, ATTEMPTS_MAX):
        try:
            return attempt()
        except StorageUnavailable:
            time.sleep(PAUSE_S * 2 ** (number - 1) * random.uniform(0.5, 1.5))  # noqa: S311
    return attempt()


def _target(path: str, query: Mapping[str, str]) -> str:
    encoded = "&".join(
        f"{quote(name, safe=UNRESERVED)}={quote(value, safe=UNRESERVED)}"
        for name, value in query.items()
    )
    target = quote(path, safe="/" + UNRESERVED)
    return f"{target}?{encoded}" if encoded else target


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


def always_headers(*, requester_pays: bool) -> dict[str, str]:
    """What goes with every request to a bucket."""
    return {"x-amz-request-payer": "requester"} if requester_pays else {}


def encryption_headers(kms_key_arn: str | None) -> dict[str, str]:
    """What goes with every object that is written, to be encrypted with that key."""
    if kms_key_arn is None:
        return {}
    return {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": kms_key_arn,
    }


def origin_of(address: StoreAddress, *, path_style: bool) -> tuple[str, str]:
    """Where requests go, and what comes before a key in their path."""
    origin = address.origins()[0]
    scheme, _, host = origin.partition("://")
    # No certificate is for a host with one more dot in it.
    is_covered = scheme == "http" or "." not in address.bucket
    is_name = _HOST_NAME.fullmatch(address.bucket) and not _is_ip(urlsplit(origin).hostname or "")
    if path_style or not (is_covered and is_name):
        return origin, f"/{address.bucket}/"
    return f"{scheme}://{address.bucket}.{host}", "/"


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _body(answer: BaseHTTPResponse, at: str, size_bytes_max: int) -> bytes:
    declared = answer.headers.get("content-length", "")
    size = f"{declared} bytes long"
    if not declared.isdecimal() or int(declared) <= size_bytes_max:
        data = answer.read(size_bytes_max + 1)
        if len(data) <= size_bytes_max:
            return data
        size = "longer than it says"
    raise _too_long(at, size, size_bytes_max)


def _too_long(at: str, size: str, size_bytes_max: int) -> StorageRefused:
    return StorageRefused(f"`{at}` is {size}; at most {size_bytes_max} are read at once")


def _not_there(error: AddressRefused, operation: str, at: str) -> StorageRefused:
    return StorageRefused(f"{operation} `{at}`: the store's endpoint: {error}")


def _refusal(
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
