"""`GET /v1/config`: which catalog a client talks to, and what is served."""

from collections.abc import Callable, Sequence

from starlette.responses import Response

from graticule.api.endpoint import Call, Handler, json_response
from graticule.api.iceberg.wire import ACCESS_DELEGATION_HEADER, VENDED_CREDENTIALS


def config_handler(endpoints: Callable[[], Sequence[str]]) -> Handler:
    """A handler that advertises the given operations."""

    def get_config(call: Call) -> Response:
        """The catalog's id becomes the URL prefix.

        The delegation header is a default because Java clients do not send it by themselves, and a
        client without credentials falls back to whatever identity its machine has.
        """
        catalog = call.services.catalogs.resolve_warehouse(
            call.principal, call.query.get("warehouse") or None
        )
        return json_response(
            {
                "defaults": {f"header.{ACCESS_DELEGATION_HEADER}": VENDED_CREDENTIALS},
                "overrides": {"prefix": catalog.id},
                "endpoints": list(endpoints()),
            }
        )

    return get_config
