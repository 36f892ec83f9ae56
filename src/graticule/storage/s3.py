"""Objects in one bucket, as one identity sees them: get, put if absent, list, delete.

The only door to stored bytes.  Every failure leaves as one of the domain's storage errors.
"""

import random
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from hashlib import md5
from typing import Final
from xml.sax.saxutils import escape

from graticule.access.delete_objects import NAMESPACE
from graticule.access.s3_urls import StoreAddress
from graticule.domain.batches import batched
from graticule.domain.errors import (
    AlreadyExists,
    InvalidLocation,
    NoSuchFile,
    ReadOnlyStorage,
    StorageCrowded,
    StorageRefused,
    StorageUnavailable,
    WriteOutcomeUnknown,
)
from graticule.domain.location import SCHEMES, Location
from graticule.domain.spliced import Content
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.aws_errors import PRECONDITION_CODES, not_s3
from graticule.storage.clients import READ_TIMEOUT_S
from graticule.storage.gates import Gate
from graticule.storage.keys import Keys
from graticule.storage.listings import (
    ListedPage,
    ObjectSummary,
    UnreadPage,
    list_query,
    listed_page,
    text_of,
    unread_page,
)
from graticule.storage.s3_answers import S3Stream, parsed
from graticule.storage.s3_requests import (
    S3Request,
    S3Requests,
    always_headers,
    encryption_headers,
)

LIST_PAGE_KEYS: Final = 1000
DELETE_BATCH_KEYS: Final = 1000
OBJECT_SIZE_BYTES_MAX: Final = 512 * 1024 * 1024
"""More than any metadata file or footer: what is larger is not read into memory here."""

PUT_ATTEMPTS_MAX: Final = 3
PUT_PAUSE_S: Final = 0.1

OCTET_STREAM: Final = "application/octet-stream"

BEYOND_THE_END_CODES: Final = frozenset({"InvalidRange", "416"})


