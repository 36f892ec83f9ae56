"""What lies in a storage integration, as folders and files: listed, downloaded, linked to.

Transactions and authorisation live here.  Paths are relative to the integration's own, and nothing
beside or above it is ever asked for.  The folders of managed catalogs are for admins: to everybody
else their files are a matter of the catalog, which knows who may read which table.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from sqlalchemy import Engine

from graticule.access.grants import sees_everything
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import granted_tables, table_files
from graticule.db.engine import read
from graticule.domain.audit import EventType, of_integration
from graticule.domain.catalog import AccessLevel, StorageIntegration
from graticule.domain.errors import (
    Forbidden,
    InvalidLocation,
    InvalidRequest,
    Overloaded,
    RangeBeyondEnd,
    StorageRefused,
)
from graticule.domain.grants import Privilege
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.services.events.audit import Audit
from graticule.services.integrations.credentials import Credentials
from graticule.services.integrations.integrations import Integrations
from graticule.storage.aws_errors import PRECONDITION_CODES
from graticule.storage.iam_policy import LocationGrant
from graticule.storage.listings import ObjectSummary
from graticule.storage.s3 import BEYOND_THE_END_CODES
from graticule.storage.s3_answers import S3Stream

KEY_BYTES_MAX: Final = 1024
LINK_LIFETIME_S_MAX: Final = 300
DOWNLOADS_AT_ONCE: Final = 16
"""In each process.  Each holds a connection to the store while it lasts."""
DOWNLOAD_BYTES_MAX: Final = 16 * 1024**3
CHUNK_BYTES: Final = 256 * 1024
RETRY_AFTER_S: Final = 5

DELIMITERS: Final = ("/", "")
"""Folder by folder, or everything below."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder; `path` ends with a slash."""

    path: str
    uri: str


@dataclass(frozen=True, slots=True)
class File:
    path: str
    uri: str
    size_bytes: int
    etag: str
    last_modified_ms: int


@dataclass(frozen=True, slots=True)
class BrowsedPage:
    """Folders and files of one page.  `continuation` is the store's own, None at the end."""

    folders: tuple[Folder, ...]
    files: tuple[File, ...]
    continuation: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that reads one file.  `expires_at_ms` is None for a public one."""

    url: str
    expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way.  Whoever has it reads `chunks` to the end, or closes it."""

    name: str
    stream: S3Stream
    content_range: str | None
    """Set when it is a part, as the store wrote it."""
    release: Callable[[], None]

    def chunks(self) -> Iterator[bytes]:
        try:
            yield from self.stream.chunks(CHUNK_BYTES)
        finally:
            self.close()

    def close(self) -> None:
        self.stream.close()
        self.release()


