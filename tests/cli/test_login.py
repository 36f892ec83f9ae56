"""`graticule login` and its kin: signed in through a browser, kept for the owner only."""

import json
import re
import stat

import pytest
from typer.testing import CliRunner

from graticule.cli import login as login_module
from graticule.cli.client import ManagementApi
from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.main import app


@pytest.fixture
def run(server, monkeypatch, tmp_path):
    """Runs a command with a home of its own and nothing in the environment."""
    for name in ("GRATICULE_URL", "GRATICULE_CREDENTIAL", "GRATICULE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    def invoke(*arguments, stdin=None):
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return invoke


@pytest.fixture
def file(tmp_path):
    return tmp_path / "graticule" / "credentials.json"


def me_of(result):
    assert result.exit_code == 0, result.output + repr(result.exception)
    return json.loads(result.stdout)


def test_a_command_line_is_signed_in_by_a_browser_and_signed_out(
    server, http, run, file, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _s: None)
    codes = []
    start_device = ManagementApi.start_device

    def approved(api, name):
        started = start_device(api, name)
        codes.append(started["user_code"])
        answer = http.post(f"/api/v1/device/{started['user_code']}", json={"approve": True})
        assert answer.status_code == 204
        return started

    monkeypatch.setattr(ManagementApi, "start_device", approved)
    result = run("login", server.url)

    assert result.exit_code == 0, result.output + repr(result.exception)
    assert codes[0] in result.stderr
    assert f"{server.url}/auth/device?code={codes[0]}" in result.stderr
    assert f"Signed in to {server.url} as admin" in result.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    me = me_of(run("whoami"))
    assert me["name"] == "admin"
    [key] = [k for k in json.loads(run("token", "list").stdout) if k["client_id"] == me["key_id"]]
    assert re.match("signed in: command line on ", key["name"])

    assert run("logout").exit_code == 0
    refused = run("whoami").exception
    assert isinstance(refused, CommandFailure)
    assert json.loads(file.read_text()) == {"current": None, "servers": {}}
    again = [
        k
        for k in http.get("/api/v1/keys?limit=1000").json()["items"]
        if k["client_id"] == me["key_id"]
    ]
    assert again[0]["revoked_at"] is not None
    assert run("logout").exception.exit_code is ExitCode.NOT_FOUND


def test_a_refusal_in_the_browser_ends_the_wait(server, http, run, file, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _s: None)
    start_device = ManagementApi.start_device

    def refused(api, name):
        started = start_device(api, name)
        http.post(f"/api/v1/device/{started['user_code']}", json={"approve": False})
        return started

    monkeypatch.setattr(ManagementApi, "start_device", refused)
    result = run("login", server.url)

    assert result.exception.message == "this device was refused"
    assert not file.exists()


def test_a_credential_from_stdin_is_tried_and_kept(server, run, file):
    wrong = run("login", server.url, "--with-credential", stdin="gk_x:gs_x\n")
    assert wrong.exception.exit_code is ExitCode.NOT_ALLOWED
    assert not file.exists()
    kept = run("login", server.url, "--with-credential", stdin=f"{server.key.credential}\n")
    assert server.key.credential not in kept.output
    assert me_of(run("whoami"))["name"] == "admin"


def test_what_is_kept_for_one_server_goes_to_no_other(server, run, file, monkeypatch):
    run("login", server.url, "--with-credential", stdin=f"{server.key.credential}\n")
    seen = []
    monkeypatch.setattr(
        ManagementApi, "__init__", lambda self, url, **options: seen.append((url, options))
    )
    monkeypatch.setenv("GRATICULE_URL", "http://other.example")
    ManagementApi.from_environment()
    monkeypatch.delenv("GRATICULE_URL")
    monkeypatch.setenv("GRATICULE_TOKEN", "t")
    ManagementApi.from_environment()
    assert seen == [
        ("http://other.example", {"token": None, "credential": None}),
        ("http://127.0.0.1:8181", {"token": "t", "credential": None}),
    ]


def test_a_damaged_file_is_named(run, file):
    file.parent.mkdir()
    file.write_text("{")
    damaged = run("whoami").exception
    assert damaged.message == f"`{file}` is damaged"


def test_the_device_waits_longer_when_it_is_told_to(monkeypatch):
    answers = iter([(None, False), (None, True), (None, False), ("gk_a.gs_b", False)])
    pauses = []

    class Api:
        def start_device(self, name):
            return {
                "device_code": "c",
                "user_code": "U",
                "verification_uri_complete": "https://x",
                "expires_in": 900,
                "interval": 5,
            }

        def poll_device(self, code):
            return next(answers)

    assert login_module._by_device(Api(), opens_browser=False, pause=pauses.append) == "gk_a:gs_b"
    assert pauses == [5, 5, 10, 10]
