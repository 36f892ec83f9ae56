"""Checks answers against the documents in `openapi/`: every one that a test's HTTP client gets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
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

FOLDER = Path(__file__).parents[2] / "openapi"
METHODS = ("get", "head", "post", "put", "delete", "patch")
JSON = "application/json"
PROBLEM = "application/problem+json"
FORM = "application/x-www-form-urlencoded"
CHECKED_WHOLE_BYTES_MAX = 256 * 1024
ENDS = 50
"""Of a longer list in a larger answer only both ends are checked: that takes milliseconds."""


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
    action: str | None
    """What its caller must be allowed, where the document says so."""

    @property
    def has_prefix(self) -> bool:
        return "{prefix}" in self.template


class Document:
    """One OpenAPI document, over the paths below `root`."""

    def __init__(self, name: str, *, root: str, error_media: str, error_schema: str) -> None:
        self.name = name
        self.root = root
        self._error_media = error_media
        self._error_schema = error_schema
        self._urn = f"urn:graticule:{name}"
        self._validators: dict[str, Draft202012Validator] = {}

    @cached_property
    def contents(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.load((FOLDER / self.name).read_text(), yaml.CSafeLoader)
        return found

    def at(self, pointer: str) -> Any:
        """What is at a JSON pointer, references followed at the end."""
        found = self._raw(pointer)
        is_reference = isinstance(found, dict) and set(found) == {"$ref"}
        return self.at(found["$ref"]) if is_reference else found

    def _raw(self, pointer: str) -> Any:
        found: Any = self.contents
        for part in pointer.removeprefix("#").split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found

    def _followed(self, pointer: str) -> str:
        found = self._raw(pointer)
        return str(found["$ref"]) if isinstance(found, dict) and set(found) == {"$ref"} else pointer

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(self._operations())

    def _operations(self) -> Iterator[Operation]:
        for template, item in self.contents["paths"].items():
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
                    parameters=tuple(self.at(p["$ref"]) for p in listed),
                    request=content[media]["schema"] if content else None,
                    request_media=media,
                    responses={
                        status: self._followed(f"{place}/{method}/responses/{status}")
                        for status in described["responses"]
                    },
                    action=described.get("x-action"),
                )

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], Operation]:
        return {
            (operation.method, template): operation
            for operation in self.operations
            for template in (operation.template, operation.template.replace("/{prefix}", "", 1))
        }

    @cached_property
    def _finder(self) -> RouteTable:
        """The server's own matching, over the document's paths."""
        return RouteTable(
            Route(method, self.root + template, _refuse, None, Surface.ICEBERG)
            for method, template in self._by_place
        )

    def operation_at(self, method: str, raw_path: str) -> Operation | None:
        """The operation of a request; None where nothing is served, or not with this method."""
        try:
            route, _ = self._finder.find(method, raw_path)
        except (NoSuchRoute, MethodNotAllowed):
            return None
        return self._by_place[method, route.template.removeprefix(self.root)]

    @cached_property
    def _registry(self) -> Registry:
        resource = Resource(contents=self.contents, specification=DRAFT202012)
        return Registry().with_resource(self._urn, resource)

    def why_not(self, pointer: str, value: Any) -> str | None:
        """The first reason why `value` is not what the schema at `pointer` says."""
        validator = self._validators.get(pointer)
        if validator is None:
            schema = {"$ref": f"{self._urn}{pointer}"}
            validator = Draft202012Validator(schema, registry=self._registry)
            self._validators[pointer] = validator
        error: ValidationError | None = best_match(validator.iter_errors(value))
        if error is None:
            return None
        where = "/".join(map(str, error.absolute_path)) or "the body"
        rule = "/".join(map(str, error.absolute_schema_path))
        return f"{where}: {error.message[:500]} (rule {rule})"

    def complaint(self, operation: Operation | None, response: httpx2.Response) -> str | None:
        """In what an answer is not as documented."""
        status = str(response.status_code)
        if operation is None:
            if status not in {"404", "405"} and response.is_success:
                return "the operation is not documented"
            return None if response.request.method == "HEAD" else self._error_complaint(response)
        pointer = operation.responses.get(status)
        if pointer is None:
            response.read()
            return f"the status is not documented; the body is {response.text[:500]!r}"
        described = self.at(pointer)
        for name, reference in described.get("headers", {}).items():
            header = self.at(reference["$ref"])
            value = response.headers.get(name)
            if value is None and header.get("required"):
                return f"the header {name} is missing"
            schema = reference["$ref"] + "/schema"
            reason = self.why_not(schema, value) if value is not None else None
            if reason is not None:
                return f"header {name}: {reason}"
        if "content" not in described:
            response.read()
            return f"a body: {response.text[:200]!r}" if response.content else None
        media = response.headers.get("content-type", "")
        kind = media.partition(";")[0] if media.startswith("text/") else media
        if kind not in described["content"]:
            return f"content type {media!r}"
        if media not in {JSON, PROBLEM}:
            return None  # and is left unread: it may be a stream
        response.read()
        try:
            body = response.json()
        except ValueError as error:
            return f"the body is not JSON: {error}"
        if len(response.content) > CHECKED_WHOLE_BYTES_MAX:
            body = _thinned(body)
        return self.why_not(f"{pointer}/content/{media.replace('/', '~1')}/schema", body)

    def _error_complaint(self, response: httpx2.Response) -> str | None:
        response.read()
        if response.headers.get("content-type") != self._error_media:
            return f"content type {response.headers.get('content-type')!r}"
        try:
            body = response.json()
        except ValueError as error:
            return f"the body is not JSON: {error}"
        reason = self.why_not(self._error_schema, body)
        if reason is not None:
            return reason
        said = body["status"] if "status" in body else body["error"]["code"]
        return None if said == response.status_code else f"the body says {said}"


CATALOG = Document(
    "iceberg-rest.yaml",
    root=ICEBERG_ROOT,
    error_media=JSON,
    error_schema="#/components/schemas/ErrorResponse",
)
MANAGEMENT = Document(
    "management.yaml", root="", error_media=PROBLEM, error_schema="#/components/schemas/Problem"
)


def _refuse(_call: object, /) -> Any:
    raise NotImplementedError


def check_response(response: httpx2.Response) -> None:
    """An event hook: fails the test whose answer is not as documented."""
    request = response.request
    raw_path = request.url.raw_path.decode("ascii").partition("?")[0]
    document = CATALOG if raw_path.startswith(f"{ICEBERG_ROOT}/") else MANAGEMENT
    operation = document.operation_at(request.method, raw_path)
    reason = document.complaint(operation, response)
    if reason is not None:
        name = operation.name if operation else f"{request.method} {raw_path}"
        place = operation.pointer if operation else "no path"
        raise AssertionError(
            f"{name} answered {response.status_code}, not as {document.name} says: "
            f"{reason} [{place}]"
        )


def _thinned(value: Any) -> Any:
    """The value with the middle of every long list left out."""
    if isinstance(value, dict):
        return {key: _thinned(member) for key, member in value.items()}
    if isinstance(value, list):
        kept = value if len(value) <= 2 * ENDS else [*value[:ENDS], *value[-ENDS:]]
        return [_thinned(item) for item in kept]
    return value
