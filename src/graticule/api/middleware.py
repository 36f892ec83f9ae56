"""Around every request: a request id and one line in the access log.  Pure ASGI."""

import logging
import re
import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid6 import uuid7

from graticule.services import meters

log = logging.getLogger("graticule.access")

REQUEST_ID_HEADER: Final = b"x-request-id"
_SAFE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ANSWERED: Final = vars(
    logging.LogRecord(log.name, logging.INFO, __file__, 0, "request answered", None, None)
)
_QUIET_ROUTES: Final = frozenset({"/health", "/ready", "/metrics"})


class RequestContext:
    """Names the request (a safe `X-Request-ID` is kept), and logs how it ended.

    Query strings and bodies never reach the log: they can carry secrets.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(REQUEST_ID_HEADER, b"")
        request_id = given.decode() if _SAFE_REQUEST_ID.fullmatch(given) else str(uuid7())
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started, status = time.perf_counter(), 0
        meters.IN_PROGRESS.inc()

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"X-Request-ID", request_id.encode()),
                    (b"X-Content-Type-Options", b"nosniff"),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            took_s = time.perf_counter() - started
            route = scope["state"].get("route", "")
            meters.IN_PROGRESS.dec()
            # Of what is not served even the method is the caller's invention.
            method = scope["method"] if route else "any"
            meters.count_request(route or "none", method, status, took_s)
            if route not in _QUIET_ROUTES and log.isEnabledFor(logging.INFO):
                fields = {
                    "method": scope["method"],
                    "route": route or scope["path"],
                    "status": status,
                    "ms": round(took_s * 1000, 1),
                    "client": (scope.get("client") or ("",))[0],
                    "principal": scope["state"].get("principal", ""),
                    "request_id": request_id,
                }
                log.handle(_answered(fields))


def _answered(fields: dict[str, object]) -> logging.LogRecord:
    """One event for every request: to find out anew what never changes takes longer than to log."""
    record = logging.LogRecord.__new__(logging.LogRecord)
    vars(record).update(_ANSWERED, created=time.time(), fields=fields)
    return record
