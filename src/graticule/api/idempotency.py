"""`Idempotency-Key`: a change that is sent again is not made again, and is answered alike.

The one seam between HTTP and the rest: a handler wrapped here finds the `IdempotentRequest` in its
call and hands it to the service, which claims it in the transaction of the change.  In a management
change it travels with the principal, and the event of the change claims it.
See docs/design/001-idempotency.md.
"""

import hashlib
import json
from dataclasses import replace
from functools import wraps
from typing import Final

from starlette.responses import Response

from graticule.api.endpoint import Call, Handler, no_content
from graticule.api.errors import Surface, describe, media_of
from graticule.api.response_headers import add_header
from graticule.domain.errors import CatalogError, KeyClaimed, Unavailable
from graticule.domain.idempotency import IdempotentRequest, Landed, Refused

HEADER: Final = "Idempotency-Key"

FINAL_STATUSES: Final = frozenset({400, 404, 409, 412, 415, 422})
"""Refusals that are final: the same request would be refused for the same reason.  Kept and given
again, while 401, 403, 429 and every 5xx may go away and never are."""

ATTEMPTS_MAX: Final = 3
"""Rounds of a request that meets itself: the first one's outcome is known after one of them."""


def once(handler: Handler, surface: Surface = Surface.ICEBERG) -> Handler:
    """The handler of a change, made so that a request with a key is carried out once."""

    @wraps(handler)
    def answer(call: Call) -> Response:
        key = call.header(HEADER)
        if key is None:
            return handler(call)
        keys = call.services.idempotency
        request = keys.request(call.principal, key, _hash(call))
        for _ in range(ATTEMPTS_MAX):
            match keys.recall(request):
                case Refused(_, status, body):
                    return _refusal(status, body, surface)
                case Landed(_, result) if not result or call.target.startswith("DELETE "):
                    return no_content()
                case Landed(_, result):
                    return handler(replace(call, request=replace(request, landed=result)))
                case None:
                    try:
                        return _first(handler, call, request, surface)
                    except KeyClaimed:
                        continue
        raise Unavailable("the same request is being carried out; send it again in a moment")

    return answer


def once_managed(handler: Handler) -> Handler:
    """The same for a change of the management API."""
    return once(handler, Surface.MANAGEMENT)


def landed_id(call: Call) -> str | None:
    """Id of what an earlier request with the same key made or changed: show it, change nothing."""
    if call.request is None or call.request.landed is None:
        return None
    return str(call.request.landed["id"])


def _first(handler: Handler, call: Call, request: IdempotentRequest, surface: Surface) -> Response:
    """Carry the request out; a final refusal is kept, unless the request landed meanwhile."""
    principal = call.principal
    if surface is Surface.MANAGEMENT:
        principal = replace(principal, origin=replace(principal.origin, request=request))
    try:
        return handler(replace(call, request=request, principal=principal))
    except KeyClaimed:
        raise
    except CatalogError as error:
        status, body = describe(error, surface, request_id=call.request_id)
        if status in FINAL_STATUSES:
            encoded = json.dumps(body, ensure_ascii=False).encode()
            call.services.idempotency.refuse(request, status=status, body=encoded)
        raise


def _refusal(status: int, body: bytes, surface: Surface) -> Response:
    response = Response(body, status_code=status)
    add_header(response, "Content-Type", media_of(surface))
    return response


def _hash(call: Call) -> str:
    text = call.target.encode()
    return hashlib.sha256(text + b"\n" + call.body).hexdigest()
