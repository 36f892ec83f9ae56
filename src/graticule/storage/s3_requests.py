"""Signed requests to one bucket, without the weight of a whole AWS client around each.

A commit is one PUT, so what a request costs is what a commit costs.  What requests there are, and
what they mean, `s3` knows; here they are addressed, signed, sent, and sent again while the store is
busy.
"""

import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from graticule.access.s3_urls import StoreAddress
from graticule.domain.errors import CatalogError, StorageRefused, StorageUnavailable
from graticule.domain.spliced import Content, pieces_of
from graticule.outbound.exchanges import Exchanges
from graticule.outbound.gate import PUBLIC_ONLY, AddressRefused, Outbound
from graticule.storage.aws_errors import no_answer, shows_lost_access
from graticule.storage.connections import connections_to
from graticule.storage.gates import Gate
from graticule.storage.keys import Keys
from graticule.storage.s3_answers import S3Answer, S3Stream, body_of, refusal_of, too_long
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
            is_piece = request.body or "range" in request.headers
            if is_piece and self._exchanges is not None:
                return self._exchanged(self._exchanges, request, operation, at, size_bytes_max)
            try:
                with closing(self._ask(request, operation, at)) as answer:
                    # A connection whose answer was read to its end stays open.
                    return S3Answer(answer.headers, body_of(answer, at, size_bytes_max))
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
        """As `_ask`, with the whole answer: of requests that come by the thousand."""
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
            raise too_long(at, "longer than it says", size_bytes_max)
        return S3Answer(answer.headers, answer.body)

    def _refused(
        self, status: int, headers: Mapping[str, str], body: bytes, operation: str, at: str
    ) -> CatalogError:
        refused = refusal_of(status, headers, body, operation, at)
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


def _not_there(error: AddressRefused, operation: str, at: str) -> StorageRefused:
    return StorageRefused(f"{operation} `{at}`: the store's endpoint: {error}")
