"""Jobs over HTTP and the command line: who sees which, what they say, how they are cancelled."""

import json

import pytest
from typer.testing import CliRunner
from uuid6 import uuid7

from graticule.cli.main import app
from graticule.db import jobs as jobs_db
from graticule.db.engine import write
from graticule.domain.job import Job, JobKind
from support.people import new_organisation

FAR_MS = 4_000_000_000_000


@pytest.fixture
def waiting(server, http):
    """A job of the first admin's organisation that nobody will begin before 2096."""
    me = http.get("/api/v1/me").json()
    job = Job(
        id=str(uuid7()),
        organisation_id=me["organisation_id"],
        kind=JobKind.CONVERT,
        subject_id=str(uuid7()),
        key=f"test {uuid7()}",
        parameters={"prefix": "s3://lake/raw"},
        requested_by="ana",
        created_at_ms=1_790_000_000_000,
        run_after_ms=FAR_MS,
    )
    with write(server.services.engine) as conn:
        return jobs_db.enqueue(conn, job)


def test_a_job_is_shown_listed_and_cancelled_once(http, waiting):
    shown = http.get(f"/api/v1/jobs/{waiting.id}")
    assert shown.status_code == 200, shown.text
    assert shown.json() == {
        "id": waiting.id,
        "kind": "convert",
        "subject_id": waiting.subject_id,
        "state": "queued",
        "cancelling": False,
        "parameters": {"prefix": "s3://lake/raw"},
        "progress": {},
        "result": None,
        "error": None,
        "attempts": 0,
        "worker": None,
        "requested_by": "ana",
        "created_at": "2026-09-21T14:13:20.000Z",
        "run_after": "2096-10-02T07:06:40.000Z",
        "finished_at": None,
    }
    asked = {"kind": "convert", "state": "queued", "subject": waiting.subject_id}
    assert http.get("/api/v1/jobs", params=asked).json() == {"items": [shown.json()], "next": None}

    cancelled = http.post(f"/api/v1/jobs/{waiting.id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert http.post(f"/api/v1/jobs/{waiting.id}/cancel").json() == cancelled.json()
    assert http.get("/api/v1/jobs", params=asked).json()["items"] == []
    events = http.get("/api/v1/audit", params={"subject": waiting.id}).json()["items"]
    assert [event["type"] for event in events] == ["job.cancelled"]


def test_a_job_of_another_organisation_is_not_there(server, http, waiting):
    stranger = new_organisation(server.services, f"o {uuid7()}")
    with server.http(stranger.credential) as theirs:
        assert theirs.get(f"/api/v1/jobs/{waiting.id}").status_code == 404
        assert theirs.post(f"/api/v1/jobs/{waiting.id}/cancel").status_code == 404
        assert theirs.get("/api/v1/jobs").json()["items"] == []
    assert http.get(f"/api/v1/jobs/{waiting.id}").json()["state"] == "queued"


@pytest.mark.parametrize("query", ["kind=nonsense", "state=nonsense"])
def test_a_kind_or_state_that_does_not_exist_is_refused_with_those_that_do(http, query):
    answer = http.get(f"/api/v1/jobs?{query}")
    assert answer.status_code == 400
    assert "must be one of" in answer.json()["detail"]


def test_jobs_that_wait_are_counted_by_kind(http, waiting):
    assert 'graticule_jobs{kind="convert",state="queued"}' in http.get("/metrics").text


def test_the_command_line_lists_shows_and_cancels(server, waiting, monkeypatch):
    monkeypatch.setenv("GRATICULE_URL", server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", server.key.credential)

    def run(*arguments):
        result = CliRunner().invoke(app, ["job", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    listed = json.loads(run("list", "--kind", "convert", "--state", "queued"))
    assert waiting.id in {job["id"] for job in listed}
    assert json.loads(run("show", waiting.id))["requested_by"] == "ana"
    run("cancel", waiting.id)
    assert json.loads(run("show", waiting.id))["state"] == "cancelled"
