"""Every failure has the shape of its surface, also those that no handler ever sees."""

import gzip
import http.client

import pytest

from graticule.api.errors import STATUS, Surface, describe
from graticule.domain import errors


def every_error(cls=errors.CatalogError):
    """But for those that `graticule.client` raises, where nobody answers requests."""
    if cls.__module__.startswith("graticule.client"):
        return
    yield cls
    for below in cls.__subclasses__():
        yield from every_error(below)


@pytest.mark.parametrize(
    "cls",
    sorted({c for c in every_error() if not c.__name__.startswith("_")}, key=lambda c: c.__name__),
)
def test_every_domain_error_has_a_status_of_its_own_or_of_an_ancestor(cls):
    if cls is errors.CatalogError:
        return
    assert any(
        ancestor in STATUS for ancestor in cls.__mro__[: cls.__mro__.index(errors.CatalogError)]
    )


def test_our_own_faults_say_nothing_but_the_request_id():
    status, body = describe(RuntimeError("SELECT secret"), Surface.ICEBERG, request_id="r1")
    assert (status, body["error"]["type"]) == (500, "InternalServerError")
    assert "secret" not in body["error"]["message"]
    assert "r1" in body["error"]["message"]


ICEBERG = "/catalog/v1/nowhere/nothing"
MANAGEMENT = "/api/v1/nothing"


def test_an_unknown_path_is_404_in_the_shape_of_its_surface(http):
    iceberg = http.get(ICEBERG)
    assert (iceberg.status_code, iceberg.json()["error"]["code"]) == (404, 404)
    management = http.get(MANAGEMENT)
    assert management.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} == set(management.json())


def test_a_wrong_method_names_the_right_ones(http):
    answer = http.request("PATCH", "/catalog/v1/x/namespaces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert answer.json()["error"]["code"] == 405


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"a": NaN}',
        b"[" * 100_000,
        b'{"a":' * 5000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_malformed_body_is_a_bad_request(http, catalog, body):
    answer = http.post(
        f"{catalog.base}/namespaces", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadRequestException")
    assert "sys." not in answer.text  # what Python tells programmers


def test_a_body_that_is_no_json_by_its_own_account_is_unsupported(http, catalog):
    answer = http.post(
        f"{catalog.base}/namespaces", content=b"a=b", headers={"Content-Type": "text/csv"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, 415)


@pytest.mark.parametrize("encoding", ["gzip", "identity, ZSTD"])
def test_a_compressed_body_is_unsupported_and_the_answer_says_what_to_send(http, catalog, encoding):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    body = gzip.compress(b'{"namespace": ["zipped"]}')
    why = f"`Content-Encoding: {encoding}` is not read: send the body as it is, without this header"
    answer = http.post(f"{catalog.base}/namespaces", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (
        415,
        {"message": why, "type": "UnsupportedMediaTypeException", "code": 415},
    )
    assert answer.headers["Accept-Encoding"] == "identity"
    answer = http.post("/api/v1/catalogs", content=body, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (415, "application/problem+json")
    assert answer.json()["detail"] == why


def test_a_body_that_says_it_is_not_compressed_is_read(http, catalog):
    answer = http.post(
        f"{catalog.base}/namespaces",
        content=b'{"namespace": ["plain_body"]}',
        headers={"Content-Type": "application/json", "Content-Encoding": "identity"},
    )
    assert answer.status_code == 200, answer.text


def test_a_body_beyond_the_limit_is_refused_without_being_read(server, catalog):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.putrequest("POST", f"{catalog.base}/namespaces")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    connection.close()


@pytest.mark.parametrize("raw", ["%", "%zz", "%ff%fe", "a%00b", "..", "%2e%2e", "%1f", "%1F%1F"])
def test_garbage_in_a_path_is_never_a_server_error(server, http, catalog, raw):
    connection_path = f"{catalog.base}/namespaces/{raw}"
    import http.client as plain  # noqa: PLC0415

    connection = plain.HTTPConnection(server.url.removeprefix("http://"))
    token = {"Authorization": http.headers["Authorization"]}
    connection.request("GET", connection_path, headers=token)
    assert connection.getresponse().status in {400, 404}
    connection.close()


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer None",
        "Bearer",
        "Bearer x",
        "Basic eDp5",
        "Bearer gk_a.gs_b",
        "Bearer a.b.c",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/catalog/v1/config", "/api/v1/me", "/catalog/v1/x/namespaces"])
def test_nothing_is_served_without_a_credential(http, authorization, path):
    headers = {"Authorization": authorization} if authorization is not None else {}
    if authorization is None:
        del http.headers["Authorization"]
    answer = http.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_health_and_readiness_need_no_credential(http):
    del http.headers["Authorization"]
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/ready").json() == {"status": "ready"}
    assert "Graticule" in http.get("/").text


def test_every_answer_names_its_request(http):
    assert http.get("/health", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    made_up = http.get("/health", headers={"X-Request-ID": "a b;c"}).headers["x-request-id"]
    assert made_up != "a b;c"
