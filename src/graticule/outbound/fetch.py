"""One request to a URL that a user or an issuer named: key sets, discovery documents, webhooks.

No redirect is followed, no proxy of the environment is used, nothing is tried again, and an answer
is bounded in time and size.  What headers say is sent to that host and to no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from graticule.domain.errors import Unavailable
from graticule.outbound.connections import pinned_pools
from graticule.outbound.gate import AddressRefused, Outbound

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
RESPONSE_PATIENCE_S: Final = 15.0
BODY_BYTES_MAX: Final = 1024 * 1024
CONNECTIONS_KEPT: Final = 8
"""To one host, between requests: as many as webhooks are sent at once."""
_HEADERS_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whatever its status.  Its body is for parsing, never for showing to a caller."""

    status: int
    body: bytes


class Fetcher:
    """Requests that keep to `outbound`.  Safe to share between threads."""

    def __init__(
        self,
        outbound: Outbound,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        response_patience_s: float = RESPONSE_PATIENCE_S,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._body_bytes_max = body_bytes_max
        self._pools = urllib3.PoolManager(
            maxsize=CONNECTIONS_KEPT,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
        )
        self._pools.pool_classes_by_scheme = dict(
            pinned_pools(
                outbound,
                response_bytes_max=body_bytes_max + _HEADERS_BYTES_MAX,
                response_patience_s=response_patience_s,
            )
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """The answer of whoever is at `url`; a redirect is an answer like any other.

        Raises:
            Unavailable: the server may not connect there, or no usable answer came.
        """
        try:
            answer = self._pools.request(
                method,
                url,
                body=body,
                headers={**(headers or {}), "Accept-Encoding": "identity"},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                content = answer.read(self._body_bytes_max + 1)
            finally:
                answer.close()
        except AddressRefused as error:
            raise Unavailable(f"asking `{url}`: {error}") from error
        except (HTTPError, OSError) as error:
            raise Unavailable(f"asking `{url}`: no usable answer came") from error
        if len(content) > self._body_bytes_max:
            raise Unavailable(
                f"asking `{url}`: the answer is longer than {self._body_bytes_max} bytes"
            )
        return Fetched(answer.status, content)

    def close(self) -> None:
        self._pools.clear()
