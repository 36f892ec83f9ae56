"""Nothing that a client can send is answered with a fault of ours.

Every answer has the documented shape: the client checks that by itself (`support/openapi.py`).
"""

import json
import time
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import openapi
from support.fuzzing import TEXTS, bodies, texts
from support.profiles import effort
from support.server import LiveCatalog

ANSWER_S_MAX = 10.0
"""For one small request, on a machine that does something else as well."""

SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [
        {"id": 1, "name": "id", "type": "long", "required": False},
        {"id": 2, "name": "place", "type": "geometry", "required": False},
    ],
}
VIEW_VERSION = {
    "version-id": 1,
    "timestamp-ms": 1_760_000_000_000,
    "schema-id": 0,
    "summary": {},
    "default-namespace": ["ns"],
    "representations": [{"type": "sql", "sql": "SELECT 1 AS id", "dialect": "spark"}],
}
FUNCTION = {
    "parameters": [{"name": "x", "type": "long"}],
    "return-type": "long",
    "representations": [{"type": "sql", "dialect": "spark", "sql": "x + 1"}],
}
OPERATIONS = {operation.name: operation for operation in openapi.CATALOG.operations}
WITH_BODIES = [
    o.name for o in openapi.CATALOG.operations if o.request_media == openapi.JSON and o.request
]
LISTS = [name for name in OPERATIONS if name.startswith("list")]

raw_segments = st.sampled_from(
    [
        *(
            "ns",
            "t",
            "v",
            "f",
            "ns",
            "t",
            "nowhere",
            "ns%1Fchild",
            "a+b",
            "a%2Fb",
            "%ff",
            "%",
            "%zz",
            "%00",
        ),
        *(
            "%1F",
            "%1F%1F",
            "..",
            "%2e%2e",
            "a%1F" * 50,
            "x" * 300,
            quote("é\ud800", errors="replace"),
        ),
    ]
) | texts.map(lambda text: quote(text.encode("utf-8", "replace"), safe="") or "%20")
header_texts = st.sampled_from(
    ["", "*", '"x"', "vended-credentials", "remote-signing", "a,b", "0", "x" * 200, "\xe9"]
)


@pytest.fixture(scope="module")
def home(server) -> LiveCatalog:
    return server.new_catalog()


@pytest.fixture(scope="module")
def client(server):
    with server.http() as http:
        yield http


def furnish(http: httpx2.Client, catalog: LiveCatalog) -> None:
    """Have something to hit: a namespace `ns` with a table `t`, a view `v` and a function `f`."""
    namespace = f"{catalog.base}/namespaces/ns"
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    for place, name, more in (("tables", "t", {}), ("views", "v", {"view-version": VIEW_VERSION})):
        if http.head(f"{namespace}/{place}/{name}").status_code != 204:
            properties = {"format-version": "3"} if place == "tables" else {}
            body = {"name": name, "schema": SCHEMA, "properties": properties, **more}
            made = http.post(f"{namespace}/{place}", json=body)
            assert made.status_code in {200, 409}, made.text
    if http.get(f"{namespace}/functions/f").status_code != 200:
        managed = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/functions"
        made = http.post(managed, json={"name": "f", "definitions": [FUNCTION]})
        assert made.status_code == 201, made.text


def path_of(template: str, catalog: LiveCatalog, segments: dict[str, str]) -> str:
    for name, raw in {"prefix": catalog.id, **segments}.items():
        template = template.replace(f"{{{name}}}", raw)
    return f"/catalog{template}"


def send(http: httpx2.Client, method: str, path: str, **options: object) -> httpx2.Response:
    started = time.monotonic()
    answer = http.request(method, path, **options)
    took_s = time.monotonic() - started
    # 501 is what is documented for parts of the specification that are not served.
    assert answer.status_code < 500 or answer.status_code == 501, (path, answer.text)
    assert took_s < ANSWER_S_MAX
    return answer


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WITH_BODIES)
def test_any_body_at_all_is_served_or_refused(client, home, name):
    operation = OPERATIONS[name]

    @effort(default=40, ci=400)
    @given(bodies(openapi.CATALOG, operation.request))
    def fuzz(body):
        furnish(client, home)
        path = path_of(
            operation.template, home, {"namespace": "ns", "table": "t", "view": "v", "plan-id": "p"}
        )
        content = json.dumps(body).encode()
        send(
            client, operation.method, path, content=content, headers={"Content-Type": openapi.JSON}
        )

    fuzz()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_any_path_query_and_header_is_served_or_refused(client, home, name):
    operation = OPERATIONS[name]
    query = [p["name"] for p in operation.parameters if p["in"] == "query"]
    headers = [p["name"] for p in operation.parameters if p["in"] == "header"]
    path_parts = [
        p["name"] for p in operation.parameters if p["in"] == "path" and p["name"] != "prefix"
    ]

    @effort(default=12, ci=200)
    @given(
        st.fixed_dictionaries(dict.fromkeys(path_parts, raw_segments)),
        st.fixed_dictionaries({}, optional=dict.fromkeys([*query, "unknown"], texts)),
        st.fixed_dictionaries({}, optional=dict.fromkeys(headers, header_texts)),
    )
    def fuzz(segments, params, sent):
        furnish(client, home)
        options = {"content": b"{}"} if operation.request is not None else {}
        encoded = {key: value.encode("latin-1") for key, value in sent.items()}
        pairs = "&".join(
            f"{key}={quote(v.encode('utf-8', 'replace'))}" for key, v in params.items()
        )
        path = path_of(operation.template, home, segments) + (f"?{pairs}" if pairs else "")
        send(client, operation.method, path, headers=encoded, **options)

    fuzz()


