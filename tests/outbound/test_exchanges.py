"""Requests over kept connections get whole answers or none, and never one that is not theirs."""

import socket
import threading
from contextlib import contextmanager

import pytest
import urllib3
from urllib3.exceptions import InvalidHeader, ProtocolError

from graticule.outbound.connections import pinned_pools
from graticule.outbound.exchanges import HEAD_BYTES_MAX, Exchanges
from graticule.outbound.gate import ANYWHERE, PUBLIC_ONLY, AddressRefused
from support.endpoints import answering, floods, says, trickles


def exchanges(port, *, outbound=ANYWHERE, patience_s=5.0):
    pools = urllib3.PoolManager(retries=False, timeout=5)
    pools.pool_classes_by_scheme = dict(pinned_pools(outbound, response_patience_s=patience_s))
    return Exchanges(pools.connection_from_url(f"http://127.0.0.1:{port}"))


def put(asked, body=b"body", **headers):
    return asked.exchange("PUT", "/key", {"host": "h", **headers}, body, body_bytes_max=1000)


@contextmanager
def keeping(*answers):
    """A server that gives these answers to the requests of one connection after another."""
    requests, connections = [], []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            said = iter(answers)
            while len(requests) < len(answers):
                connection, _ = listening.accept()
                connections.append(connection)
                with connection:
                    while received := connection.recv(65536):
                        requests.append(received)
                        answer = next(said)
                        connection.sendall(answer.removesuffix(b"<close>"))
                        if answer.endswith(b"<close>"):
                            break

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], requests, connections


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: v\r\n\r\nok"
CHUNKED = b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end<close>"
REFUSED = b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n"


def test_a_connection_is_used_again_whatever_its_answers_were():
    with keeping(OK, CHUNKED, CONTINUE + OK, REFUSED, OK) as (port, requests, connections):
        asked = exchanges(port)
        answers = [put(asked) for _ in range(5)]

    found = [(answer.status, dict(answer.headers), answer.body) for answer in answers]
    ok = (200, {"content-length": "2", "x-name": "v"}, b"ok")
    assert found == [
        ok,
        (201, {"transfer-encoding": "chunked"}, b"abc"),
        ok,
        (412, {"content-length": "0"}, b""),
        ok,
    ]
    assert len(connections) == 1
    assert set(requests) == {b"PUT /key HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody"}


@pytest.mark.parametrize("first", [UNTIL_CLOSED, OK + b"<close>"], ids=["announced", "silent"])
def test_a_connection_that_the_peer_closed_is_not_used_again(first):
    with keeping(first, OK) as (port, _, connections):
        asked = exchanges(port)
        assert put(asked).status == 200
        while not connections[0]._closed:
            pass
        assert put(asked).body == b"ok"

    assert len(connections) == 2


def test_an_answer_to_nothing_is_not_taken_for_the_next_one():
    with keeping(OK + REFUSED, OK) as (port, _, connections):
        asked = exchanges(port)
        assert [put(asked).status for _ in range(2)] == [200, 200]

    assert len(connections) == 2


@pytest.mark.parametrize(
    "answer",
    [b"<close>", b"HTTP/1.1 200 OK\r\nConte<close>", OK[:-1] + b"<close>", b"SSH-2.0\r\n\r\n"],
    ids=["nothing", "in the head", "in the body", "not HTTP"],
)
def test_half_an_answer_is_none(answer):
    with keeping(answer) as (port, _, _), pytest.raises(ProtocolError):
        put(exchanges(port))


def test_a_long_body_is_cut_off_and_a_long_head_refused():
    with answering(floods(b"HTTP/1.1 200 OK\r\n\r\n")) as endpoint:
        body = put(exchanges(endpoint.port)).body
        assert 1000 < len(body) <= 1000 + HEAD_BYTES_MAX + 64 * 1024
    with answering(floods(b"HTTP/1.1 200 OK\r\nX: ")) as endpoint, pytest.raises(ProtocolError):
        put(exchanges(endpoint.port))


def test_a_peer_that_trickles_is_cut_off():
    with answering(trickles(b"HTTP/1.1 200 OK\r\nX:")) as endpoint, pytest.raises(TimeoutError):
        put(exchanges(endpoint.port, patience_s=0.3))


def test_a_refusal_is_heard_although_the_peer_does_not_listen_to_the_end():
    with answering(says(503)) as endpoint:
        assert put(exchanges(endpoint.port), body=b"x" * 100).status == 503


def test_nothing_is_sent_to_an_address_that_is_not_permitted():
    with answering(says(200)) as endpoint:
        with pytest.raises(AddressRefused):
            put(exchanges(endpoint.port, outbound=PUBLIC_ONLY))
        assert endpoint.heads == []


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "\u20ac"])
def test_a_header_stays_in_its_line(value):
    with answering(says(200)) as endpoint:
        with pytest.raises(InvalidHeader):
            put(exchanges(endpoint.port), token=value)
        assert endpoint.heads == []
