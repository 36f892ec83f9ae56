"""`Idempotency-Key`: a change that is sent again is not made again, and is answered alike.

The one seam between HTTP and the rest: a handler wrapped here finds the `IdempotentRequest` in its
call and hands it to the service, which claims it in the transaction of the change.
See docs/design/001-idempotency.md.
"""

import hashlib
import json
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from graticule.api.endpoint import Call, Handler, bytes_response, no_content
from graticule.api.errors import Surface, describe
from graticule.domain.errors import CatalogError, KeyClaimed, Unavailable
from graticule.domain.idempotency import IdempotentRequest, Landed, Refused

HEADER: Final = "Idempotency-Key"

FINAL_STATUSES: Final = frozenset({400, 404, 409, 415, 422})
"""Refusals that are final: the same request would be refused for the same reason.  Kept and given
again, while 401, 403, 429 and every 5xx may go away and never are."""

ATTEMPTS_MAX: Final = 3
"""Rounds of a request that meets itself: the first one's outcome is known after one of them."""


def once(handler: Handler) -> Handler:
    """The handler of a change, made so that a request with a key is carried out once."""

    def answer(call: Call) -> Response:
        key = call.header(HEADER)
        if key is None:
            return handler(call)
        keys = call.services.idempotency
        request = keys.request(call.principal, key, _hash(call))
        for _ in range(ATTEMPTS_MAX):
            match keys.recall(request):
                case Refused(_, status, body):
                    return bytes_response(body, status=status)
                case Landed(_, result) if not result:
                    return no_content()
                case Landed(_, result):
                    return handler(replace(call, request=replace(request, landed=result)))
                case None:
                    try:
                        return _first(handler, call, request)
                    except KeyClaimed:
                        continue
        raise Unavailable("the same request is being carried out; send it again in a moment")

    return answer


def _first(handler: Handler, call: Call, request: IdempotentRequest) -> Response:
    """Carry the request out; a final refusal is kept, unless the request landed meanwhile."""
    try:
        return handler(replace(call, request=request))
    except KeyClaimed:
        raise
    except CatalogError as error:
        status, body = describe(error, Surface.ICEBERG, request_id=call.request_id)
        if status in FINAL_STATUSES:
            encoded = json.dumps(body, ensure_ascii=False).encode()
            call.services.idempotency.refuse(request, status=status, body=encoded)
        raise


def _hash(call: Call) -> str:
    text = call.target.encode()
    return hashlib.sha256(text + b"\n" + call.body).hexdigest()
