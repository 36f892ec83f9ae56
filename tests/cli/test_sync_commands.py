"""`graticule sync`: when a catalog and its tables are kept in step, and who tells of changes."""

import json

import pytest
from typer.testing import CliRunner

from graticule.cli.failures import CommandFailure
from graticule.cli.main import app
from support.lake import cities

ARN = "arn:aws:sqs:us-east-1:000000000000:lake-events"


@pytest.fixture
def run(server, monkeypatch):
    """Runs `graticule sync` as the first admin; gives its JSON."""
    monkeypatch.setenv("GRATICULE_URL", server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", server.key.credential)
    monkeypatch.delenv("GRATICULE_TOKEN", raising=False)

    def invoke(*arguments, output="json"):
        result = CliRunner().invoke(app, ["sync", *arguments, "-o", output])
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout) if output == "json" else result.stdout

    return invoke


def test_a_catalog_and_its_tables_are_told_when_to_sync_and_how_much(raw, run):
    name = raw.catalog.id
    raw.put("cities/part-0.parquet", cities((1, 2.35, 48.86)))
    raw.register(raw.scan())
    kept = run("configure", name, "--cron", "0 3 * * 1-5", "--files", "500", "--find-tables")
    assert kept == run("settings", name)
    assert {name: kept[name] for name in ("cron", "files_max", "finds_tables", "queue")} == {
        "cron": "0 3 * * 1-5",
        "files_max": 500,
        "finds_tables": True,
        "queue": None,
    }
    assert (kept["deleted_percent_max"], kept["deleted_files_max"]) == (20, 10)
    table = ("--table", "found.cities")
    own = run("configure", name, *table, "--every", "10", "--deleted-percent", "100")
    assert own == run("settings", name, *table)
    assert (own["schedule"], own["interval_minutes"], own["deleted_percent_max"]) == (
        "own",
        10,
        100,
    )
    assert run("configure", name, *table, "--off")["schedule"] == "off"
    assert run("start", name)["tables"] == []
    [outcome] = run("start", name, *table)["tables"]
    assert (outcome["status"], outcome["remaining"]) == ("unchanged", 0)
    assert run("configure", name, *table)["schedule"] == "catalog"
    with pytest.raises(CommandFailure, match="--off is for a --table"):
        run("configure", name, "--off")
    with pytest.raises(CommandFailure, match="not for a --table"):
        run("configure", name, *table, "--find-tables")


def test_a_queue_is_named_shown_with_its_policies_and_removed(raw, run):
    name = raw.catalog.id
    put = run("queue", name, ARN)
    assert put["role_statements"][0]["Resource"] == ARN
    printed = run("queue", name, output="table")
    assert "The queue's own policy:" in printed
    assert "KMS" not in printed
    key = ARN.replace(":sqs:", ":kms:").replace("lake-events", "key/1234abcd")
    assert run("queue", name, ARN, "--kms-key", key)["kms_key_arn"] == key
    printed = run("queue", name, output="table")
    assert "Add to the policy of the queue's KMS key:" in printed
    assert '"kms:ViaService": "sqs.us-east-1.amazonaws.com"' in printed
    with pytest.raises(CommandFailure, match="--kms-key is for a queue"):
        run("queue", name, "--kms-key", key)
    assert '"aws:SourceArn": "arn:aws:s3:::lake"' in printed
    assert run("settings", name)["queue"]["arn"] == ARN
    CliRunner().invoke(app, ["sync", "queue", name, "--remove"], catch_exceptions=False)
    assert run("settings", name)["queue"] is None
