"""Remote signing over HTTP: signed requests reach a table's files in a real store, no others."""

import http.client as plain
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest

from support.faults import Answers, faulty
from support.server import LiveCatalog

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": True}]}
HEADER = "X-Iceberg-Access-Delegation"
SIGNING = {HEADER: "remote-signing"}
BOTH = {HEADER: "vended-credentials,remote-signing"}
NO_TOKEN_SERVICE = Answers(
    501, "POST", body=b"<ErrorResponse><Error><Code>NotImplemented</Code></Error></ErrorResponse>"
)


@dataclass(frozen=True)
class SignedTable:
    """A table's files as a client without credentials sees them."""

    http: httpx2.Client
    loaded: dict[str, Any]
    region: str

    @property
    def config(self) -> dict[str, str]:
        return self.loaded["config"]

    @property
    def endpoint(self) -> str:
        return "/catalog/" + self.config["s3.signer.endpoint"]

    @property
    def bucket_url(self) -> str:
        bucket = self.loaded["metadata"]["location"].removeprefix("s3://").partition("/")[0]
        return f"{self.config['s3.endpoint']}/{bucket}"

    @property
    def key(self) -> str:
        return self.loaded["metadata"]["location"].removeprefix("s3://").partition("/")[2]

    def ask(self, method, url, body=None, **headers):
        """The answer of the signer."""
        document = {
            "method": method,
            "region": self.region,
            "uri": url,
            "headers": {name: [value] for name, value in headers.items()},
        }
        return self.http.post(
            self.endpoint, json=document if body is None else {**document, "body": body}
        )

    def send(self, method, path, content=b"", *, body=None, **headers):
        """Have a request signed, then send it; the answer of the store."""
        url = self.bucket_url + path
        signed = self.ask(method, url, body, **headers)
        assert signed.status_code == 200, signed.text
        added = {name: ", ".join(texts) for name, texts in signed.json()["headers"].items()}
        assert signed.json()["uri"] == url
        return httpx2.request(method, url, content=content, headers={**headers, **added})

    def file(self, name: str) -> str:
        return f"/{quote(self.key)}/{name}"


@pytest.fixture
def namespace(http, catalog: LiveCatalog) -> str:
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    return f"{catalog.base}/namespaces/ns"


@pytest.fixture
def table(server, http, namespace) -> SignedTable:
    return create(http, namespace, server.store.region)


def create(http, namespace, region="us-east-1", name="t", headers=SIGNING, **body):
    body = {"name": name, "schema": SCHEMA, **body}
    made = http.post(f"{namespace}/tables", json=body, headers=headers)
    assert made.status_code == 200, made.text
    return SignedTable(http, made.json(), region)


def error_of(answer):
    return answer.status_code, answer.json()["error"]["type"]


def test_a_client_that_accepts_signing_is_told_where_and_gets_no_credentials(http, catalog, table):
    endpoint = f"v1/{catalog.id}/namespaces/ns/tables/t/sign"
    store = {
        name: table.config[name]
        for name in ("client.region", "s3.region", "s3.endpoint", "s3.path-style-access")
    }
    expected = {
        **store,
        "s3.remote-signing-enabled": "true",
        "s3.signer": "S3V4RestSigner",
        "s3.signer.endpoint": endpoint,
        "signer.endpoint": endpoint,
        "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
    }
    marker = table.config.pop("s3.session-token")
    assert marker.startswith("none-")  # no token: it keeps PyIceberg's tables apart
    assert table.config == expected
    loaded = http.get(f"{catalog.base}/namespaces/ns/tables/t", headers=SIGNING).json()
    assert loaded["config"] == {**expected, "s3.session-token": marker}
    assert "storage-credentials" not in loaded


def test_where_credentials_can_be_vended_they_are_preferred(http, namespace, table):
    config = http.get(f"{namespace}/tables/t", headers=BOTH).json()["config"]
    assert "s3.session-token" in config
    assert "s3.signer" not in config