class Browsing:
    def __init__(
        self,
        engine: Engine,
        integrations: Integrations,
        credentials: Credentials,
        audit: Audit,
        *,
        now_ms: Callable[[], int],
        downloads_at_once: int = DOWNLOADS_AT_ONCE,
    ) -> None:
        self._engine = engine
        self._integrations = integrations
        self._credentials = credentials
        self._audit = audit
        self._now_ms = now_ms
        self._downloads = threading.BoundedSemaphore(downloads_at_once)

    def page(
        self,
        principal: Principal,
        id_or_name: str,
        prefix: str,
        *,
        delimiter: str = "/",
        limit: int,
        continuation: str | None = None,
    ) -> BrowsedPage:
        """What begins with `prefix`: the content of a folder, or a search by the start of a name.

        Raises:
            Forbidden: it is the folder of a catalog, and the principal is no admin.
            InvalidLocation: not a path below the integration.
            NoSuchIntegration: the organisation has none.
            StorageRefused, StorageUnavailable: from the store.
        """
        found = self._open(principal, id_or_name)
        if delimiter not in DELIMITERS:
            raise InvalidRequest("`delimiter` must be `/`, or empty to list everything below")
        key = found.location.key_prefix + _checked_path(prefix, is_prefix=True)
        closed = self._closed_to(principal, found)
        _refuse_closed(closed, key)
        page = self._credentials.store_for(found).list_page(
            key, keys_max=limit, delimiter=delimiter, continuation=continuation
        )
        root = found.location
        return BrowsedPage(
            folders=tuple(
                Folder(folder.removeprefix(root.key_prefix), f"s3://{root.bucket}/{folder}")
                for folder in page.folders
            ),
            files=tuple(
                _file(root, summary)
                for summary in page.files
                # Some stores keep an object in the place of a folder.
                if summary.key != key and not summary.key.startswith(closed)
            ),
            continuation=page.continuation,
        )

    def download(
        self,
        principal: Principal,
        id_or_name: str,
        path: str,
        *,
        byte_range: str | None = None,
        if_range: str | None = None,
    ) -> Download:
        """A file, or the `bytes=…` range of it, as long as it still has the ETag `if_range`.

        Raises:
            InvalidLocation, NoSuchIntegration: as for `page`.
            Forbidden: as for `page`, or it is data of tables that the principal may not read.
            NoSuchFile: there is none.
            Overloaded: too many downloads at once.
            RangeBeyondEnd: the file is shorter.
            StorageRefused: not allowed, or larger than is sent through the server.
        """
        found = self._open(principal, id_or_name)
        uri = self._file_uri(principal, found, path)
        if not self._downloads.acquire(blocking=False):
            raise Overloaded(
                "too many downloads are under way; try again in a moment, or ask for a link",
                retry_after_s=RETRY_AFTER_S,
            )
        release = _once(self._downloads.release)
        try:
            stream = self._stream(found, uri, byte_range, if_range)
        except BaseException:
            release()
            raise
        content_range = stream.headers.get("content-range")
        download = Download(path.rpartition("/")[2], stream, content_range, release)
        size = stream.headers.get("content-length", "")
        if size.isdecimal() and int(size) > DOWNLOAD_BYTES_MAX:
            download.close()
            raise StorageRefused(
                f"`{path}` has {size} bytes; at most {DOWNLOAD_BYTES_MAX} are sent through this "
                "server. Ask for a range, or for a link"
            )
        self._tell(principal, found, path, way="download")
        return download

    def link(self, principal: Principal, id_or_name: str, path: str, *, lifetime_s: int) -> Link:
        """A URL that reads the file from the store itself for `lifetime_s`, without a credential.

        It is signed by a session for this one object where the store can issue one.

        Raises:
            Forbidden, InvalidLocation, NoSuchIntegration: as for `download`.
            InvalidRequest: a lifetime that is not from 1 to `LINK_LIFETIME_S_MAX`.
            StorageRefused, StorageUnavailable: from the token service.
        """
        if not 1 <= lifetime_s <= LINK_LIFETIME_S_MAX:
            raise InvalidRequest(f"`lifetime_s` must be from 1 to {LINK_LIFETIME_S_MAX}")
        found = self._open(principal, id_or_name)
        uri = self._file_uri(principal, found, path)
        store = self._credentials.store_for(found)
        now_ms = self._now_ms()
        if found.is_anonymous:  # a store answers requests of nobody only without extras
            plain = store.link(uri, None, query={}, lifetime_s=lifetime_s, now_ms=now_ms)
            self._tell(principal, found, path, way="link")
            return Link(plain, None)
        grant = LocationGrant(_vendable(uri), AccessLevel.READ)
        url = store.link(
            uri,
            self._credentials.signing_keys(principal, found, [grant]).keys,
            query={
                "response-content-disposition": content_disposition(path.rpartition("/")[2]),
                "response-content-type": "application/octet-stream",
            },
            lifetime_s=lifetime_s,
            now_ms=now_ms,
        )
        self._tell(principal, found, path, way="link")
        return Link(url, now_ms + lifetime_s * 1000)

    def _tell(
        self, principal: Principal, found: StorageIntegration, path: str, *, way: str
    ) -> None:
        details = {"path": path, "way": way}
        subject = of_integration(found)
        self._audit.note(principal, EventType.OBJECT_DOWNLOADED, subject, details=details)

    def _stream(
        self,
        found: StorageIntegration,
        uri: str,
        byte_range: str | None,
        if_range: str | None,
    ) -> S3Stream:
        store = self._credentials.store_for(found)
        etag = if_range if byte_range is not None else None
        try:
            return store.open(uri, byte_range=byte_range, etag=etag)
        except StorageRefused as error:
            code = error.context.get("code")
            if etag is not None and code in PRECONDITION_CODES:
                return store.open(uri)  # it has changed: all of the new one
            if byte_range is not None and code in BEYOND_THE_END_CODES:
                raise RangeBeyondEnd(f"`{uri}` is shorter than `{byte_range}`") from error
            raise

    def _open(self, principal: Principal, id_or_name: str) -> StorageIntegration:
        require(principal, Action.BROWSE_STORAGE)
        return self._integrations.get(principal, id_or_name)

    def _file_uri(self, principal: Principal, found: StorageIntegration, path: str) -> str:
        key = found.location.key_prefix + _checked_path(path, is_prefix=False)
        _refuse_closed(self._closed_to(principal, found), key)
        uri = f"s3://{found.location.bucket}/{key}"
        if not sees_everything(principal) and not self._is_open_data(principal, found, uri):
            raise Forbidden(
                f"`{path}` is data of a table that you may not read; whoever manages the table can "
                "grant that"
            )
        return uri

    def _is_open_data(self, principal: Principal, found: StorageIntegration, uri: str) -> bool:
        """True unless registered tables read the file, none of which the principal may."""
        with read(self._engine) as conn:
            readers = table_files.tables_of(conn, found.id, uri)
            if not readers:
                return True
            for catalog_id, identifier in readers:
                table = granted_tables.find(conn, principal, catalog_id, identifier)
                if table is not None and table.standing.holds(Privilege.READ):
                    return True
        return False

    def _closed_to(self, principal: Principal, found: StorageIntegration) -> tuple[str, ...]:
        """Prefixes of keys that are a catalog's, for a principal who may not look into those."""
        if sees_everything(principal):
            return ()
        with read(self._engine) as conn:
            roots = catalogs_db.locations_on(conn, found.id)
        return tuple(root.key_prefix for root in roots)


