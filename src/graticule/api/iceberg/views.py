"""View operations of the Iceberg REST specification."""

import json
from typing import Any

from starlette.responses import Response

from graticule.api.endpoint import Call, bytes_response, json_response, no_content
from graticule.api.iceberg import wire
from graticule.domain.errors import InvalidRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.services.catalog.view_commits import LoadedView, ViewChange
from graticule.services.catalog.views import NewView

Json = dict[str, Any]


def list_views(call: Call) -> Response:
    return json_response(wire.identifiers_page(call, "views", call.services.views.list_names))


def create_view(call: Call) -> Response:
    body = call.json()
    new = NewView(
        identifier=TableIdentifier.of(wire.namespace_of(call).levels, wire.text(body, "name")),
        schema=wire.json_object(body, "schema"),
        version=wire.json_object(body, "view-version"),
        location=wire.optional_text(body, "location"),
        properties=wire.properties(body, "properties"),
    )
    loaded = call.services.views.create(
        call.principal, wire.open_catalog(call), new, request=call.request
    )
    return load_view_result(loaded)


def register_view(call: Call) -> Response:
    body = call.json()
    loaded = call.services.views.register(
        call.principal,
        wire.open_catalog(call),
        TableIdentifier.of(wire.namespace_of(call).levels, wire.text(body, "name")),
        wire.text(body, "metadata-location"),
        request=call.request,
    )
    return load_view_result(loaded)


def load_view(call: Call) -> Response:
    loaded = call.services.views.load(call.principal, wire.open_catalog(call), wire.view_of(call))
    return load_view_result(loaded)


def view_exists(call: Call) -> Response:
    call.services.views.exists(call.principal, wire.open_catalog(call), wire.view_of(call))
    return no_content()


def replace_view(call: Call) -> Response:
    """A commit: requirements and updates."""
    identifier = wire.view_of(call)
    body = call.json()
    if body.get("identifier") is not None and wire.identifier(body, "identifier") != identifier:
        raise InvalidRequest(f"the commit names another view than its path, `{identifier}`")
    change = ViewChange(
        identifier=identifier,
        requirements=wire.json_objects(body, "requirements"),
        updates=wire.json_objects(body, "updates"),
    )
    committed = call.services.view_commits.commit(
        call.principal, wire.open_catalog(call), change, request=call.request
    )
    return load_view_result(committed)


def drop_view(call: Call) -> Response:
    call.services.views.drop(
        call.principal, wire.open_catalog(call), wire.view_of(call), request=call.request
    )
    return no_content()


def rename_view(call: Call) -> Response:
    body = call.json()
    call.services.views.rename(
        call.principal,
        wire.open_catalog(call),
        wire.identifier(body, "source"),
        wire.identifier(body, "destination"),
        request=call.request,
    )
    return no_content()


def load_view_result(loaded: LoadedView) -> Response:
    """`LoadViewResult`, spliced from bytes.  Without `config`: old Java clients choke on a null."""
    location = json.dumps(loaded.metadata_location).encode()
    return bytes_response(
        b'{"metadata-location":' + location + b',"metadata":' + loaded.document + b"}"
    )
