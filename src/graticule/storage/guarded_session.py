"""The HTTP session below the AWS clients of user-supplied endpoints: pinned, bounded, unproxied."""

from typing import Any, Final, cast

import urllib3.exceptions
from botocore.awsrequest import (
    AWSHTTPConnectionPool,
    AWSHTTPSConnectionPool,
    AWSPreparedRequest,
    AWSResponse,
)
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session

from graticule.domain.errors import StorageRefused
from graticule.outbound.connections import pinned_pools
from graticule.outbound.gate import AddressRefused, Outbound

DOCUMENT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of what is parsed rather than streamed; a page of 1000 keys, each 1 KiB long and all escaped,
is 4 MiB."""


class GuardedSession:
    """Sends requests where `outbound` permits, and reads no more than makes sense."""

    def __init__(self, outbound: Outbound, **options: Any) -> None:
        # Any: the pools of botocore's session are not among its public parts, yet made to be set.
        session: Any = URLLib3Session(proxies={}, **options)
        session._manager.pool_classes_by_scheme = dict(  # noqa: SLF001
            pinned_pools(outbound, http=AWSHTTPConnectionPool, https=AWSHTTPSConnectionPool)
        )
        self._session = session

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send one request.

        Raises:
            StorageRefused: the server may not connect there.
            HTTPClientError: no usable answer came.
        """
        is_streamed = request.stream_output
        request.stream_output = True  # or the session would read everything there is
        try:
            response: Any = self._session.send(request)
        except HTTPClientError as error:
            cause = error.kwargs.get("error")
            if isinstance(cause, AddressRefused):
                raise StorageRefused(f"the store's endpoint: {cause}") from error
            raise
        finally:
            request.stream_output = is_streamed
        if not is_streamed or response.status_code >= 300:
            response._content = _read(response)  # noqa: SLF001 - where `content` keeps it
        return cast("AWSResponse", response)


def _read(response: Any) -> bytes:
    content = bytearray()
    try:
        for chunk in response.raw.stream():
            content += chunk
            if len(content) > DOCUMENT_BYTES_MAX:
                response.raw.close()
                raise HTTPClientError(error=f"the answer exceeds {DOCUMENT_BYTES_MAX} bytes")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise HTTPClientError(error=error) from error
    return bytes(content)
