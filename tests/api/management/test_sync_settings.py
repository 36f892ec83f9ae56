"""When tables are synced by themselves, and how much of them at once."""

import threading

import pytest
from sqlalchemy import update

from graticule.db import jobs as jobs_db
from graticule.db import syncs as syncs_db
from graticule.db.engine import write
from graticule.db.schema import sync_settings, table_sync_settings
from graticule.domain.sync import SyncTrigger
from support.lake import RawFolder, cities
from support.patience import until
from support.syncs import Syncs

TABLES = ("cities", "ports", "towns")


@pytest.fixture
def syncs(raw: RawFolder) -> Syncs:
    """Of three tables with a file each."""
    for number, name in enumerate(TABLES):
        raw.put(f"{name}/part-0.parquet", cities((number, number, 0)))
    raw.register(raw.scan())
    return Syncs(raw)


@pytest.fixture
def settings(raw):
    return f"/api/v1/catalogs/{raw.catalog.id}/sync-settings"


def of_table(raw, name):
    namespaces = f"/api/v1/catalogs/{raw.catalog.id}/namespaces"
    return f"{namespaces}/found/tables/{name}/sync-settings"


def put(raw, path, **body):
    answer = raw.http.put(path, json=body)
    assert answer.status_code == 200, answer.text
    assert raw.http.get(path).json() == answer.json()
    return answer.json()


def test_a_cron_expression_says_when_in_utc(raw, settings):
    kept = put(raw, settings, cron="30 4 1 * *", files_max=7)
    assert (kept["cron"], kept["interval_minutes"], kept["files_max"]) == ("30 4 1 * *", None, 7)
    assert kept["next_run_at"].endswith("-01T04:30:00.000Z")
    for body, why in (
        ({"cron": "30 4 1 *"}, "five fields"),
        ({"cron": "30 4 30 2 *"}, "cron"),
        ({"cron": "30 4 1 * *", "interval_minutes": 5}, "not both"),
    ):
        refused = raw.http.put(settings, json=body)
        assert (refused.status_code, why in refused.text) == (400, True), refused.text
    assert raw.http.get(settings).json() == kept


def test_a_table_has_a_time_of_its_own_or_none(raw, syncs, settings, server):
    put(raw, settings, cron="0 0 1 1 *")
    own = put(raw, of_table(raw, "cities"), schedule="own", interval_minutes=9)
    assert own["next_run_at"] is not None
    put(raw, of_table(raw, "ports"), schedule="off")
    for name in TABLES:
        raw.put(f"{name}/part-1.parquet", cities((9, 9, 0)))
    make_due(server, sync_settings)
    assert synced(syncs, 1) == ["towns"]
    make_due(server, table_sync_settings)
    assert synced(syncs, 2) == ["cities"]
    assert [each["table"] for each in syncs.run()["tables"]] == ["found.cities", "found.towns"]
    named = syncs.run(tables=["found.ports"])
    assert [each["status"] for each in named["tables"]] == ["committed"]
    again = put(raw, of_table(raw, "cities"))
    assert again == {
        "schedule": "catalog",
        "interval_minutes": None,
        "cron": None,
        "next_run_at": None,
        "deleted_percent_max": None,
        "deleted_files_max": None,
        "files_max": None,
    }
    for body in ({"schedule": "own"}, {"schedule": "off", "cron": "* * * * *"}):
        refused = raw.http.put(of_table(raw, "cities"), json=body)
        assert (refused.status_code, "`own`" in refused.text) == (400, True), refused.text


def make_due(server, schedule):
    with write(server.services.engine) as conn:
        conn.execute(
            update(schedule).where(schedule.c.next_run_ms.is_not(None)).values(next_run_ms=1)
        )


def synced(syncs, count):
    """The tables of the sync that is the newest of so many, in the order that they came in."""
    sync = syncs.newest(after=count - 1)
    assert (sync["trigger"], sync["state"]) == ("schedule", "succeeded")
    return [each["table"].removeprefix("found.") for each in sync["tables"]]


def test_so_many_files_are_taken_in_at_once_and_the_rest_by_the_next(raw, syncs):
    put(raw, of_table(raw, "cities"), files_max=2)
    raw.put("cities/part-0.parquet", cities((0, 1, 1), (7, 1, 1)))
    for number in range(1, 5):
        raw.put(f"cities/part-{number}.parquet", cities((number, 0, 0)))
        raw.put(f"towns/part-{number}.parquet", cities((number, 0, 0)))
    told = []
    while not told or told[-1][2]:
        [outcome, _, towns] = sorted(syncs.run()["tables"], key=lambda each: each["table"])
        told.append((outcome["overwritten"], outcome["added"], outcome["remaining"]))
        assert (towns["added"], towns["remaining"]) == (4 if len(told) == 1 else 0, 0)
    assert told == [(1, 1, 3), (0, 2, 1), (0, 1, 0)]
    table = raw.catalog.pyiceberg().load_table("found.cities")
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [0, 1, 2, 3, 4, 7]
    assert len(table.snapshots()) == 4