def content_disposition(name: str) -> str:
    """The header that makes browsers save a file under its name, and never show it."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _checked_path(path: str, *, is_prefix: bool) -> str:
    """A path below the integration, into which every reader must read the same.

    Raises:
        InvalidLocation: absolute, with empty, `.` or `..` segments, or characters stores may fold.
    """
    if "://" in path or path.startswith("/"):
        raise InvalidLocation(
            f"`{path}` must be relative to the path of the integration, without `/` before it"
        )
    if "\\" in path or not path.isprintable():
        raise InvalidLocation("a path must not hold control characters or backslashes")
    if len(path.encode()) > KEY_BYTES_MAX:
        raise InvalidLocation(f"a path has at most {KEY_BYTES_MAX} bytes")
    segments = path.split("/")
    if is_prefix and segments[-1] == "":
        segments = segments[:-1]
    if not {"", ".", ".."}.isdisjoint(segments):
        raise InvalidLocation(f"`{path}` holds an empty, `.` or `..` segment, or names no file")
    return path


def _refuse_closed(closed: tuple[str, ...], key: str) -> None:
    if key.startswith(closed):
        raise Forbidden(
            "these files belong to a managed catalog: read its tables through the catalog, or ask "
            "an admin"
        )


def _vendable(uri: str) -> str:
    """The URI, if a policy can name it."""
    try:
        return Location.parse(uri).uri
    except InvalidLocation as error:
        raise InvalidLocation(
            f"there are no links to `{uri}`, whose name a policy cannot hold; download it instead"
        ) from error


def _file(root: Location, summary: ObjectSummary) -> File:
    return File(
        path=summary.key.removeprefix(root.key_prefix),
        uri=f"s3://{root.bucket}/{summary.key}",
        size_bytes=summary.size_bytes,
        etag=summary.etag,
        last_modified_ms=summary.last_modified_ms,
    )


def _once(act: Callable[[], None]) -> Callable[[], None]:
    """`act`, at the first call only."""
    turn = threading.Lock()

    def first() -> None:
        if turn.acquire(blocking=False):
            act()

    return first
