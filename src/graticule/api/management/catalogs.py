"""Catalogs: create, list, show, delete."""

from collections.abc import Sequence
from typing import Final, Literal

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import catalog_to_json, page_to_json
from graticule.domain.catalog import Catalog
from graticule.domain.grants import Privilege


class NewCatalog(Body):
    name: str
    integration: str
    """Id or name."""
    sub_path: str | None = None
    properties: dict[str, str] | None = None
    force: bool = False
    default_access: Literal["none", "browse", "read", "write"] = "write"
    """What every member of the organisation may do with it; more is granted one by one."""


@once_managed
def create_catalog(call: Call) -> Response:
    body = body_of(call, NewCatalog)
    landed = landed_id(call)
    if landed is not None:
        return _created(call.services.catalogs.get(call.principal, landed), None)
    created = call.services.catalogs.create(
        call.principal,
        name=body.name,
        integration=body.integration,
        sub_path=body.sub_path,
        properties=body.properties,
        force=body.force,
        default_access=None
        if body.default_access == "none"
        else Privilege[body.default_access.upper()],
    )
    return _created(created.catalog, created.warning)


def _created(catalog: Catalog, warning: str | None) -> Response:
    return json_response(
        {**catalog_to_json(catalog), "warning": warning},
        status=201,
        headers={"Location": f"/api/v1/catalogs/{catalog.id}"},
    )


def list_catalogs(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.catalogs.list(call.principal, after=asked.after, limit=asked.limit)
    return json_response(page_to_json(found, catalog_to_json))


def show_catalog(call: Call) -> Response:
    found = call.services.catalogs.get(call.principal, call.name("catalog"))
    return json_response(catalog_to_json(found))


@once_managed
def delete_catalog(call: Call) -> Response:
    call.services.catalogs.delete(call.principal, call.name("catalog"))
    return no_content()


ROUTES: Final[Sequence[Line]] = (
    ("GET", "/catalogs", list_catalogs, Action.LIST_CATALOGS),
    ("POST", "/catalogs", create_catalog, Action.MANAGE_CATALOGS),
    ("GET", "/catalogs/{catalog}", show_catalog, Action.LIST_CATALOGS),
    ("DELETE", "/catalogs/{catalog}", delete_catalog, Action.MANAGE_CATALOGS),
)