def test_very_many_new_files_are_several_snapshots_of_one_sync(raw, syncs, monkeypatch):
    monkeypatch.setattr("graticule.services.syncing.sync_attempt.ADDED_AT_ONCE_MAX", 2)
    raw.put("cities/part-0.parquet", cities((0, 1, 1)) + b"broken")
    raw.put("cities/part-1.parquet", cities((1, 0, 0))[:-9])
    for number in range(2, 7):
        raw.put(f"cities/part-{number}.parquet", cities((number, 0, 0)))
    sync = syncs.run(tables=["found.cities"], deleted_percent_max=100)
    [outcome] = sync["tables"]
    told = {name: outcome[name] for name in ("status", "added", "remaining", "vanished")}
    assert told == {"status": "committed", "added": 5, "remaining": 0, "vanished": 0}
    assert [left["key"][-14:] for left in outcome["left_out"]] == [
        "part-0.parquet",
        "part-1.parquet",
    ]
    table = raw.catalog.pyiceberg().load_table("found.cities")
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [2, 3, 4, 5, 6]
    snapshots = table.snapshots()
    assert len(snapshots) == 1 + 3
    assert {s.summary["graticule.sync-id"] for s in snapshots[1:]} == {sync["id"]}
    assert outcome["snapshot_id"] == snapshots[-1].snapshot_id
    for number in range(7, 10):
        raw.put(f"cities/part-{number}.parquet", cities((number, 0, 0)))
    undone = syncs.post(syncs.run(tables=["found.cities"]), "undo")
    assert undone.json()["state"] == "undone", undone.text
    table.refresh()
    assert len(table.snapshots()) == len(snapshots) + 2 + 1
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [2, 3, 4, 5, 6]
    [again] = syncs.run(tables=["found.cities"])["tables"]
    assert again["status"] == "unchanged"


def test_of_many_events_all_are_seen_to_though_few_at_once(raw, syncs, settings):
    put(raw, settings, files_max=2)
    token = raw.http.post(f"{settings}/token").json()
    keys = [f"cities/part-{number}.parquet" for number in range(1, 6)]
    for number, key in enumerate(keys):
        raw.put(key, cities((10 + number, 0, 0)))
    records = [
        {"s3": {"bucket": {"name": "lake"}, "object": {"key": raw.prefix + key}}} for key in keys
    ]
    headers = {"Authorization": f"Bearer {token['token']}"}
    told = raw.server.http().post(token["path"], json={"Records": records}, headers=headers)
    assert told.json() == {"objects": 5}
    table = raw.catalog.pyiceberg().load_table("found.cities")
    until(lambda: table.refresh().scan().count() >= 6)
    added = [snapshot.summary["added-data-files"] for snapshot in table.snapshots()]
    assert added == ["1", "2", "2", "1"]


@pytest.mark.parametrize("how", ["replaced by what nobody can read", "gone, said by events"])
def test_a_limit_of_files_takes_no_table_apart_bit_by_bit(raw, syncs, settings, how):
    for number in range(1, 8):
        raw.put(f"cities/part-{number}.parquet", cities((10 + number, 0, 0)))
    syncs.run()
    put(raw, settings, files_max=1, deleted_files_max=2)
    keys = [f"{raw.prefix}cities/part-{number}.parquet" for number in range(1, 5)]
    if how.startswith("replaced"):
        for key in keys:
            raw.s3.put_object(Bucket="lake", Key=key, Body=b"no Parquet at all")
        ended = syncs.run()
    else:
        token = raw.http.post(f"{settings}/token").json()
        for key in keys:
            raw.s3.delete_object(Bucket="lake", Key=key)
        records = [{"s3": {"bucket": {"name": "lake"}, "object": {"key": key}}} for key in keys]
        headers = {"Authorization": f"Bearer {token['token']}"}
        raw.server.http().post(token["path"], json={"Records": records}, headers=headers)
        ended = syncs.newest(after=1)
    assert ended["state"] == "needs-confirmation"
    assert "postponed" not in ended["tables"][0]
    assert raw.catalog.pyiceberg().load_table("found.cities").scan().count() == 8


def test_what_is_due_waits_for_the_sync_before_without_writing(
    raw, syncs, settings, server, monkeypatch
):
    services = server.services
    put(raw, settings, interval_minutes=5)
    opened = services.sync_schedule.opened(raw.catalog.id)
    written = []
    with write(services.engine) as conn:
        running = services.syncing.order(
            conn, opened, {}, trigger=SyncTrigger.REQUEST, by="ana", after_ms=3_600_000
        )
        is_ours = sync_settings.c.catalog_id == raw.catalog.id
        conn.execute(update(sync_settings).where(is_ours).values(next_run_ms=1))
    with monkeypatch.context() as patches:
        patches.setattr(services.syncing, "order", lambda *args, **_: written.append(args))
        services.sync_schedule.run_due(threading.Event())
    assert written == []
    with write(services.engine) as conn:
        job = jobs_db.active(conn, syncs_db.job_key(running.id))
        jobs_db.cancel(conn, job.organisation_id, job.id, now_ms=job.created_at_ms)
    assert synced(syncs, 2) == list(TABLES)


def test_a_tables_own_limit_says_when_to_ask(raw, syncs):
    put(raw, of_table(raw, "cities"), deleted_percent_max=100)
    for name in ("cities", "towns"):
        raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}{name}/part-0.parquet")
    outcomes = {each["table"]: each["status"] for each in syncs.run()["tables"]}
    assert outcomes == {
        "found.cities": "committed",
        "found.ports": "unchanged",
        "found.towns": "needs-confirmation",
    }


def test_a_table_that_follows_no_files_has_no_such_settings(raw, syncs):
    path = of_table(raw, "none")
    assert raw.http.get(path).status_code == 404
    raw.catalog.pyiceberg().create_table(
        "found.own", raw.catalog.pyiceberg().load_table("found.cities").schema()
    )
    assert raw.http.get(of_table(raw, "own")).status_code == 400