def test_each_way_to_the_files_has_an_etag_of_its_own(http, namespace, table):
    tags = [
        http.get(f"{namespace}/tables/t", headers=headers).headers["ETag"]
        for headers in ({}, BOTH, SIGNING)
    ]
    assert len(set(tags)) == 3


def test_a_file_is_written_read_in_part_listed_and_deleted(table):
    path = table.file("data/a%20b%2B%C3%A9.bin")
    assert table.send("PUT", path, b"0123456789").status_code == 200
    assert table.send("HEAD", path).headers["content-length"] == "10"
    assert table.send("GET", path, Range="bytes=2-4").content == b"234"
    prefix = quote(f"{table.key}/data/", safe="")
    listed = table.send("GET", f"?list-type=2&prefix={prefix}&max-keys=10")
    keys = [
        element.text for element in ET.fromstring(listed.content).iter() if "Key" in element.tag
    ]
    assert f"{table.key}/data/a b+é.bin" in keys
    assert table.send("DELETE", path).status_code == 204
    assert table.send("GET", path).status_code == 404


def test_a_large_file_is_uploaded_in_parts(table):
    path = table.file("data/big.bin")
    started = ET.fromstring(table.send("POST", f"{path}?uploads").content)
    [upload] = [element.text for element in started if element.tag.endswith("UploadId")]
    parts = [b"a" * 5 * 1024 * 1024, b"b"]
    tags = [
        table.send("PUT", f"{path}?partNumber={number}&uploadId={upload}", part).headers["etag"]
        for number, part in enumerate(parts, start=1)
    ]
    listed = table.send("GET", f"{path}?uploadId={upload}")
    assert listed.status_code == 200
    done = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
        for number, tag in enumerate(tags, start=1)
    )
    body = f"<CompleteMultipartUpload>{done}</CompleteMultipartUpload>".encode()
    assert table.send("POST", f"{path}?uploadId={upload}", body).status_code == 200
    assert table.send("HEAD", path).headers["content-length"] == str(len(b"".join(parts)))


def deleting(*keys: str) -> str:
    return f"<Delete>{''.join(f'<Object><Key>{key}</Key></Object>' for key in keys)}</Delete>"


def test_many_files_are_deleted_at_once(table):
    names = ["data/a", "data/b"]
    for name in names:
        table.send("PUT", table.file(name), b"x")
    body = deleting(*(f"{table.key}/{name}" for name in names))
    answer = table.send("POST", "?delete", body.encode(), body=body)
    assert answer.status_code == 200, answer.text
    assert [table.send("HEAD", table.file(name)).status_code for name in names] == [404, 404]


def test_a_delete_whose_body_is_swapped_for_another_still_ends_at_the_table(http, namespace, table):
    """This store does not look at the hash that was signed; the session that signs is the wall."""
    other = create(http, namespace, name="other")
    other.send("PUT", other.file("data/x"), b"x")
    shown, sent = deleting(f"{table.key}/data/x"), deleting(f"{other.key}/data/x")
    answer = table.send("POST", "?delete", sent.encode(), body=shown)
    assert answer.status_code >= 400 or "AccessDenied" in answer.text
    assert other.send("GET", other.file("data/x")).content == b"x"


def test_another_table_is_out_of_reach_even_one_with_a_name_that_begins_the_same(
    http, namespace, table
):
    other = create(http, namespace, name="t0")
    for method in ("GET", "PUT", "DELETE"):
        answer = table.ask(method, other.bucket_url + other.file("data/x"))
        assert error_of(answer) == (403, "ForbiddenException")
        assert "not a file of this table" in answer.json()["error"]["message"]
    listing = f"?list-type=2&prefix={quote(other.key, safe='')}%2F"
    assert error_of(table.ask("GET", other.bucket_url + listing))[0] == 403


