"""A user-supplied endpoint gets what it was checked for: no other host, no other address, no time.

The name service is the only stand-in; stores and token services that misbehave are real servers.
"""

import time

import pytest

from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import CatalogError, StorageRefused, StorageUnavailable
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound import connections
from graticule.outbound.gate import ANYWHERE, PUBLIC_ONLY, Outbound
from graticule.outbound.policy import OutboundPolicy
from graticule.storage import clients, guarded_session, s3_requests
from graticule.storage import connections as storage_connections
from graticule.storage.keys import TemporaryCredentials
from graticule.storage.s3 import ObjectStore
from graticule.storage.sts import TokenService
from support.endpoints import answering, floods, resolving, says, trickles

KEYS = AccessKeys("AKIDUSER", Secret("user-secret"))
SESSION = TemporaryCredentials("ASIASESSION", Secret("secret"), Secret("session-token"), 0)
LOOPBACK_ONLY = OutboundPolicy.parse("127.0.0.0/8")


def get(endpoint, outbound, *, path_style=True, **options):
    store = ObjectStore(
        Location("lake", ""),
        region="us-east-1",
        endpoint=endpoint,
        path_style=path_style,
        credentials=lambda: SESSION,
        outbound=outbound,
        **options,
    )
    return store.get("s3://lake/key")


def list_bucket(endpoint, outbound, **options):
    store = ObjectStore(
        Location("lake", ""),
        region="us-east-1",
        endpoint=endpoint,
        path_style=True,
        credentials=lambda: SESSION,
        outbound=outbound,
        **options,
    )
    return next(store.list(Location("lake", "")))


def assume(endpoint, outbound, **options):
    service = TokenService(
        KEYS, region="us-east-1", endpoint=endpoint, outbound=outbound, **options
    )
    return service.assume_role(
        "arn:aws:iam::123456789012:role/lake",
        session_name="test",
        external_id="organisation-1",
        policy=None,
        duration_s=900,
    )


def hosts_of(endpoint):
    """What the `Host` headers of the requests said."""
    lines = [line for head in endpoint.heads for line in head.decode().split("\r\n")]
    return {line.split(": ")[1] for line in lines if line.lower().startswith("host: ")}


ASKS = pytest.mark.parametrize("ask", [get, list_bucket, assume])


@ASKS
def test_code_that_was_told_nothing_reaches_no_private_endpoint(ask):
    with answering(says(200, body=b"hello")) as endpoint:
        with pytest.raises(StorageRefused, match="GRATICULE_ALLOWED_ENDPOINTS"):
            ask(endpoint.url, PUBLIC_ONLY)
        assert endpoint.heads == []


@ASKS
def test_a_rebinding_name_is_refused_when_it_is_connected_to(ask):
    with answering(says(200, body=b"hello")) as endpoint:
        outbound = Outbound(OutboundPolicy(), resolve=resolving(["93.184.216.34"], ["127.0.0.1"]))
        url = outbound.check_endpoint(f"https://rebinding.example:{endpoint.port}")

        with pytest.raises(StorageRefused, match="not on public addresses only"):
            ask(url, outbound)

        assert endpoint.heads == []


def test_the_host_of_a_bucket_is_checked_like_the_endpoint_it_belongs_to():
    """`bucket.endpoint` is another name, which leads wherever its owner likes."""

    def resolve(host, _port):
        return ["10.0.0.1"] if host.startswith("lake.") else ["127.0.0.1"]

    with answering(says(200, body=b"hello")) as endpoint:
        outbound = Outbound(LOOPBACK_ONLY, resolve=resolve)
        url = outbound.check_endpoint(f"http://store.example:{endpoint.port}")

        with pytest.raises(StorageRefused, match=r"`lake\.store\.example`"):
            get(url, outbound, path_style=False)


