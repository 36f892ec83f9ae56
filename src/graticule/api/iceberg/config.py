"""`GET /v1/config`: which catalog a client talks to, and what is served."""

from collections.abc import Callable, Sequence

from starlette.responses import Response

from graticule.access.delegation import Delegation
from graticule.api.endpoint import Call, Handler, json_response
from graticule.api.iceberg.wire import ACCESS_DELEGATION_HEADER
from graticule.services.catalog.planning_modes import PLANNING_MODE, of_catalog


def config_handler(endpoints: Callable[[], Sequence[str]]) -> Handler:
    """A handler that advertises the given operations."""

    def get_config(call: Call) -> Response:
        """The catalog's id becomes the URL prefix.

        The delegation header is a default because Java clients do not send it by themselves, and a
        client without credentials falls back to whatever identity its machine has.  Both mechanisms
        are in it: requests are signed only where credentials cannot be vended.  Who plans scans is
        a default as well, if the catalog says: a client's own setting goes before it.
        """
        catalog = call.services.catalogs.resolve_warehouse(
            call.principal, call.query.get("warehouse") or None
        )
        defaults = {f"header.{ACCESS_DELEGATION_HEADER}": ",".join(Delegation)}
        mode = of_catalog(catalog.properties, user_agent=call.header("user-agent"))
        if mode is not None:
            defaults[PLANNING_MODE] = mode
        return json_response(
            {
                "defaults": defaults,
                "overrides": {"prefix": catalog.id},
                "endpoints": list(endpoints()),
                "idempotency-key-lifetime": _duration(call.services.idempotency.lifetime_s),
            }
        )

    return get_config


def _duration(seconds: int) -> str:
    """ISO 8601, in minutes where they are whole."""
    minutes, rest = divmod(seconds, 60)
    return f"PT{seconds}S" if rest else f"PT{minutes}M"
