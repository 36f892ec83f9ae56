"""Namespace operations of the Iceberg REST specification."""

from starlette.responses import Response

from graticule.api.endpoint import Call, json_response, no_content
from graticule.api.iceberg import wire
from graticule.domain.errors import NoSuchNamespace
from graticule.domain.identifiers import Namespace
from graticule.services.pages import Page


def list_namespaces(call: Call) -> Response:
    """Direct children of `parent`, or the top level, as full paths."""
    parents = wire.parents_of(call)
    of = wire.list_of(call, "namespaces", parents[0].path if parents else "")
    paging = wire.paging_of(call, of=of)
    catalog = wire.open_catalog(call)

    def children(parent: Namespace | None) -> Page:
        page: Page = call.services.namespaces.list_children(
            call.principal, catalog, parent, after=paging.after, limit=paging.limit
        )
        return page

    try:
        page = children(parents[0] if parents else None)
    except NoSuchNamespace:
        if len(parents) == 1:
            raise
        page = children(parents[1])
    body = {"namespaces": [list(namespace.levels) for namespace in page.items]}
    return json_response(wire.next_page(call, body, of=of, after=page.next_after))


def create_namespace(call: Call) -> Response:
    body = call.json()
    record = call.services.namespaces.create(
        call.principal,
        wire.open_catalog(call),
        Namespace.of(wire.names(body, "namespace")),
        wire.properties(body, "properties"),
        request=call.request,
    )
    return json_response(
        {"namespace": list(record.namespace.levels), "properties": dict(record.properties)}
    )


def load_namespace(call: Call) -> Response:
    record = call.services.namespaces.load(
        call.principal, wire.open_catalog(call), wire.namespace_of(call)
    )
    return json_response(
        {"namespace": list(record.namespace.levels), "properties": dict(record.properties)}
    )


def namespace_exists(call: Call) -> Response:
    call.services.namespaces.load(call.principal, wire.open_catalog(call), wire.namespace_of(call))
    return no_content()


def drop_namespace(call: Call) -> Response:
    call.services.namespaces.drop(
        call.principal,
        wire.open_catalog(call),
        wire.namespace_of(call),
        request=call.request,
    )
    return no_content()


def update_properties(call: Call) -> Response:
    """`missing` is always sent: PyIceberg cannot read an answer without it."""
    body = call.json()
    change = call.services.namespaces.update_properties(
        call.principal,
        wire.open_catalog(call),
        wire.namespace_of(call),
        removals=wire.names(body, "removals"),
        updates=wire.properties(body, "updates"),
        request=call.request,
    )
    return json_response(
        {
            "updated": list(change.updated),
            "removed": list(change.removed),
            "missing": list(change.missing),
        }
    )
