"""Secrets go in and never come out: in no answer, no error and no log, however talkative."""

import io
import logging

import pytest

from graticule import logs
from graticule.domain.catalog import AccessKeys
from graticule.domain.secret import Secret
from support.faults import LosesAnswer, faulty

SECRET = "wJalrXUtnFEMI+K7MDENG/bPxRfiCYEXAMPLEKEY"
TALKATIVE = ("botocore", "urllib3", "boto3")


@pytest.fixture
def log(logs_restored):
    """Everything that is logged, with the libraries at their most talkative."""
    stream = io.StringIO()
    logs.configure(log_format="json", level="debug", stream=stream)
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield stream
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_no_answer_and_no_log_line_holds_a_secret(server, http, connect_folder, log):
    good = server.store.admin_keys
    answers = []

    def said(answer):
        answers.append(answer.text)
        return answer

    with faulty(server.store.endpoint) as proxy:
        folder = connect_folder(
            role_arn=...,
            access_key_id=good.access_key_id,
            secret_access_key=SECRET,
            endpoint=proxy.endpoint,
        )
        said(http.get(folder.api))
        said(http.get("/api/v1/integrations"))
        said(http.post(f"{folder.api}/verify", json={}))
        assert said(http.get(f"{folder.api}/objects")).status_code == 403
        rotation = {
            "access_key_id": good.access_key_id,
            "secret_access_key": good.secret_access_key.reveal(),
        }
        assert said(http.post(f"{folder.api}/rotate", json=rotation)).status_code in {200, 400}
        forced = {**rotation, "force": True}
        assert said(http.post(f"{folder.api}/rotate", json=forced)).status_code == 200
        folder.put("f", b"f")
        assert said(http.get(f"{folder.api}/objects")).status_code == 200
        proxy.faults += [LosesAnswer("GET")] * 3
        assert said(http.get(f"{folder.api}/objects/content?path=f")).status_code == 503
        said(http.patch(folder.api, json={"secret_access_key": SECRET}))
        said(http.post("/api/v1/integrations", json={**rotation, "name": 5, "path": SECRET}))
        link = http.post(f"{folder.api}/objects/link", json={"path": "f"})
        assert link.status_code == 200

    written = log.getvalue()
    assert "integration keys rotated" in written
    assert "botocore" in written, "the libraries were to be talkative"
    for secret in (SECRET, good.secret_access_key.reveal()):
        assert not any(secret in answer for answer in answers)
        assert secret not in written
        assert secret not in link.text
    tokens = [part for part in link.text.split("X-Amz-") if part.startswith("Security-Token=")]
    for token in tokens:
        assert token.removeprefix("Security-Token=").rstrip("&") not in written


def test_a_secret_in_a_traceback_or_a_repr_is_hidden(log):
    keys = AccessKeys("AKIAIOSFODNN7EXAMPLE", Secret(SECRET))

    def fail():
        raise RuntimeError(f"could not use {keys}, secret_access_key={SECRET}")

    try:
        fail()
    except RuntimeError:
        logging.getLogger("graticule.test").exception("failed with %r", keys)

    assert SECRET not in log.getvalue()
    assert "AKIAIOSFODNN7EXAMPLE" not in log.getvalue()
    assert "RuntimeError" in log.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        f"<SecretAccessKey>{SECRET}</SecretAccessKey>",
        f'{{"SecretAccessKey": "{SECRET}"}}',
        f"{{'SecretAccessKey': '{SECRET}', 'SessionToken': '{SECRET}'}}",
        f"aws_secret_access_key={SECRET}",
        f"x-amz-security-token:{SECRET}",
        f"{{'X-Amz-Security-Token': b'{SECRET}'}}",
        f"https://s3.example.org/k?X-Amz-Security-Token={SECRET}&X-Amz-Expires=1",
    ],
)
def test_secrets_as_libraries_print_them_are_hidden(log, line):
    logging.getLogger("botocore.parsers").debug("Response body:\n%s", line)

    assert SECRET not in log.getvalue()