class ObjectStore:
    """The part of a bucket at `root`, reached with whatever keys `credentials` gives at the moment.

    Safe to use from many threads.  `credentials` is asked before every request and must be cheap;
    when its answer changes, the next request is signed with the new keys.
    """

    def __init__(
        self,
        root: Location,
        *,
        region: str,
        endpoint: str | None,
        path_style: bool,
        credentials: Callable[[], Keys | None],
        read_timeout_s: float = READ_TIMEOUT_S,
        outbound: Outbound = PUBLIC_ONLY,
        read_only: bool = False,
        requester_pays: bool = False,
        kms_key_arn: str | None = None,
        when_refused: Callable[[], None] = lambda: None,
        gate: Gate | None = None,
    ) -> None:
        self.root = root
        self._places: tuple[str, ...] | None = None
        self._read_only = read_only
        self._encryption = encryption_headers(kms_key_arn)
        self._requests = S3Requests(
            StoreAddress(root.bucket, region, endpoint),
            path_style=path_style,
            credentials=credentials,
            read_timeout_s=read_timeout_s,
            outbound=outbound,
            always=always_headers(requester_pays=requester_pays),
            when_refused=when_refused,
            gate=gate,
        )

    def confined(self, places: Sequence[str]) -> "ObjectStore":
        """The same store for the objects in these folders, which end with `/`, or of these names.

        What a table's metadata names is up to whoever writes it, so on behalf of a table nothing is
        opened but what its own readers could open.
        """
        own = copy(self)
        keys = (place.partition("://")[2].partition("/")[2] for place in places)
        own._places = tuple(keys)  # noqa: SLF001 - of our own class
        return own

    def get(
        self,
        uri: str,
        *,
        range: tuple[int, int] | None = None,  # noqa: A002 - HTTP's word for it
        etag: str | None = None,
        size_bytes_max: int = OBJECT_SIZE_BYTES_MAX,
    ) -> bytes:
        """The object, or `range` = (offset, length) of it, which may reach past the end.

        Raises:
            NoSuchFile: there is no such object.
            StorageRefused: not allowed, larger than `size_bytes_max`, or no longer the object with
                this `etag`: then its `code` is one of `PRECONDITION_CODES`.
        """
        if range is None:
            return self._get(uri, etag=etag, size_bytes_max=size_bytes_max)
        offset, length = range
        if length == 0:
            return b""
        return self._get(
            uri,
            byte_range=f"bytes={offset}-{offset + length - 1}",
            etag=etag,
            size_bytes_max=size_bytes_max,
        )

    def get_tail(self, uri: str, size_bytes: int, *, etag: str | None = None) -> bytes:
        """The last `size_bytes`, or all of a shorter object, in one request.

        Raises:
            NoSuchFile: there is no such object.
            StorageRefused: not allowed, or the object is no longer the one with this `etag`.
        """
        return self._get(uri, byte_range=f"bytes=-{size_bytes}", etag=etag)

    def exists(self, uri: str) -> bool:
        try:
            self._requests.send(S3Request("HEAD", self._key(uri)), "looking for", uri)
        except NoSuchFile:
            return False
        return True

    def size_and_etag(self, uri: str) -> tuple[int, str] | None:
        """The object as it is now, from its headers alone; None if there is none."""
        try:
            request = S3Request("HEAD", self._key(uri))
            headers = self._requests.send(request, "looking for", uri).headers
        except NoSuchFile:
            return None
        by_name = {name.lower(): value for name, value in headers.items()}
        return int(by_name.get("content-length", "0")), by_name.get("etag", "").strip('"')

    def holds_version(self, uri: str, etag: str) -> bool:
        """True if the object is there and still the version with this `etag`."""
        request = S3Request("HEAD", self._key(uri), headers={"if-match": f'"{etag}"'})
        try:
            self._requests.send(request, "looking for", uri)
        except NoSuchFile:
            return False
        except StorageRefused as error:
            if error.context.get("code") in PRECONDITION_CODES:
                return False
            raise
        return True

    def put(self, uri: str, data: Content, content_type: str = OCTET_STREAM) -> None:
        """Write an object whose name is its own, as one with a fresh UUID in it is.

        Whatever is there is replaced: sent twice, it is there once.  Stores answer sooner than to
        `put_if_absent`, for which some take a lock.

        Raises:
            WriteOutcomeUnknown: no answer came, and the object cannot be seen: it may yet appear.
            StorageRefused: the store said no.
            ReadOnlyStorage: the integration is read-only; the store was not asked.
        """
        self._require_writable(uri)
        self._send_put(uri, data, {"content-type": content_type})

    def put_if_absent(self, uri: str, data: Content, content_type: str = OCTET_STREAM) -> None:
        """Write a new object; never replace one.

        Raises:
            AlreadyExists: another object has this name, and it is not the one we wrote.
            WriteOutcomeUnknown: no answer came, and the object cannot be seen: it may yet appear.
            StorageRefused: the store said no.
            ReadOnlyStorage: the integration is read-only; the store was not asked.
        """
        self._require_writable(uri)
        for attempt in range(PUT_ATTEMPTS_MAX):
            if attempt:
                time.sleep(PUT_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
            if self._put_once(uri, data, content_type):
                return
        raise WriteOutcomeUnknown(
            f"writing `{uri}`: the store reports an object there that cannot be read back"
        )

    def delete(self, uris: Sequence[str]) -> None:
        """Delete objects; those that are not there count as deleted.

        Raises:
            StorageRefused: naming the first object the store did not delete, and how many.
            ReadOnlyStorage: the integration is read-only; the store was not asked.
        """
        self._require_writable(self.root.uri)
        keys = [self._key(uri) for uri in uris]
        for some in batched(keys, DELETE_BATCH_KEYS):
            self._delete_batch(some)

    def list(
        self, folder: Location, *, start_after: str | None = None
    ) -> Iterator[list[ObjectSummary]]:
        """Everything below `folder`, page by page, never a sibling such as `t10` of `t1`.

        `start_after` resumes behind a key seen before, in the store's own order.
        """
        if not folder.is_within(self.root):
            raise InvalidLocation(f"`{folder}` is not inside `{self.root}`")
        continuation = None
        while True:
            query = list_query(
                folder.key_prefix,
                keys_max=LIST_PAGE_KEYS,
                start_after=start_after,
                continuation=continuation,
            )
            page = self._listed(query, folder.prefix)
            yield list(page.files)
            if page.continuation is None:
                return
            if page.continuation == continuation:
                raise StorageUnavailable(f"listing `{folder}`: the store repeats the same page")
            continuation = page.continuation

    def list_page(
        self,
        prefix: str,
        *,
        keys_max: int,
        delimiter: str = "",
        continuation: str | None = None,
    ) -> ListedPage:
        """One page of the keys that begin with `prefix`, which begins with the root's own.

        With a delimiter, keys that go on behind it are told of as a folder.

        Raises:
            InvalidLocation: the prefix reaches beyond the root.
        """
        at = f"s3://{self.root.bucket}/{prefix}"
        if not prefix.startswith(self.root.key_prefix):
            raise InvalidLocation(f"`{at}` is not inside `{self.root}`")
        query = list_query(
            prefix, keys_max=keys_max, delimiter=delimiter, continuation=continuation
        )
        page = self._listed(query, at)
        keys = (*(summary.key for summary in page.files), *page.folders)
        if not all(key.startswith(prefix) for key in keys):
            raise not_s3("listing", at)  # whatever it is, it is not what was asked for
        return page

    def list_unread(
        self,
        folder: Location,
        *,
        continuation: str | None = None,
        start_after: str | None = None,
    ) -> UnreadPage:
        """One page of everything below `folder`, to be compared before it is read.

        It is the page that a `continuation` stands for, or the one behind a key seen before, in the
        store's own order.
        """
        if not folder.is_within(self.root):
            raise InvalidLocation(f"`{folder}` is not inside `{self.root}`")
        query = list_query(
            folder.key_prefix,
            keys_max=LIST_PAGE_KEYS,
            continuation=continuation,
            start_after=None if continuation else start_after,
        )
        answer = self._requests.send(S3Request("GET", query=query), "listing", folder.prefix)
        page = unread_page(answer, folder.prefix)

        def read() -> tuple[ObjectSummary, ...]:
            files = page.read()
            if not all(row.key.startswith(folder.key_prefix) for row in files):
                raise not_s3("listing", folder.prefix)  # it is not what was asked for
            return files

        return replace(page, read=read)

    def open(self, uri: str, *, byte_range: str | None = None, etag: str | None = None) -> S3Stream:
        """The object, or a `bytes=…` range of it, to be read piece by piece; the caller closes it.

        Raises:
            NoSuchFile: there is no such object.
            StorageRefused: not allowed; with the `code` InvalidRange a range beyond the end, and
                PreconditionFailed an object that no longer has this `etag`.
        """
        headers = {}
        if byte_range is not None:
            headers["range"] = byte_range
        if etag is not None:
            headers["if-match"] = f'"{etag}"'
        return self._requests.open(
            S3Request("GET", self._key(uri), headers=headers), "reading", uri
        )

    def link(
        self, uri: str, keys: Keys | None, *, query: Mapping[str, str], lifetime_s: int, now_ms: int
    ) -> str:
        """A URL that reads one object and nothing else, signed with `keys`, or plain without any.

        `query` goes with it, signed as well.
        """
        request = S3Request("GET", self._key(uri), query=query)
        return self._requests.url(request, keys, lifetime_s=lifetime_s, now_ms=now_ms)

    def _listed(self, query: Mapping[str, str], at: str) -> ListedPage:
        return listed_page(self._requests.send(S3Request("GET", query=query), "listing", at), at)

    def _require_writable(self, uri: str) -> None:
        """The last line: services refuse earlier, and say it better."""
        if self._read_only:
            raise ReadOnlyStorage(f"`{uri}` is in read-only storage")

    def _key(self, uri: str) -> str:
        """The key, verbatim: what lies in a bucket need not follow our rules for new locations."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        in_bucket = scheme in SCHEMES and bucket == self.root.bucket
        if not in_bucket or not key or not key.startswith(self.root.key_prefix):
            raise InvalidLocation(f"`{uri}` is not an object inside `{self.root}`")
        if not {".", ".."}.isdisjoint(key.split("/")):
            raise InvalidLocation(f"`{uri}` contains a `.` or `..` segment")
        if self._places is not None and not any(
            key.startswith(place) if place.endswith("/") else key == place for place in self._places
        ):
            raise InvalidLocation(f"`{uri}` does not lie where the table's files are")
        return key

    def _get(
        self,
        uri: str,
        *,
        byte_range: str | None = None,
        etag: str | None = None,
        size_bytes_max: int = OBJECT_SIZE_BYTES_MAX,
    ) -> bytes:
        headers = {}
        if byte_range is not None:
            headers["range"] = byte_range
        if etag is not None:
            headers["if-match"] = f'"{etag}"'
        request = S3Request("GET", self._key(uri), headers=headers)
        try:
            answer = self._requests.send(request, "reading", uri, size_bytes_max=size_bytes_max)
        except StorageRefused as error:
            if error.context.get("code") in BEYOND_THE_END_CODES:
                return b""
            raise
        return answer.body

    def _put_once(self, uri: str, data: Content, content_type: str) -> bool:
        """True if the object is there with our bytes; False if it is worth another try."""
        try:
            self._send_put(uri, data, {"content-type": content_type, "if-none-match": "*"})
        except StorageRefused as error:
            if error.context.get("code") not in PRECONDITION_CODES:
                raise
            # A re-sent PUT fails against the object that its first try wrote, answer lost: so
            # read it back before reporting a conflict.
            return self._holds(uri, data)
        return True

    def _send_put(self, uri: str, data: Content, headers: Mapping[str, str]) -> None:
        """Raises WriteOutcomeUnknown if no answer came and our bytes cannot be seen."""
        request = S3Request(
            "PUT", self._key(uri), headers={**headers, **self._encryption}, body=data
        )
        try:
            self._requests.send(request, "writing", uri)
        except StorageCrowded:
            raise  # nothing was sent
        except StorageUnavailable as error:
            if not self._seen(uri, data):
                raise WriteOutcomeUnknown(error.message, **error.context) from error

    def _holds(self, uri: str, data: Content) -> bool:
        """True if `uri` holds exactly `data`, False if nothing is there.

        Raises:
            AlreadyExists: something else is there.
        """
        try:
            # One byte more than ours tells a longer object from an equal one.
            found = self.get(uri, range=(0, len(data) + 1))
        except NoSuchFile:
            return False
        if found != bytes(data):
            raise AlreadyExists(f"another object is already stored at `{uri}`")
        return True

    def _seen(self, uri: str, data: Content) -> bool:
        try:
            return self._holds(uri, data)
        except (StorageRefused, StorageUnavailable):
            return False

    def _delete_batch(self, keys: Sequence[str]) -> None:
        at = f"{self.root.prefix}… ({len(keys)} objects)"
        objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
        body = f'<Delete xmlns="{NAMESPACE}"><Quiet>true</Quiet>{objects}</Delete>'.encode()
        checksum = b64encode(md5(body, usedforsecurity=False).digest()).decode()  # S3 insists
        headers = {"content-type": "application/xml", "content-md5": checksum}
        request = S3Request("POST", query={"delete": ""}, headers=headers, body=body)
        answer = self._requests.send(request, "deleting", at)
        errors = parsed(answer, "deleting", at, root="DeleteResult").iterfind("{*}Error")
        failed = [error for error in errors if text_of(error, "Code") != "NoSuchKey"]
        if failed:
            first = failed[0]
            raise StorageRefused(
                f"{len(failed)} of {len(keys)} objects were not deleted; the first is "
                f"`s3://{self.root.bucket}/{text_of(first, 'Key')}`: "
                f"{text_of(first, 'Code')}: {text_of(first, 'Message')}"
            )
