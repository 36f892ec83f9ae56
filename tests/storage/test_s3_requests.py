"""Requests go where AWS's own client would send them, and nowhere else."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from graticule.access.s3_urls import StoreAddress
from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import StorageUnavailable
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client
from graticule.storage.connections import connections_to
from graticule.storage.keys import TemporaryCredentials
from graticule.storage.s3_requests import S3Request, S3Requests

KEYS = AccessKeys("AKID", Secret("secret"))
SESSION = TemporaryCredentials("AKID", Secret("secret"), Secret("session token"), 0)


def requests(address, *, path_style=False, keys=KEYS):
    return S3Requests(
        address,
        path_style=path_style,
        credentials=lambda: keys,
        read_timeout_s=5,
        outbound=ANYWHERE,
    )


@pytest.mark.parametrize("key", ["a/b c+d=ü%.json", "//odd", "plain"])
@pytest.mark.parametrize("path_style", [True, False])
@pytest.mark.parametrize("bucket", ["lake", "lake.example.org", "Old_Lake"])
@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-central-1", None),
        ("us-west-2", None),
        ("us-gov-west-1", None),
        ("cn-north-1", None),
        ("us-east-1", "https://store.example.org"),
        ("us-east-1", "http://store:9000"),
    ],
)
def test_a_request_is_addressed_as_awss_own_client_addresses_it(
    region, endpoint, bucket, path_style, key
):
    client = s3_client(KEYS, region=region, endpoint=endpoint, path_style=path_style)
    theirs = urlsplit(
        client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    )

    ours = requests(StoreAddress(bucket, region, endpoint), path_style=path_style)
    target, headers = ours._signed(S3Request("GET", key))

    assert (headers["host"], target) == (theirs.netloc, theirs.path)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://[::1]:9000"])
def test_a_bucket_is_never_put_in_front_of_an_address(endpoint):
    target, headers = requests(StoreAddress("lake", "us-east-1", endpoint))._signed(
        S3Request("GET", "key")
    )

    assert (headers["host"], target) == (endpoint.removeprefix("http://"), "/lake/key")


def test_a_sessions_token_goes_along_and_is_signed():
    _, headers = requests(StoreAddress("lake", "us-east-1", None), keys=SESSION)._signed(
        S3Request("GET", "key")
    )

    assert headers["X-Amz-Security-Token"] == "session token"
    assert "x-amz-security-token" in headers["Authorization"]


def test_nobody_signs_nothing():
    _, headers = requests(StoreAddress("lake", "us-east-1", None), keys=None)._signed(
        S3Request("GET", "key")
    )

    assert headers == {"host": "lake.s3.us-east-1.amazonaws.com", "user-agent": "graticule"}


@pytest.mark.parametrize(("outbound", "proxy"), [(None, "http://127.0.0.1:9"), (ANYWHERE, None)])
def test_the_proxy_of_the_environment_is_for_the_way_to_aws(monkeypatch, outbound, proxy):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    found = connections_to("https://s3.us-east-1.amazonaws.com", outbound=outbound)

    assert (found.proxy and found.proxy.url) == proxy


def test_a_store_whose_certificate_nobody_vouches_for_hears_nothing(tmp_path):
    heard = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Listener)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path / "certificate.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        endpoint = f"https://localhost:{server.server_port}"
        with pytest.raises(StorageUnavailable, match="certificate verify failed"):
            requests(StoreAddress("lake", "us-east-1", endpoint), path_style=True).send(
                S3Request("GET", "key"), "reading", "s3://lake/key"
            )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert heard == []


def _self_signed(path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
