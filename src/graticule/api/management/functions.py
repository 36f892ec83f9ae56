"""SQL functions: list, create, show, replace, drop.

What the specification has of a function is spelt as there (`return-type`); versions, ids and the
log are the server's to keep.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.api.management.table_paths import NAMESPACE, namespace_of
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import InvalidRequest
from graticule.domain.function import FunctionRecord

Json = dict[str, Any]


class _SpecBody(Body):
    """Members in the spelling of the Iceberg specification."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))


class Parameter(_SpecBody):
    name: str
    type: str | Json
    doc: str | None = None


class Representation(_SpecBody):
    type: Literal["sql"] = "sql"
    dialect: str
    sql: str


class Definition(_SpecBody):
    """One signature of the function, and what it does now."""

    parameters: list[Parameter]
    return_type: str | Json
    return_nullable: bool | None = None
    function_type: Literal["udf", "udtf"] = "udf"
    specific_name: str | None = None
    doc: str | None = None
    representations: list[Representation]
    deterministic: bool | None = None
    on_null_input: Literal["call", "return-null"] | None = None


class _Function(_SpecBody):
    definitions: list[Definition]
    properties: dict[str, str] | None = None
    secure: bool | None = None
    doc: str | None = None


class NewFunction(_Function):
    name: str


class ReplacedFunction(_Function):
    version: int = Field(ge=1)
    """The version that this replacement was made from."""


def list_functions(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.functions.list(
        call.principal, _catalog_of(call), namespace_of(call), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, _summary))


@once_managed
def create_function(call: Call) -> Response:
    body = body_of(call, NewFunction)
    functions, place = call.services.functions, (_catalog_of(call), namespace_of(call))
    if landed_id(call) is not None:
        created = functions.load(call.principal, *place, body.name)
    else:
        created = functions.create(call.principal, *place, body.name, _wanted(body))
    return json_response(_json(created), status=201)


def show_function(call: Call) -> Response:
    found = call.services.functions.load(
        call.principal, _catalog_of(call), namespace_of(call), call.name("function")
    )
    return json_response(_json(found))


@once_managed
def replace_function(call: Call) -> Response:
    body = body_of(call, ReplacedFunction)
    if landed_id(call) is not None:
        return show_function(call)
    replaced = call.services.functions.replace(
        call.principal,
        _catalog_of(call),
        namespace_of(call),
        call.name("function"),
        _wanted(body),
        version=body.version,
    )
    return json_response(_json(replaced))


@once_managed
def drop_function(call: Call) -> Response:
    """`?version=` drops the function only if it still is at that version."""
    call.services.functions.drop(
        call.principal,
        _catalog_of(call),
        namespace_of(call),
        call.name("function"),
        version=_version_of(call),
    )
    return no_content()


def _catalog_of(call: Call) -> OpenCatalog:
    opened: OpenCatalog = call.services.catalogs.open(call.principal, call.name("catalog"))
    return opened


def _wanted(body: _Function) -> Json:
    return body.model_dump(by_alias=True, exclude_none=True, exclude={"name", "version"})


def _version_of(call: Call) -> int | None:
    text = call.query.get("version")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise InvalidRequest(f"`version` must be a number, not `{text}`")
    return int(text[:18])


def _summary(function: FunctionRecord) -> Json:
    return {
        "namespace": list(function.namespace.levels),
        "name": function.name,
        "definitions": [item["definition-id"] for item in function.document["definitions"]],
        "doc": function.document.get("doc"),
        "version": function.version,
        "created_at": moment(function.created_at_ms),
        "updated_at": moment(function.updated_at_ms),
    }


def _json(function: FunctionRecord) -> Json:
    return {**_summary(function), "metadata": dict(function.document)}


_FUNCTIONS: Final = f"{NAMESPACE}/functions"

ROUTES: Final[Sequence[Line]] = (
    ("GET", _FUNCTIONS, list_functions, Action.READ_CATALOG),
    ("POST", _FUNCTIONS, create_function, Action.WRITE_CATALOG),
    ("GET", f"{_FUNCTIONS}/{{function}}", show_function, Action.READ_CATALOG),
    ("PUT", f"{_FUNCTIONS}/{{function}}", replace_function, Action.WRITE_CATALOG),
    ("DELETE", f"{_FUNCTIONS}/{{function}}", drop_function, Action.WRITE_CATALOG),
)
