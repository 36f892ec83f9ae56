"""Checks answers against `openapi/iceberg-rest.yaml`: every one that a test's HTTP client gets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from graticule.api.endpoint import Route, RouteTable
from graticule.api.errors import Surface
from graticule.api.routes import ICEBERG_ROOT
from graticule.domain.errors import MethodNotAllowed, NoSuchRoute

FILE = Path(__file__).parents[2] / "openapi" / "iceberg-rest.yaml"
METHODS = ("get", "head", "post", "put", "delete", "patch")
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
CHECKED_WHOLE_BYTES_MAX = 256 * 1024
ENDS = 50
"""Of a longer list in a larger answer only both ends are checked: that takes milliseconds."""
_URN = "urn:iceberg-rest"


@dataclass(frozen=True)
class Operation:
    """One operation; `pointer` is its place in the document."""

    name: str
    method: str
    template: str
    pointer: str
    parameters: tuple[Mapping[str, Any], ...]
    request: Mapping[str, Any] | None
    """The schema of the body, None without one."""
    request_media: str
    responses: Mapping[str, str]
    """The place of each response by its status, references followed."""

    @property
    def has_prefix(self) -> bool:
        return "{prefix}" in self.template


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(FILE.read_text(), yaml.CSafeLoader)
    return found


def at(pointer: str) -> Any:
    """What is at a JSON pointer, references followed at the end."""
    found: Any = document()
    for part in pointer.removeprefix("#").split("/")[1:]:
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return at(found["$ref"]) if isinstance(found, dict) and set(found) == {"$ref"} else found


def _followed(pointer: str) -> str:
    found: Any = document()
    for part in pointer.removeprefix("#").split("/")[1:]:
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return str(found["$ref"]) if isinstance(found, dict) and set(found) == {"$ref"} else pointer


@cache
def operations() -> tuple[Operation, ...]:
    return tuple(_operations())


def _operations() -> Iterator[Operation]:
    for template, item in document()["paths"].items():
        place = f"#/paths/{template.replace('~', '~0').replace('/', '~1')}"
        for method in METHODS:
            if method not in item:
                continue
            described = item[method]
            listed = [*item.get("parameters", ()), *described.get("parameters", ())]
            content = described.get("requestBody", {}).get("content", {})
            media = next(iter(content), JSON)
            yield Operation(
                name=described["operationId"],
                method=method.upper(),
                template=template,
                pointer=f"{place}/{method}",
                parameters=tuple(at(p["$ref"]) for p in listed),
                request=content[media]["schema"] if content else None,
                request_media=media,
                responses={
                    status: _followed(f"{place}/{method}/responses/{status}")
                    for status in described["responses"]
                },
            )


@cache
def _finder() -> RouteTable:
    """The server's own matching, over the document's paths."""
    routes = []
    for operation in operations():
        templates = {operation.template, operation.template.replace("/{prefix}", "", 1)}
        routes += [
            Route(operation.method, ICEBERG_ROOT + template, _refuse, None, Surface.ICEBERG)
            for template in sorted(templates)
        ]
    return RouteTable(routes)


def _refuse(_call: object, /) -> Any:
    raise NotImplementedError


@cache
def _by_place() -> dict[tuple[str, str], Operation]:
    return {
        (operation.method, template): operation
        for operation in operations()
        for template in (operation.template, operation.template.replace("/{prefix}", "", 1))
    }


def operation_at(method: str, raw_path: str) -> Operation | None:
    """The operation of a request; None where nothing is served, or not with this method."""
    try:
        route, _ = _finder().find(method, raw_path)
    except (NoSuchRoute, MethodNotAllowed):
        return None
    return _by_place()[method, route.template.removeprefix(ICEBERG_ROOT)]


@cache
def _registry() -> Registry:
    resource = Resource(contents=document(), specification=DRAFT202012)
    return Registry().with_resource(_URN, resource)


@cache
def validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"{_URN}{pointer}"}, registry=_registry())


def why_not(pointer: str, value: Any) -> str | None:
    """The first reason why `value` is not what the schema at `pointer` says."""
    error: ValidationError | None = best_match(validator(pointer).iter_errors(value))
    if error is None:
        return None
    where = "/".join(map(str, error.absolute_path)) or "the body"
    rule = "/".join(map(str, error.absolute_schema_path))
    return f"{where}: {error.message[:500]} (rule {rule})"


def check_response(response: httpx2.Response) -> None:
    """An event hook: fails the test whose answer is not as documented."""
    request = response.request
    raw_path = request.url.raw_path.decode("ascii").partition("?")[0]
    if not raw_path.startswith(f"{ICEBERG_ROOT}/"):
        return
    response.read()
    operation = operation_at(request.method, raw_path)
    reason = _complaint(operation, response)
    if reason is not None:
        name = operation.name if operation else f"{request.method} {raw_path}"
        place = operation.pointer if operation else "no path"
        raise AssertionError(
            f"{name} answered {response.status_code}, not as {FILE.name} says: {reason} [{place}]"
        )


def _complaint(operation: Operation | None, response: httpx2.Response) -> str | None:
    status = str(response.status_code)
    if operation is None:
        if status not in {"404", "405"} and response.is_success:
            return "the operation is not documented"
        if response.request.method == "HEAD":
            return None
        return _complaint_about_error(response)
    pointer = operation.responses.get(status)
    if pointer is None:
        return f"the status is not documented; the body is {response.text[:500]!r}"
    described = at(pointer)
    for name, reference in described.get("headers", {}).items():
        header = at(reference["$ref"])
        value = response.headers.get(name)
        if value is None and header.get("required"):
            return f"the header {name} is missing"
        schema = reference["$ref"] + "/schema"
        reason = why_not(schema, value) if value is not None else None
        if reason is not None:
            return f"header {name}: {reason}"
    if "content" not in described:
        return f"a body: {response.text[:200]!r}" if response.content else None
    if response.headers.get("content-type") != JSON:
        return f"content type {response.headers.get('content-type')!r}"
    try:
        body = response.json()
    except ValueError as error:
        return f"the body is not JSON: {error}"
    if len(response.content) > CHECKED_WHOLE_BYTES_MAX:
        body = _thinned(body)
    return why_not(f"{pointer}/content/application~1json/schema", body)


def _thinned(value: Any) -> Any:
    """The value with the middle of every long list left out."""
    if isinstance(value, dict):
        return {key: _thinned(member) for key, member in value.items()}
    if isinstance(value, list):
        kept = value if len(value) <= 2 * ENDS else [*value[:ENDS], *value[-ENDS:]]
        return [_thinned(item) for item in kept]
    return value


def _complaint_about_error(response: httpx2.Response) -> str | None:
    try:
        body = response.json()
    except ValueError as error:
        return f"the body is not JSON: {error}"
    reason = why_not("#/components/schemas/ErrorResponse", body)
    if reason is None and body["error"]["code"] != response.status_code:
        reason = f"the body says {body['error']['code']}"
    return reason
