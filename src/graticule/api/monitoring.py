"""`GET /metrics`: what the server counts, for Prometheus."""

from typing import Final
from urllib.parse import urlsplit

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response

from graticule.api.cookies import is_loopback
from graticule.api.endpoint import Call
from graticule.api.response_headers import add_header
from graticule.domain.errors import NoSuchRoute

_MARKS_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def show_metrics(call: Call) -> Response:
    """Refused as if it were not there: who may not read it need not know of it."""
    scheme, _, token = (call.header("authorization") or "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else None
    if not call.services.monitoring.may_read(bearer, is_local=_is_local(call)):
        raise NoSuchRoute("no operation is served at `/metrics`")
    response = Response(call.services.monitoring.text())
    add_header(response, "Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
    add_header(response, "Cache-Control", "no-store")
    return response


def _is_local(call: Call) -> bool:
    """From this machine to this machine, with no sign of a proxy between."""
    host = urlsplit(f"//{call.header('host') or ''}").hostname
    is_forwarded = any(call.header(name) is not None for name in _MARKS_OF_PROXIES)
    return not is_forwarded and is_loopback(call.principal.origin.address) and is_loopback(host)