def test_even_a_request_that_tricks_the_store_ends_at_the_table(http, namespace, table):
    """The identity that signs is of this table alone, so a copy slipped in later cannot read on."""
    other = create(http, namespace, name="secret")
    other.send("PUT", other.file("data/x"), b"secret")
    url = table.bucket_url + table.file("data/copy")
    added = table.ask("PUT", url).json()["headers"]
    headers = {name: texts[0] for name, texts in added.items()}
    source = f"/lake/{other.key}/data/x"
    answer = httpx2.put(url, headers={**headers, "x-amz-copy-source": source})
    assert answer.status_code == 403
    assert table.send("GET", table.file("data/copy")).status_code == 404


def test_who_may_only_read_gets_reads_signed_and_no_writes(server, table):
    table.send("PUT", table.file("data/a"), b"x")
    with server.http() as admin:
        key = admin.post("/api/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()
    with server.http(f"{key['client_id']}:{key['client_secret']}") as http:
        reader = replace(table, http=http)
        assert reader.send("GET", table.file("data/a")).content == b"x"
        for method in ("PUT", "DELETE"):
            answer = reader.ask(method, table.bucket_url + table.file("data/a"))
            assert error_of(answer) == (403, "ForbiddenException")


def test_only_reads_may_be_signed_once_and_used_again(server, table):
    """Java keeps headers in a case-sensitive map, and signatures of 30 s by exactly this one."""
    found = {}
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        connection = plain.HTTPConnection(server.url.removeprefix("http://"))
        body = {
            "method": method,
            "region": table.region,
            "uri": table.bucket_url + table.file("a"),
            "headers": {},
            "provider": "s3",
            "properties": {},
        }
        connection.request(
            "POST",
            table.endpoint,
            body=str(body).replace("'", '"'),
            headers={
                "Authorization": table.http.headers["Authorization"],
                "Content-Type": "application/json",
            },
        )
        headers = dict(connection.getresponse().getheaders())
        connection.close()
        found[method] = headers.get("Cache-Control")
    assert found == {"GET": "private", "HEAD": "private", "PUT": "no-cache", "DELETE": "no-cache"}


@pytest.mark.parametrize(
    "change",
    [
        {"method": "CONNECT"},
        {"method": None},
        {"uri": 1},
        {"region": ""},
        {"headers": []},
        {"headers": {"a": "b"}},
        {"headers": {"a": [1]}},
        {"body": {}},
        {"provider": "gcs"},
    ],
)
def test_a_malformed_request_is_told_so(table, change):
    url = table.bucket_url + table.file("a")
    body = {"method": "GET", "region": table.region, "uri": url, "headers": {}, **change}
    answer = table.http.post(table.endpoint, json=body)
    assert error_of(answer) == (400, "BadRequestException")


def test_a_table_that_is_not_there_signs_nothing(http, namespace, table):
    http.delete(f"{namespace}/tables/t")
    answer = table.ask("GET", table.bucket_url + table.file("a"))
    assert error_of(answer) == (404, "NoSuchTableException")


def test_nobody_signs_without_a_credential(server, table):
    with httpx2.Client(base_url=server.url) as stranger:
        answer = replace(table, http=stranger).ask("GET", table.bucket_url + table.file("a"))
    assert error_of(answer) == (401, "NotAuthorizedException")


def test_the_path_without_a_table_names_the_way_out(http):
    body = {"method": "GET", "region": "r", "uri": "https://x/y", "headers": {}}
    answer = http.post("/catalog/v1/aws/s3/sign", json=body)
    assert error_of(answer) == (400, "BadRequestException")
    assert "s3.signer.endpoint" in answer.json()["error"]["message"]


def test_the_files_of_a_staged_table_are_signed_before_it_is_there(server, http, namespace):
    staged = create(http, namespace, **{"stage-create": True})
    assert "?staged=" in staged.endpoint
    assert staged.send("PUT", staged.file("data/a"), b"x").status_code == 200
    assert http.head(f"{namespace}/tables/t").status_code == 404
    elsewhere = replace(staged, loaded={**staged.loaded})
    moved = staged.endpoint.replace("/tables/t/", "/tables/u/")
    elsewhere.config["s3.signer.endpoint"] = moved.removeprefix("/catalog/")
    refused = elsewhere.ask("PUT", staged.bucket_url + staged.file("data/a"))
    assert error_of(refused) == (403, "ForbiddenException")


def namespace_on_a_bucket_by_keys(server, http, endpoint, *, requester_pays=False) -> str:
    """A namespace in a catalog on a bucket of its own, which the server reaches by access keys."""
    unique = uuid4().hex[:8]
    server.store.create_bucket(f"bucket-{unique}")
    keys = server.store.admin_keys
    integration = {
        "name": f"integration {unique}",
        "path": f"s3://bucket-{unique}",
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key.reveal(),
        "endpoint": endpoint,
        "path_style": True,
        "requester_pays": requester_pays,
    }
    made = http.post("/api/v1/integrations", json=integration)
    assert made.status_code == 201, made.text
    catalog = {"name": f"catalog {unique}", "integration": integration["name"]}
    made = http.post("/api/v1/catalogs", json=catalog)
    assert made.status_code == 201, made.text
    base = f"/catalog/v1/{made.json()['id']}/namespaces"
    http.post(base, json={"namespace": ["ns"]})
    return f"{base}/ns"


def test_a_store_without_a_token_service_is_reached_by_signing_or_not_at_all(server, http):
    with faulty(server.store.endpoint) as proxy:
        namespace = namespace_on_a_bucket_by_keys(server, http, proxy.endpoint)
        proxy.faults.append(NO_TOKEN_SERVICE)
        table = create(http, namespace, headers=BOTH)
        assert table.config["s3.remote-signing-enabled"] == "true"
        assert table.send("PUT", table.file("data/a"), b"x").status_code == 200
        assert table.send("GET", table.file("data/a")).content == b"x"

        # Such a store cannot hold a swapped body to the table, so none is signed for it.
        body = deleting(f"{table.key}/data/a")
        assert error_of(table.ask("POST", f"{table.bucket_url}?delete", body))[0] == 403

        vended = http.get(f"{namespace}/tables/t", headers={HEADER: "vended-credentials"})
        assert error_of(vended) == (400, "BadRequestException")
        assert "remote-signing" in vended.json()["error"]["message"]
        assert error_of(http.get(f"{namespace}/tables/t/credentials"))[0] == 400
        assert http.get(f"{namespace}/tables/t").status_code == 200
        assert proxy.seen["POST"] == 1


def test_where_the_requester_pays_the_signer_says_so_for_the_client(server, http):
    with faulty(server.store.endpoint) as proxy:
        namespace = namespace_on_a_bucket_by_keys(server, http, proxy.endpoint, requester_pays=True)
        proxy.faults.append(NO_TOKEN_SERVICE)
        table = create(http, namespace, headers=BOTH)
        headers = table.ask("GET", table.bucket_url + table.file("a")).json()["headers"]
        assert headers["x-amz-request-payer"] == ["requester"]
        assert "x-amz-request-payer" in headers["Authorization"][0]
        assert table.send("PUT", table.file("data/a"), b"x").status_code == 200
        assert table.send("GET", table.file("data/a")).content == b"x"


def test_the_session_that_signs_is_never_the_integrations_own_where_it_can_be_narrowed(
    server, http
):
    namespace = namespace_on_a_bucket_by_keys(server, http, server.store.endpoint)
    table = create(http, namespace)
    headers = table.ask("GET", table.bucket_url + table.file("a")).json()["headers"]
    assert headers["X-Amz-Security-Token"]
    assert server.store.admin_keys.access_key_id not in headers["Authorization"][0]
