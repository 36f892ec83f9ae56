"""Nothing that a client can send to the management API is answered with a fault of ours.

Every answer has the documented shape: the client checks that by itself (`support/openapi.py`).
"""

import json
import time
from urllib.parse import quote, urlencode

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import openapi
from support.fuzzing import bodies, texts
from support.profiles import effort
from support.server import serving

ANSWER_S_MAX = 10.0
OPERATIONS = {
    operation.name: operation
    for operation in openapi.MANAGEMENT.operations
    # Those ask whatever store the body names; `tests/api/management` has made-up stores for them.
    if operation.name not in {"verifyDraft", "verifyIntegration", "rotateKeys"}
}
WITH_BODIES = [name for name, operation in OPERATIONS.items() if operation.request is not None]
LISTS = [
    name
    for name, operation in OPERATIONS.items()
    if any(parameter["name"] == "limit" for parameter in operation.parameters)
]
NAMES = {
    "integration": "lake",
    "catalog": "places",
    "namespace": "ns",
    "table": "t",
    "function": "f",
    "member": "ben",
    "role": "team",
}
SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [{"id": 1, "name": "id", "type": "long", "required": False}],
}
FUNCTION = {
    "parameters": [{"name": "x", "type": "long"}],
    "return-type": "long",
    "representations": [{"type": "sql", "dialect": "spark", "sql": "x + 1"}],
}

raw_segments = st.sampled_from(
    [
        *("nowhere", "everyone", "admin", "a+b", "a%2Fb", "%ff", "%", "%zz", "%00", "%1F", ".."),
        *(
            "ns.child",
            "%2e%2e",
            "ns%1F",
            "a." * 50,
            "x" * 300,
            "01a2012f-240a-7eaa-b0bd-327207790aa5",
        ),
    ]
) | texts.map(lambda text: quote(text.encode("utf-8", "replace"), safe="") or "%20")
header_texts = st.sampled_from(["", "*", '"x"', '"1"', 'W/"1"', "bytes=0-", "bytes=9-1", "\xe9"])
query_texts = texts | st.sampled_from(["places", "places/ns", "places/ns/t", "manage", "1", "role"])


@pytest.fixture(scope="module")
def client(tmp_path_factory, seaweedfs):
    """A server of its own: among what is made up may be the end of anything."""
    with serving(tmp_path_factory.mktemp("fuzzed"), seaweedfs) as live, live.http() as http:
        yield http


def furnish(http: httpx2.Client) -> None:
    """Have something to hit."""
    for path, body in (
        ("/api/v1/members", {"name": "ben"}),
        ("/api/v1/roles", {"name": "team"}),
        ("/api/v1/catalogs", {"name": "places", "integration": "lake"}),
    ):
        if http.get(f"{path}/{body['name']}").status_code != 200:
            http.post(path, json=body)
    catalog = http.get("/api/v1/catalogs/places")
    if catalog.status_code != 200:
        return
    base = f"/catalog/v1/{catalog.json()['id']}/namespaces"
    if http.head(f"{base}/ns/tables/t").status_code != 204:
        http.post(base, json={"namespace": ["ns"]})
        http.post(f"{base}/ns/tables", json={"name": "t", "schema": SCHEMA})
    functions = "/api/v1/catalogs/places/namespaces/ns/functions"
    if http.get(f"{functions}/f").status_code != 200:
        http.post(functions, json={"name": "f", "definitions": [FUNCTION]})


def path_of(template: str, segments: dict[str, str]) -> str:
    for name, raw in segments.items():
        template = template.replace(f"{{{name}}}", raw)
    return template.replace("{", "").replace("}", "")


def send(http: httpx2.Client, method: str, path: str, **options: object) -> httpx2.Response:
    started = time.monotonic()
    answer = http.request(method, path, **options)
    assert answer.status_code < 500, (path, answer.text)
    assert time.monotonic() - started < ANSWER_S_MAX
    return answer


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WITH_BODIES)
def test_any_body_at_all_is_served_or_refused(client, name):
    operation = OPERATIONS[name]
    is_form = operation.request_media == openapi.FORM

    @effort(default=20, ci=300)
    @given(bodies(openapi.MANAGEMENT, operation.request))
    def fuzz(body):
        furnish(client)
        if is_form:
            pairs = body if isinstance(body, dict) else {"x": body}
            content = urlencode({str(k): str(v) for k, v in pairs.items()}, errors="replace")
        else:
            content = json.dumps(body)
        send(
            client,
            operation.method,
            path_of(operation.template, NAMES),
            content=content.encode(),
            headers={"Content-Type": operation.request_media},
        )

    fuzz()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_any_path_query_and_header_is_served_or_refused(client, name):
    operation = OPERATIONS[name]
    places = {kind: [] for kind in ("query", "header", "path")}
    for parameter in operation.parameters:
        places[parameter["in"]].append(parameter["name"])

    @effort(default=6, ci=150)
    @given(
        st.fixed_dictionaries(
            {part: raw_segments | st.just(NAMES.get(part, "x")) for part in places["path"]}
        ),
        st.fixed_dictionaries({}, optional=dict.fromkeys([*places["query"], "x"], query_texts)),
        st.fixed_dictionaries({}, optional=dict.fromkeys(places["header"], header_texts)),
    )
    def fuzz(segments, params, sent):
        furnish(client)
        options = {"content": b"{}"} if operation.request is not None else {}
        pairs = "&".join(f"{k}={quote(v.encode('utf-8', 'replace'))}" for k, v in params.items())
        send(
            client,
            operation.method,
            path_of(operation.template, segments) + (f"?{pairs}" if pairs else ""),
            headers={key: value.encode("latin-1") for key, value in sent.items()},
            follow_redirects=False,
            **options,
        )

    fuzz()


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("size", ["0", "-1", "1.5", "x", "９", "²", "9" * 5000, "1e3", " 1"])
def test_any_limit_is_served_or_refused(client, name, size):
    furnish(client)
    path = path_of(OPERATIONS[name].template, NAMES)
    assert send(client, "GET", path, params={"limit": size}).status_code in {400, 404}
