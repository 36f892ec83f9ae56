"""The documents in `openapi/` are what is served: the same operations, and answers of their shapes.

The HTTP client of the tests checks every answer by itself (`support/openapi.py`).
"""

import httpx2
import pytest
from jsonschema import Draft202012Validator

from graticule.access.policy import BY_ROLE, BY_SCOPE, Action
from graticule.api.endpoint import parse_json_object
from graticule.api.errors import Surface, describe, headers_of
from graticule.api.routes import ICEBERG_ROOT, MANAGEMENT_ROOT, advertised_endpoints, route_table
from graticule.domain import errors
from graticule.domain.tenancy import Role, Scope
from support import openapi

DOCUMENTS = [openapi.CATALOG, openapi.MANAGEMENT]
ERRORS = sorted(
    (
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.CatalogError)
    ),
    key=lambda cls: cls.__name__,
)


def error_of(cls: type[errors.CatalogError]) -> errors.CatalogError:
    more = {"retry_after_s": 1} if issubclass(cls, errors.Overloaded) else {}
    return cls("what happened", **more)


def test_the_url_table_and_the_document_list_the_same_operations():
    served = {
        f"{route.method} {route.template.removeprefix(ICEBERG_ROOT)}"
        for route in route_table().routes
        if route.template.startswith(ICEBERG_ROOT)
    }
    documented = {f"{o.method} {o.template}" for o in openapi.CATALOG.operations}
    without_prefix = {line.replace("/{prefix}", "", 1) for line in documented}
    assert served == documented | without_prefix


def test_clients_are_told_of_every_documented_operation_below_a_prefix():
    documented = {f"{o.method} {o.template}" for o in openapi.CATALOG.operations if o.has_prefix}
    assert set(advertised_endpoints()) == documented


def test_the_url_table_and_the_management_document_list_the_same_operations():
    """The rest of what is served, each with the action that the route asks for."""
    served = {
        f"{route.method} {route.template}": route.action
        for route in route_table().routes
        if not route.template.startswith(f"{ICEBERG_ROOT}/")
    }
    documented = {f"{o.method} {o.template}": o.action for o in openapi.MANAGEMENT.operations}
    assert documented == {
        line: None if action is None else action.name.lower() for line, action in served.items()
    }


def test_the_management_document_says_which_changes_take_an_idempotency_key():
    served = {
        f"{route.method} {route.template}"
        for route in route_table().routes
        if route.template.startswith(MANAGEMENT_ROOT) and hasattr(route.handler, "__wrapped__")
    }
    documented = {
        f"{operation.method} {operation.template}"
        for operation in openapi.MANAGEMENT.operations
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation.parameters)
    }
    assert documented == served


def test_the_management_document_says_who_may_take_each_action():
    documented = openapi.MANAGEMENT.contents["x-actions"]
    assert documented == {
        action.name.lower(): {
            "roles": [role.value for role in Role if action in BY_ROLE[role]],
            "scopes": sorted(scope.value for scope in Scope if action in BY_SCOPE[scope]),
        }
        for action in Action
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_operations_are_named_once(document):
    names = [operation.name for operation in document.operations]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_reference_leads_somewhere_and_everything_is_referred_to(document):
    references = set(_references(document.contents))
    for reference in references:
        assert document.at(reference) is not None
        if "/schemas/" in reference:
            Draft202012Validator.check_schema(document.at(reference))
    parts = document.contents["components"]
    named = {
        f"#/components/{kind}/{name}"
        for kind in parts.keys() - {"securitySchemes"}
        for name in parts[kind]
    }
    assert named == references


@pytest.mark.parametrize(
    "operation",
    [operation for document in DOCUMENTS for operation in document.operations],
    ids=lambda operation: operation.name,
)
def test_an_operation_declares_the_parameters_of_its_path(operation):
    in_path = {part[1:-1] for part in operation.template.split("/") if part.startswith("{")}
    declared = {p["name"] for p in operation.parameters if p["in"] == "path"}
    assert declared == in_path


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_every_domain_error_is_answered_in_the_documented_shape(cls):
    error = error_of(cls)
    status, body = describe(error, Surface.ICEBERG, request_id="r1")
    assert openapi.CATALOG.why_not("#/components/schemas/ErrorResponse", body) is None
    assert body["error"]["code"] == status
    assert ("Content-Type", "application/json") in headers_of(error, Surface.ICEBERG)

    _, body = describe(error, Surface.OAUTH, request_id="r1")
    assert openapi.CATALOG.why_not("#/components/schemas/OAuthError", body) is None

    status, body = describe(error, Surface.MANAGEMENT, request_id="r1")
    assert {**body, "type": "", "title": ""} == {
        "type": "",
        "title": "",
        "status": status,
        "detail": "what happened",
        "request_id": "r1",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "complaint"),
    [
        ("GET", "/v1/c/namespaces", 200, {"namespaces": [["a"]], "next-page-token": None}, "None"),
        ("GET", "/v1/c/namespaces", 200, {"namespaces": [[]]}, "namespaces/0"),
        ("GET", "/v1/c/namespaces", 201, {"namespaces": []}, "status is not documented"),
        ("GET", "/v1/c/namespaces/a", 404, {"error": {"message": "m", "code": 404}}, "'type'"),
        ("GET", "/v1/c/namespaces/a", 404, "no such namespace", "not of type 'object'"),
        ("POST", "/v1/c/tables/rename", 204, {}, "a body"),
        ("GET", "/v1/c/nothing", 200, {}, "not documented"),
        (
            "GET",
            "/v1/c/namespaces/a/tables/t",
            404,
            {"error": {"message": "m", "type": "NoSuchNamespaceException", "code": 404}},
            "NoSuchTableException",
        ),
        (
            "GET",
            "/v1/c/namespaces/a",
            404,
            {"error": {"message": "m", "type": "NoSuchNamespaceException", "code": 400}},
            "404 was expected",
        ),
        (
            "GET",
            "/v1/c/namespaces/a",
            404,
            {"error": {"message": "m", "type": "NoSuchNamespaceException", "code": 404}, "x": 1},
            "Additional properties",
        ),
    ],
)
def test_an_answer_that_is_not_as_documented_fails_its_test(method, path, status, body, complaint):
    request = httpx2.Request(method, f"http://h{ICEBERG_ROOT}{path}")
    answer = httpx2.Response(status, json=body, request=request)
    with pytest.raises(AssertionError) as failure:
        openapi.check_response(answer)
    assert complaint in str(failure.value)


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_not():
    assert parse_json_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
    for body in (b'{"a": "\\ud83d"}', b'{"\\ude00": 1}', b'{"a": "\xed\xa0\xbd"}'):
        with pytest.raises(errors.InvalidRequest):
            parse_json_object(body)


def _references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)
