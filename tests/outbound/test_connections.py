"""What was checked is what is connected to, at every connection, and no answer goes on for ever."""

import ssl
import time

import pytest
import urllib3

from graticule.domain.errors import Unavailable
from graticule.outbound.connections import pinned_pools
from graticule.outbound.fetch import Fetcher
from graticule.outbound.gate import ANYWHERE, PUBLIC_ONLY, AddressRefused, Outbound
from graticule.outbound.policy import OutboundPolicy
from support.endpoints import answering, floods, resolving, says, trickles

OPEN = OutboundPolicy(allow_private=True)
LOOPBACK_ONLY = OutboundPolicy.parse("127.0.0.0/8")


def pools_of(outbound, **options):
    pools = urllib3.PoolManager(retries=False, timeout=5)
    pools.pool_classes_by_scheme = dict(pinned_pools(outbound, **options))
    return pools


def test_the_address_that_was_checked_is_connected_to_under_the_hosts_own_name():
    with answering(says(200, body=b"hello")) as endpoint:
        outbound = Outbound(LOOPBACK_ONLY, resolve=resolving(["127.0.0.1"]))

        answer = pools_of(outbound).request("GET", f"http://nowhere.invalid:{endpoint.port}/key")

        assert answer.data == b"hello"
        assert f"Host: nowhere.invalid:{endpoint.port}".encode() in endpoint.heads[0]


def test_a_name_that_turns_to_loopback_after_it_was_checked_is_refused_at_the_connection():
    with answering(says(200, body=b"secret")) as endpoint:
        outbound = Outbound(OutboundPolicy(), resolve=resolving(["93.184.216.34"], ["127.0.0.1"]))
        url = f"https://rebinding.example:{endpoint.port}"
        assert outbound.check_endpoint(url) == url

        with pytest.raises(AddressRefused):
            pools_of(outbound).request("GET", url)

        assert endpoint.heads == []


def test_every_new_connection_is_checked_again():
    with answering(says(200)) as endpoint:
        outbound = Outbound(LOOPBACK_ONLY, resolve=resolving(["127.0.0.1"], ["10.0.0.1"]))
        pools = pools_of(outbound)
        url = f"http://rebinding.example:{endpoint.port}"

        assert pools.request("GET", url).status == 200  # and the peer closes the connection
        with pytest.raises(AddressRefused):
            pools.request("GET", url)


def test_one_look_up_serves_the_check_and_the_connection():
    asked = []

    def resolve(host, _port):
        asked.append(host)
        return ["127.0.0.1"]

    with answering(says(200)) as endpoint:
        pools_of(Outbound(LOOPBACK_ONLY, resolve=resolve)).request(
            "GET", f"http://once.invalid:{endpoint.port}"
        )

    assert asked == ["once.invalid"]


def test_the_next_address_is_tried_when_one_does_not_answer():
    with answering(says(200, body=b"second")) as endpoint:
        outbound = Outbound(LOOPBACK_ONLY, resolve=resolving(["127.9.9.9", "127.0.0.1"]))

        answer = pools_of(outbound).request("GET", f"http://two.invalid:{endpoint.port}")

    assert answer.data == b"second"


def test_tls_is_made_with_the_name_not_with_the_address():
    with answering(says(200)) as endpoint:
        context = ssl.create_default_context()
        pools = pools_of(Outbound(LOOPBACK_ONLY, resolve=resolving(["127.0.0.1"])))
        pools.connection_pool_kw["ssl_context"] = context
        seen = []
        wrap = context.wrap_socket

        def spy(sock, **options):
            seen.append((options["server_hostname"], sock.getpeername()[0]))
            return wrap(sock, **options)

        context.wrap_socket = spy
        with pytest.raises(urllib3.exceptions.HTTPError):
            pools.request("GET", f"https://named.invalid:{endpoint.port}", timeout=0.3)

    assert seen == [("named.invalid", "127.0.0.1")]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow:",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["status", "headers", "header", "body", "endless body"],
)
def test_a_peer_that_trickles_is_cut_off_wherever_it_is(head):
    with answering(trickles(head)) as endpoint:
        fetcher = Fetcher(ANYWHERE, read_timeout_s=5, response_patience_s=0.4)
        started = time.monotonic()

        with pytest.raises(Unavailable, match="no usable answer"):
            fetcher.request("GET", endpoint.url)

        assert time.monotonic() - started < 3


def test_an_answer_that_never_ends_is_not_kept():
    with answering(floods(b"HTTP/1.1 200 OK\r\n\r\n")) as endpoint, pytest.raises(Unavailable):
        Fetcher(ANYWHERE, body_bytes_max=100_000).request("GET", endpoint.url)
    with answering(floods(b"HTTP/1.1 200 OK\r\nX: ")) as endpoint, pytest.raises(Unavailable):
        Fetcher(ANYWHERE, body_bytes_max=100_000).request("GET", endpoint.url)


def test_a_slow_answer_that_keeps_coming_is_read_to_its_end():
    body = b"x" * 300_000

    def slowly(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n")
        for at in range(0, len(body), 50_000):
            connection.sendall(body[at : at + 50_000])
            time.sleep(0.1)

    with answering(slowly) as endpoint:
        # 0.6 s long with a patience of 0.3 s: its bytes earn it the rest.
        fetched = Fetcher(ANYWHERE, response_patience_s=0.3).request("GET", endpoint.url)

    assert fetched.body == body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_its_target_hears_nothing(status):
    with (
        answering(says(200, body=b"internal")) as target,
        answering(says(status, f"Location: {target.url}/", body=b"moved")) as endpoint,
    ):
        fetched = Fetcher(ANYWHERE).request(
            "GET", endpoint.url, headers={"Authorization": "Bearer secret"}
        )

        assert (fetched.status, fetched.body) == (status, b"moved")
        assert target.heads == []


def test_the_proxy_of_the_environment_is_not_used(monkeypatch):
    with answering(says(200, body=b"proxied")) as proxy, answering(says(200)) as endpoint:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)

        assert Fetcher(ANYWHERE).request("GET", endpoint.url).body == b""
        assert proxy.heads == []


def test_what_may_not_be_fetched_is_not_and_says_how_to_open_it():
    with answering(says(200)) as endpoint:
        with pytest.raises(Unavailable, match="GRATICULE_ALLOWED_ENDPOINTS"):
            Fetcher(PUBLIC_ONLY).request("GET", endpoint.url)
        assert endpoint.heads == []


def test_a_body_is_sent_and_the_answers_body_is_given_as_it_is():
    with answering(says(201, "Content-Encoding: gzip", body=b"{}")) as endpoint:
        fetched = Fetcher(ANYWHERE).request(
            "POST", f"{endpoint.url}/hook?x=1", body=b"{}", headers={"X-Signature": "s"}
        )

    assert (fetched.status, fetched.body) == (201, b"{}")
    assert endpoint.heads[0].startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert b"X-Signature: s" in endpoint.heads[0]