def test_the_request_names_the_host_and_goes_to_the_checked_address():
    with answering(says(200, 'ETag: "x"', body=b"hello")) as endpoint:
        outbound = Outbound(LOOPBACK_ONLY, resolve=resolving(["127.0.0.1"]))

        assert get(f"http://store.invalid:{endpoint.port}", outbound) == b"hello"
        assert hosts_of(endpoint) == {f"store.invalid:{endpoint.port}"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@ASKS
@pytest.mark.usefixtures("once")
def test_a_redirect_is_refused_and_no_credential_reaches_its_target(ask, status):
    with answering(says(200, body=b"internal")) as target:
        moved = (
            f"<Error><Code>PermanentRedirect</Code><Endpoint>127.0.0.1:{target.port}</Endpoint>"
            "<Bucket>lake</Bucket></Error>"
        )
        redirect = says(
            status,
            f"Location: {target.url}/lake/key",
            "x-amz-bucket-region: eu-west-1",
            body=moved.encode(),
        )
        with answering(redirect) as endpoint, pytest.raises(CatalogError):
            ask(endpoint.url, ANYWHERE)

        assert target.heads == []
        assert hosts_of(endpoint) == {f"127.0.0.1:{endpoint.port}"}


@ASKS
def test_proxies_endpoints_and_identities_of_the_environment_are_not_used(ask, monkeypatch):
    with answering(says(403)) as elsewhere, answering(says(403)) as endpoint:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        for name in (
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_STS",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ):
            monkeypatch.setenv(name, f"{elsewhere.url}/")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDAMBIENT")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient-secret")

        with pytest.raises(StorageRefused):
            ask(endpoint.url, ANYWHERE)

        assert elsewhere.heads == []
        assert endpoint.heads
        assert not any(b"AKIDAMBIENT" in head for head in endpoint.heads)


def test_nobody_stays_nobody_and_asks_no_metadata_service(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with answering(says(200, body=b"{}")) as metadata, answering(says(403)) as endpoint:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{metadata.url}/")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata.url}/")
        store = ObjectStore(
            Location("lake", ""),
            region="us-east-1",
            endpoint=endpoint.url,
            path_style=True,
            credentials=lambda: None,
            outbound=ANYWHERE,
        )

        with pytest.raises(StorageRefused):
            store.get("s3://lake/key")

        assert metadata.heads == []
        assert not any(b"Authorization" in head for head in endpoint.heads)


@pytest.fixture
def once(monkeypatch):
    """One attempt: what happens between attempts is only waiting."""
    monkeypatch.setattr(clients, "ATTEMPTS_MAX", 1)
    monkeypatch.setattr(s3_requests, "ATTEMPTS_MAX", 1)


@pytest.fixture
def impatient(monkeypatch, once):
    """The same limits, small enough for a test."""
    short = {"response_patience_s": 0.3}

    def pinned_pools(*args, **options):
        return connections.pinned_pools(*args, **options, **short)

    monkeypatch.setattr(guarded_session, "pinned_pools", pinned_pools)
    monkeypatch.setattr(storage_connections, "pinned_pools", pinned_pools)
    monkeypatch.setattr(guarded_session, "DOCUMENT_BYTES_MAX", 1_000_000)


HEADS = pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nX-Slow:",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 999999\r\n\r\n<Error>",
    ],
    ids=["status", "header", "body", "error"],
)


@HEADS
@ASKS
@pytest.mark.usefixtures("impatient")
def test_an_endpoint_that_trickles_is_given_up_in_bounded_time(ask, head):
    with answering(trickles(head, pause_s=0.02)) as endpoint:
        started = time.monotonic()

        with pytest.raises((StorageUnavailable, StorageRefused)):
            ask(endpoint.url, ANYWHERE, read_timeout_s=5)

        assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n<a>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n<a>",
        b"HTTP/1.1 403 Forbidden\r\n\r\n<Error>",
    ],
    ids=["endless", "huge", "endless error"],
)
@ASKS
@pytest.mark.usefixtures("impatient")
def test_an_answer_without_end_is_not_kept_in_memory(ask, head):
    with (
        answering(floods(head)) as endpoint,
        pytest.raises((StorageUnavailable, StorageRefused)),
    ):
        ask(endpoint.url, ANYWHERE)


@ASKS
def test_what_an_endpoint_says_is_told_only_as_a_short_line_of_printable_text(ask):
    body = (
        b"<Error><Code>Odd</Code><Message>\xc2\x9b31m" + b"leak " * 10_000 + b"</Message></Error>"
    )
    with answering(says(403, body=body)) as endpoint, pytest.raises(StorageRefused) as refused:
        ask(endpoint.url, ANYWHERE)

    assert len(refused.value.message) < 600
    assert refused.value.message.isprintable()
