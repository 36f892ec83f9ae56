"""Function operations of the Iceberg REST specification: list and load."""

from starlette.responses import Response

from graticule.api.endpoint import Call, json_response
from graticule.api.iceberg import wire


def list_functions(call: Call) -> Response:
    """Identifiers are arrays here, unlike those of tables and views."""
    namespace = wire.namespace_of(call)
    of = wire.list_of(call, "functions", namespace.path)
    paging = wire.paging_of(call, of=of)
    page = call.services.functions.list_names(
        call.principal, wire.open_catalog(call), namespace, after=paging.after, limit=paging.limit
    )
    body = {"identifiers": [[*namespace.levels, name] for name in page.items]}
    return json_response(wire.next_page(call, body, of=of, after=page.next_after))


def load_function(call: Call) -> Response:
    """Without `metadata-location`: functions have no files."""
    record = call.services.functions.load(
        call.principal, wire.open_catalog(call), wire.namespace_of(call), call.name("function")
    )
    return json_response({"metadata": dict(record.document)})
