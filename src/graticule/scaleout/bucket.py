"""A bucket from the side of a machine that inspects one part: ranges of files, and one object put.

Standard library only, as `server`.  Whatever a file cannot be read for is the server's to find out:
it looks again itself, and says it in its own words.
"""

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlsplit

from graticule.domain.secret import Secret
from graticule.storage.keys import TemporaryCredentials
from graticule.storage.signing import UNRESERVED, signing_headers

TIMEOUT_S: Final = 60.0
ATTEMPTS_MAX: Final = 4
PAUSE_S: Final = 0.2
"""Before the second attempt; doubled before every further one."""
BODY_BYTES_MAX: Final = 512 * 1024 * 1024


class NotRead(Exception):
    """The store does not give what was asked for: not there, another version, or no answer."""


@dataclass(frozen=True)
class _Request:
    """A request as it is signed: `path` and `query` decoded."""

    method: str
    host: str
    path: str
    payload_hash: str
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)


class Bucket:
    """What one part's session opens.  Safe to use from many threads."""

    def __init__(self, part: Mapping[str, Any]) -> None:
        """`part` is what the server says of it."""
        self._origin = urlsplit(part["origin"])
        self._path_prefix = part["path_prefix"]
        self._region = part["region"]
        self._always: Mapping[str, str] = part["headers"]
        self._with_puts: Mapping[str, str] = part["put_headers"]
        self._keys = TemporaryCredentials(
            part["access_key_id"],
            Secret(part["secret_access_key"]),
            Secret(part["session_token"]),
            expires_at_ms=0,
        )
        self._own = threading.local()

    def read(self, key: str, offset: int, length: int, *, etag: str = "") -> bytes:
        """Exactly these bytes of one version of an object.

        Raises:
            NotRead: they cannot be had.
        """
        headers = {"range": f"bytes={offset}-{offset + length - 1}"}
        if etag:
            headers["if-match"] = f'"{etag}"'
        return self._patiently("GET", key, headers, b"")

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            NotRead: it cannot be had.
        """
        return self._patiently("GET", key, {}, b"")

    def put(self, key: str, data: bytes) -> None:
        """Write an object: wholly or not at all, over the one that is there.

        Raises:
            NotRead: the store does not take it.
        """
        self._patiently("PUT", key, self._with_puts, data)

    def _patiently(self, method: str, key: str, headers: Mapping[str, str], body: bytes) -> bytes:
        reason = ""
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
            try:
                status, data = self._once(method, key, headers, body)
            except (OSError, http.client.HTTPException) as error:
                self._forget()
                reason = f"no answer ({error})"
                continue
            if 200 <= status < 300:
                return data
            reason = f"status {status}"
            if status < 500 and status != http.HTTPStatus.TOO_MANY_REQUESTS:
                break
        raise NotRead(f"{method} `{key}`: {reason}")

    def _once(
        self, method: str, key: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        request = _Request(
            method=method,
            host=self._origin.netloc,
            path=self._path_prefix + key,
            payload_hash=sha256(body).hexdigest(),
            headers={**self._always, **headers},
        )
        signed = signing_headers(
            request, self._keys, region=self._region, now_ms=time.time_ns() // 1_000_000
        )
        connection = self._connection()
        target = quote(request.path, safe="/" + UNRESERVED)
        connection.request(method, target, body=body, headers={**request.headers, **signed})
        answer = connection.getresponse()
        data = answer.read(BODY_BYTES_MAX)
        if answer.read(1):
            raise NotRead(f"{method} `{key}`: more than {BODY_BYTES_MAX} bytes")
        return answer.status, data

    def _connection(self) -> http.client.HTTPConnection:
        """One for each thread, kept open."""
        found: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if found is None:
            of = (
                http.client.HTTPSConnection
                if self._origin.scheme == "https"
                else http.client.HTTPConnection
            )
            found = self._own.connection = of(self._origin.netloc, timeout=TIMEOUT_S)
        return found

    def _forget(self) -> None:
        self._connection().close()
        self._own.connection = None
