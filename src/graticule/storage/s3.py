"""Objects in one bucket, as one identity sees them: get, put if absent, list, delete.

The only door to stored bytes.  Every failure leaves as one of the domain's storage errors.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from graticule.domain.errors import (
    AlreadyExists,
    InvalidLocation,
    NoSuchFile,
    ReadOnlyStorage,
    StorageRefused,
    StorageUnavailable,
    WriteOutcomeUnknown,
)
from graticule.domain.location import SCHEMES, Location
from graticule.storage.aws_errors import PRECONDITION_CODES, code_of, translated
from graticule.storage.clients import READ_TIMEOUT_S, s3_client
from graticule.storage.keys import Keys

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef, ListObjectsV2RequestTypeDef

LIST_PAGE_KEYS: Final = 1000
DELETE_BATCH_KEYS: Final = 1000
OBJECT_SIZE_BYTES_MAX: Final = 512 * 1024 * 1024
"""More than any metadata file or footer: what is larger is not read into memory here."""

PUT_ATTEMPTS_MAX: Final = 3
PUT_PAUSE_S: Final = 0.1

OCTET_STREAM: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One row of a listing."""

    key: str
    size_bytes: int
    etag: str
    last_modified_ms: int


class ObjectStore:
    """The part of a bucket at `root`, reached with whatever keys `credentials` gives at the moment.

    Safe to use from many threads.  `credentials` is asked before every operation and must be cheap;
    when its answer changes, the next operation signs with the new keys.
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
        read_only: bool = False,
        requester_pays: bool = False,
        kms_key_arn: str | None = None,
    ) -> None:
        self.root = root
        self._read_only = read_only
        self._requester_pays = requester_pays
        self._kms_key_arn = kms_key_arn
        self._region = region
        self._endpoint = endpoint
        self._path_style = path_style
        self._credentials = credentials
        self._read_timeout_s = read_timeout_s
        self._guard = threading.Lock()
        self._built: tuple[Keys | None, S3Client] | None = None

    def get(
        self,
        uri: str,
        *,
        range: tuple[int, int] | None = None,  # noqa: A002 - HTTP's word for it
        size_bytes_max: int = OBJECT_SIZE_BYTES_MAX,
    ) -> bytes:
        """The object, or `range` = (offset, length) of it, which may reach past the end.

        Raises:
            NoSuchFile: there is no such object.
            StorageRefused: not allowed, or larger than `size_bytes_max`.
        """
        if range is None:
            return self._get(uri, size_bytes_max=size_bytes_max)
        offset, length = range
        if length == 0:
            return b""
        return self._get(
            uri,
            byte_range=f"bytes={offset}-{offset + length - 1}",
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
        key, client = self._key(uri), self._client()
        try:
            with translated("looking for", uri):
                client.head_object(Bucket=self.root.bucket, Key=key)
        except NoSuchFile:
            return False
        return True

    def holds_version(self, uri: str, etag: str) -> bool:
        """True if the object is there and still the version with this `etag`."""
        try:
            with translated("looking for", uri):
                self._client().head_object(
                    Bucket=self.root.bucket, Key=self._key(uri), IfMatch=f'"{etag}"'
                )
        except NoSuchFile:
            return False
        except StorageRefused as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and code_of(cause) in PRECONDITION_CODES:
                return False
            raise
        return True

    def put_if_absent(self, uri: str, data: bytes, content_type: str = OCTET_STREAM) -> None:
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
        for start in range(0, len(keys), DELETE_BATCH_KEYS):
            self._delete_batch(keys[start : start + DELETE_BATCH_KEYS])

    def list(
        self, folder: Location, *, start_after: str | None = None
    ) -> Iterator[list[ObjectSummary]]:
        """Everything below `folder`, page by page, never a sibling such as `t10` of `t1`.

        `start_after` resumes behind a key seen before, in the store's own order.
        """
        if not folder.is_within(self.root):
            raise InvalidLocation(f"`{folder}` is not inside `{self.root}`")
        request: ListObjectsV2RequestTypeDef = {
            "Bucket": folder.bucket,
            "Prefix": folder.key_prefix,
            "MaxKeys": LIST_PAGE_KEYS,
        }
        if start_after is not None:
            request["StartAfter"] = start_after
        while True:
            client = self._client()  # the session may be renewed between two pages
            with translated("listing", folder.prefix):
                page = client.list_objects_v2(**request)
            yield [
                ObjectSummary(
                    key=row["Key"],
                    size_bytes=row["Size"],
                    etag=row.get("ETag", "").strip('"'),
                    last_modified_ms=int(row["LastModified"].timestamp() * 1000),
                )
                for row in page.get("Contents", [])
            ]
            following = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not following:
                return
            if following == request.get("ContinuationToken"):
                raise StorageUnavailable(f"listing `{folder}`: the store repeats the same page")
            request["ContinuationToken"] = following

    def _client(self) -> "S3Client":
        keys = self._credentials()
        with self._guard:
            if self._built is None or self._built[0] != keys:
                client = s3_client(
                    keys,
                    region=self._region,
                    endpoint=self._endpoint,
                    path_style=self._path_style,
                    read_timeout_s=self._read_timeout_s,
                    requester_pays=self._requester_pays,
                    kms_key_arn=self._kms_key_arn,
                )
                self._built = (keys, client)
            return self._built[1]

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
        return key

    def _get(
        self,
        uri: str,
        *,
        byte_range: str | None = None,
        etag: str | None = None,
        size_bytes_max: int = OBJECT_SIZE_BYTES_MAX,
    ) -> bytes:
        request: GetObjectRequestTypeDef = {"Bucket": self.root.bucket, "Key": self._key(uri)}
        if byte_range is not None:
            request["Range"] = byte_range
        if etag is not None:
            request["IfMatch"] = f'"{etag}"'
        client = self._client()
        with translated("reading", uri):
            try:
                answer = client.get_object(**request)
            except ClientError as error:
                if code_of(error) in {"InvalidRange", "416"}:
                    return b""
                raise
            if answer["ContentLength"] > size_bytes_max:
                answer["Body"].close()
                raise StorageRefused(
                    f"`{uri}` is {answer['ContentLength']} bytes long; "
                    f"at most {size_bytes_max} are read at once"
                )
            return answer["Body"].read()

    def _put_once(self, uri: str, data: bytes, content_type: str) -> bool:
        """True if the object is there with our bytes; False if it is worth another try."""
        key = self._key(uri)
        client = self._client()
        try:
            with translated("writing", uri):
                client.put_object(
                    Bucket=self.root.bucket,
                    Key=key,
                    Body=data,
                    ContentType=content_type,
                    IfNoneMatch="*",
                )
        except StorageRefused as error:
            cause = error.__cause__
            if not (isinstance(cause, ClientError) and code_of(cause) in PRECONDITION_CODES):
                raise
            # A re-sent PUT fails against the object that its first try wrote, answer lost: so
            # read it back before reporting a conflict.
            return self._holds(uri, data)
        except StorageUnavailable as error:
            if self._seen(uri, data):
                return True
            raise WriteOutcomeUnknown(error.message, **error.context) from error
        return True

    def _holds(self, uri: str, data: bytes) -> bool:
        """True if `uri` holds exactly `data`, False if nothing is there.

        Raises:
            AlreadyExists: something else is there.
        """
        try:
            # One byte more than ours tells a longer object from an equal one.
            found = self.get(uri, range=(0, len(data) + 1))
        except NoSuchFile:
            return False
        if found != data:
            raise AlreadyExists(f"another object is already stored at `{uri}`")
        return True

    def _seen(self, uri: str, data: bytes) -> bool:
        try:
            return self._holds(uri, data)
        except (StorageRefused, StorageUnavailable):
            return False

    def _delete_batch(self, keys: Sequence[str]) -> None:
        client = self._client()
        at = f"{self.root.prefix}… ({len(keys)} objects)"
        with translated("deleting", at):
            answer = client.delete_objects(
                Bucket=self.root.bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        failed = [row for row in answer.get("Errors", []) if row.get("Code") != "NoSuchKey"]
        if failed:
            first = failed[0]
            raise StorageRefused(
                f"{len(failed)} of {len(keys)} objects were not deleted; the first is "
                f"`s3://{self.root.bucket}/{first.get('Key')}`: "
                f"{first.get('Code')}: {first.get('Message')}"
            )
