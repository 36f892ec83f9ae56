import asyncio
import io
import json
import logging
import re
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from graticule import logs
from graticule.access.tokens import issue, new_key
from graticule.api.middleware import RequestContext
from graticule.domain.secret import Secret

NEW = new_key()
JWT = issue("gk_a", frozenset(), now_ms=0, lifetime_s=60, key=b"k" * 32)


@pytest.fixture
def written(logs_restored):
    """Configures logging as in production; gives a function that returns the events so far."""
    stream = io.StringIO()
    logs.configure(log_format="json", level="info", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_with_its_fields_and_request_id(written):
    with logs.request_id_bound("r-1"):
        structlog.get_logger("graticule.x").info("table committed", table="osm.roads", attempts=2)

    (event,) = written()
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "table committed",
        "level": "info",
        "logger": "graticule.x",
        "table": "osm.roads",
        "attempts": 2,
        "request_id": "r-1",
    }


def test_the_standard_librarys_events_take_the_same_way(written):
    coloured = {"color_message": "Started on \x1b[1m%s"}
    logging.getLogger("uvicorn.error").info(
        "Started on %s", "http://127.0.0.1:8181", extra=coloured
    )
    logging.getLogger("uvicorn.access").info("GET /?X-Amz-Signature=abc")
    logging.getLogger("botocore").info("a canonical request")

    (event,) = written()
    del event["timestamp"]
    assert event == {
        "event": "Started on http://127.0.0.1:8181",
        "level": "info",
        "logger": "uvicorn.error",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"secret_access_key": "hunter2"},
        {"authorization": "Bearer hunter2"},
        {"session_token": "hunter2"},
        {"db_password": "hunter2"},
        {"key": Secret("hunter2")},
        {"headers": {"Authorization": "Bearer hunter2"}},
        {"answers": [{"config": {"s3.secret-access-key": "hunter2"}}]},
        {"url": "postgresql://ana:hunter2@db/graticule"},
        {"url": "https://b/k?X-Amz-Security-Token=hunter2&x=1"},
        {"note": f"key {NEW.client_secret.reveal()} hunter"},
        {"note": f"token {JWT}"},
        {"note": "key AKIAABCDEFGHIJKLMNOP"},
    ],
)
def test_secrets_are_taken_out_by_name_and_by_look(written, fields):
    structlog.get_logger().info("something happened", **fields)
    logging.getLogger("x").warning("%s", fields)

    text = json.dumps(written()[0])
    for secret in ("hunter2", NEW.client_secret.reveal(), JWT, "AKIAABCDEFGHIJKLMNOP"):
        assert secret not in text
    assert "***" in text


def test_a_traceback_is_searched_for_secrets_too(written):
    def fail():
        raise ValueError(f"bad token {JWT}")

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("request failed")

    (event,) = written()
    assert "ValueError: bad token ***" in event["exception"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_no_value_breaks_the_redaction(value):
    logs.redact(None, "info", {"event": "x", "value": value})


async def _refuse(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 404})
    await send({"type": "http.response.body"})


def _request(path, *, request_id=b"r-1"):
    async def receive():
        return {"type": "http.request"}

    async def send(_message):
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"x-request-id", request_id)],
        "client": ("10.0.0.7", 1),
    }
    asyncio.run(RequestContext(_refuse)(scope, receive, send))


def test_a_request_is_one_line(written):
    _request("/nowhere")

    (event,) = written()
    assert datetime.fromisoformat(event.pop("timestamp")).tzinfo is UTC
    assert event.pop("ms") >= 0
    assert event == {
        "event": "request answered",
        "level": "info",
        "logger": "graticule.access",
        "method": "GET",
        "route": "/nowhere",
        "status": 404,
        "client": "10.0.0.7",
        "principal": "",
        "request_id": "r-1",
    }


def test_a_request_is_written_for_people_too(logs_restored):
    stream = io.StringIO()
    logs.configure(log_format="console", level="info", stream=stream)
    _request("/a\nb")

    (line,) = stream.getvalue().splitlines()
    assert re.fullmatch(
        r"\S+Z \[info     \] request answered +\[graticule\.access\] method=GET route='/a\\nb' "
        r"status=404 ms=\S+ client=10\.0\.0\.7 principal= request_id=r-1",
        line,
    )


@pytest.mark.parametrize(
    "secret",
    [NEW.client_secret.reveal(), JWT, "AKIAABCDEFGHIJKLMNOP"],
    ids=["API key", "JWT", "access key"],
)
def test_no_path_or_request_id_brings_a_secret_into_the_line_of_a_request(written, secret):
    _request(f"/catalog/{secret}", request_id=secret.encode())

    text = json.dumps(written())
    assert secret not in text
    assert "***" in text


def test_below_the_level_nothing_is_written(written):
    structlog.get_logger().debug("noise")

    assert written() == []