grants = st.sampled_from(["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"])


@effort(default=120, ci=1000)
@given(
    st.fixed_dictionaries(
        {"grant_type": grants | texts},
        optional=dict.fromkeys(["client_id", "client_secret", "scope", "subject_token"], texts),
    )
)
def test_any_form_gets_a_token_or_an_oauth_error(client, form):
    content = "&".join(f"{k}={quote(v.encode('utf-8', 'replace'))}" for k, v in form.items())
    media = {"Content-Type": openapi.FORM}
    answer = send(
        client, "POST", "/catalog/v1/oauth/tokens", content=content.encode(), headers=media
    )
    assert answer.status_code in {400, 401}


@pytest.mark.parametrize(
    "body",
    [
        *(b"\xff", b"\xfe\xff\x00{", b"\x00", b"\xef\xbb\xbf{}", b"{}\x00", b"\x1f\x8b\x08\x00"),
        *(
            '{"namespace": ["ä"]}'.encode(codec)
            for codec in ("utf-16", "utf-32", "latin-1", "utf-7")
        ),
        *(b'{"a":' * 100_000, b"[" * 1_000_000, b'{"a": 1e999}', b'{"a": ' + b"9" * 5000 + b"}"),
        b'{"namespace": ["\\ud800"], "properties": {"\\ud800": "\\udfff"}}',
        b'{"namespace": ["surrogates"], "properties": {"k": "\\ud800"}}',
        b'{"namespace": ["a", "a"], "namespace": [1]}',
    ],
)
@pytest.mark.parametrize("name", ["createNamespace", "createTable", "updateTable", "planTableScan"])
def test_bytes_that_are_hardly_json_are_served_or_refused(client, home, name, body):
    furnish(client, home)
    operation = OPERATIONS[name]
    path = path_of(operation.template, home, {"namespace": "ns", "table": "t"})
    send(client, operation.method, path, content=body, headers={"Content-Type": openapi.JSON})


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("size", ["0", "-1", "1.5", "x", "９", "²", "9" * 5000, "1e3", " 1", "+1"])
def test_any_page_size_is_served_or_refused(client, home, name, size):
    furnish(client, home)
    path = path_of(OPERATIONS[name].template, home, {"namespace": "ns"})
    answer = send(client, "GET", path, params={"pageToken": "", "pageSize": size})
    assert answer.status_code in {200, 400}


@pytest.mark.parametrize(
    "request_line",
    [
        ("GET", "/v1/config?warehouse=%00"),
        ("GET", "/v1/a%00b/namespaces"),
        ("GET", "/v1/namespaces?parent=a%00"),
        ("GET", "/v1/namespaces?pageToken=%00"),
        ("POST", "/v1/oauth/tokens"),
    ],
)
def test_a_nul_is_refused_before_a_database_sees_it(client, request_line):
    """PostgreSQL cannot be asked for one."""
    method, path = request_line
    form = b"grant_type=client_credentials&client_id=%00&client_secret=x"
    options = (
        {"content": form, "headers": {"Content-Type": openapi.FORM}} if method == "POST" else {}
    )
    assert send(client, method, f"/catalog{path}", **options).status_code == 400


@pytest.mark.parametrize("raw", ["%0A", "a%0D%0Ab", "%C2%85", "%E2%80%A8"])
def test_a_line_break_in_a_path_is_not_found_in_the_documented_shape(client, home, raw):
    assert send(client, "GET", f"{home.base}/namespaces/{raw}").status_code == 404


@pytest.mark.parametrize("token", TEXTS)
def test_a_page_token_that_nobody_issued_is_refused(client, home, token):
    path = f"{home.base}/namespaces?pageToken={quote(token.encode('utf-8', 'replace'))}"
    answer = send(client, "GET", path)
    assert answer.status_code == (400 if token else 200)
