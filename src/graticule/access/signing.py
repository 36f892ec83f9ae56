"""May this request to the object store be signed for this table?  Pure: no store, no keys.

The client sends method, URI and headers of a request it wants to make, and gets back a signature
that lets anybody make it.  So it is signed only if all that it can do lies within the table.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from graticule.access.delete_objects import keys_to_delete
from graticule.access.s3_operations import (
    DELETE_OBJECTS,
    LIST_OBJECTS,
    Operation,
    headers_to_sign,
    operation_of,
)
from graticule.access.s3_urls import S3Url, StoreAddress, check_key, parse_url, shown
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import SignatureRefused

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
"""What a body sent in chunks with a checksum at its end must be signed as."""

REUSABLE_METHODS: Final = frozenset({"GET", "HEAD"})

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SignRequest:
    """What a client wants to send, as it describes it.  `body` comes only for DeleteObjects."""

    method: str
    region: str
    uri: str
    headers: Mapping[str, Sequence[str]]
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """The keys of the bucket that a table covers: folders end with `/`, others are one object."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]

    def place_of(self, key: str, needs: AccessLevel) -> str:
        """The place that a key lies in.

        Raises:
            SignatureRefused: in none, or in one that may only be read.
        """
        places = self.writable if needs is AccessLevel.WRITE else self.readable
        for place in places:
            if _covers(place, key):
                return place
        if needs is AccessLevel.WRITE and any(_covers(place, key) for place in self.readable):
            raise SignatureRefused(f"`{shown(key)}` may only be read")
        raise SignatureRefused(f"`{shown(key)}` is not a file of this table")


@dataclass(frozen=True, slots=True)
class Signable:
    """A request that may be signed, and what its signature covers.

    `place` is one that it lies in, where a narrower identity signs for single places.
    """

    operation: str
    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    payload_hash: str
    place: str
    is_reusable: bool


def authorise(request: SignRequest, store: StoreAddress, reach: Reach) -> Signable:
    """Read a request as the store will, and check everything that it does.

    Raises:
        SignatureRefused: with the rule that it breaks.
    """
    if request.region != store.region:
        raise SignatureRefused(
            f"the bucket is in region `{store.region}`, not `{shown(request.region)}`"
        )
    url = parse_url(request.uri, store)
    operation = operation_of(request.method, url)
    headers = headers_to_sign(request.headers, operation, host=url.host)
    body = (request.body or "").encode(errors="replace")
    if body and operation is not DELETE_OBJECTS:
        raise SignatureRefused(f"{operation.name} is not signed with a body; leave it out")
    place = _place_of(operation, url, body, reach)
    return Signable(
        operation=operation.name,
        method=request.method,
        host=url.host,
        path=url.path,
        query=url.query,
        headers={name: headers[name] for name in headers if name != "x-amz-content-sha256"},
        payload_hash=_payload_hash(operation, headers, body),
        place=place,
        is_reusable=request.method in REUSABLE_METHODS,
    )


def _place_of(operation: Operation, url: S3Url, body: bytes, reach: Reach) -> str:
    if operation is LIST_OBJECTS:
        return _listed_place(url.query["prefix"], reach)
    if operation is DELETE_OBJECTS:
        if not body:
            raise SignatureRefused(
                "DeleteObjects is signed only when its body comes along, to see what it deletes; "
                "a client that cannot send it must delete one object at a time"
            )
        first, *_others = [reach.place_of(key, operation.needs) for key in keys_to_delete(body)]
        return first
    return reach.place_of(url.key, operation.needs)


def _listed_place(prefix: str, reach: Reach) -> str:
    """A list must begin inside a folder: names beside the table are not the table's to tell."""
    check_key(prefix.removesuffix("/"))
    for place in reach.readable:
        if place.endswith("/") and prefix.startswith(place):
            return place
    raise SignatureRefused(f"the prefix `{shown(prefix)}` is not within this table")


def _payload_hash(operation: Operation, headers: Mapping[str, str], body: bytes) -> str:
    """What the signature says of the body: its hash where we saw it, so that it stays that body."""
    claimed = headers.get("x-amz-content-sha256")
    if operation is DELETE_OBJECTS:
        seen = sha256(body).hexdigest()
        if claimed is not None and claimed != seen:
            raise SignatureRefused("`x-amz-content-sha256` is not the hash of the body")
        return seen
    expected = UNSIGNED_TRAILER if "x-amz-trailer" in headers else UNSIGNED_PAYLOAD
    if claimed in {None, expected} or (
        expected == UNSIGNED_PAYLOAD and _SHA256.fullmatch(claimed or "")
    ):
        return claimed or expected
    raise SignatureRefused(f"`x-amz-content-sha256` cannot be `{shown(claimed or '')}` here")


def _covers(place: str, key: str) -> bool:
    return key.startswith(place) and key != place if place.endswith("/") else key == place
