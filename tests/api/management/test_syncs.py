"""Tables kept in step with the files that they were registered over, as engines see it."""

import threading

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException

from graticule.services.catalog.commits import Commits
from graticule.services.syncing.snapshot_commits import LOST_MAX
from graticule.storage.manifests import read_entries
from support.lake import RawFolder, cities
from support.parquet_files import native, parquet, point
from support.syncs import Syncs

PARIS, LIMA = (1, 2.35, 48.86), (2, -77.03, -12.05)
TOKYO, OSLO = (3, 139.69, 35.69), (4, 10.75, 59.91)


@pytest.fixture
def syncs(raw: RawFolder) -> Syncs:
    """Of `found.cities`: two files, three cities."""
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    raw.put("cities/part-1.parquet", cities(TOKYO))
    raw.register(raw.scan())
    return Syncs(raw)


def table(raw, name="found.cities"):
    return raw.catalog.pyiceberg().load_table(name)


def ids(raw, name="found.cities"):
    return sorted(table(raw, name).scan().to_arrow()["id"].to_pylist())


def only(sync):
    [outcome] = sync["tables"]
    return outcome


def counts(outcome):
    return {name: outcome[name] for name in ("status", "added", "overwritten", "vanished")}


def test_where_nothing_changed_nothing_is_written(raw, syncs):
    before = table(raw)
    keys = bucket_keys(raw)
    sync = syncs.run()
    assert (sync["state"], only(sync)["status"]) == ("succeeded", "unchanged")
    assert table(raw).metadata_location == before.metadata_location
    assert bucket_keys(raw) == keys


def bucket_keys(raw):
    prefix = f"{raw.catalog.id}/"
    pages = raw.s3.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
    keys = [row["Key"] for page in pages for row in page.get("Contents", [])]
    return [key for key in keys if "/geo/" not in key]  # an index may be on its way


def test_new_replaced_and_vanished_files_are_one_snapshot(raw, syncs):
    raw.put("cities/part-2.parquet", cities((5, 4.9, 52.4)))
    raw.put("cities/part-1.parquet", cities(TOKYO, OSLO))
    raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}cities/part-0.parquet")
    before = table(raw)
    sync = syncs.run()
    assert sync["state"] == "succeeded"
    assert counts(only(sync)) == {
        "status": "committed",
        "added": 1,
        "overwritten": 1,
        "vanished": 1,
    }
    after = table(raw)
    assert ids(raw) == [3, 4, 5]
    assert len(after.snapshots()) == len(before.snapshots()) + 1
    snapshot = after.current_snapshot()
    assert snapshot.parent_snapshot_id == before.current_snapshot().snapshot_id
    assert snapshot.summary.operation.value == "overwrite"
    assert {
        name: snapshot.summary[name]
        for name in ("added-data-files", "deleted-data-files", "total-data-files", "total-records")
    } == {
        "added-data-files": "2",
        "deleted-data-files": "2",
        "total-data-files": "2",
        "total-records": "3",
    }
    assert snapshot.summary["graticule.sync-id"] == sync["id"]
    assert only(syncs.run())["status"] == "unchanged"


def test_what_engines_wrote_stays_and_is_never_asked_about(raw, syncs):
    written = table(raw).scan().to_arrow().slice(0, 1)
    row = written.set_column(0, "id", pa.array([100], pa.int64()))
    table(raw).append(row)
    raw.put("cities/part-2.parquet", cities(OSLO))
    raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}cities/part-1.parquet")
    outcome = only(syncs.run())
    assert (outcome["status"], outcome["files"]) == ("committed", 3)  # of them one of an engine
    assert ids(raw) == [1, 2, 4, 100]
    for name in ("part-0", "part-2"):
        raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}cities/{name}.parquet")
    stopped = syncs.run()
    assert stopped["state"] == "needs-confirmation"
    assert syncs.confirmed(stopped)["state"] == "succeeded"
    assert ids(raw) == [100]


def test_a_file_that_an_engine_took_out_does_not_come_back(raw, syncs):
    table(raw).delete("id == 3")
    assert ids(raw) == [1, 2]
    assert only(syncs.run())["status"] == "unchanged"
    raw.put("cities/part-1.parquet", cities(TOKYO, OSLO))
    outcome = only(syncs.run())
    assert outcome["status"] == "unchanged"
    [left] = outcome["left_out"]
    assert "an engine's commit had taken it out" in left["reason"]
    assert outcome["files"] == 1  # although two lie in the folder
    assert ids(raw) == [1, 2]


def test_only_the_manifest_of_a_replaced_file_is_written_anew(raw, syncs):
    raw.put("cities/part-2.parquet", cities(OSLO))
    syncs.run()
    before = {m.manifest_path for m in manifests(raw)}
    raw.put("cities/part-2.parquet", cities(OSLO, (6, 0.0, 0.0)))
    assert counts(only(syncs.run()))["overwritten"] == 1
    after = {m.manifest_path for m in manifests(raw)}
    assert len(before) == 2
    assert len(before & after) == 1
    assert ids(raw) == [1, 2, 3, 4, 6]


def manifests(raw):
    found = table(raw)
    return found.current_snapshot().manifests(found.io)


def test_a_table_that_an_engine_upgraded_to_version_3_is_followed_on(raw, syncs):
    upgrade(raw)
    raw.put("cities/part-2.parquet", cities(OSLO, (6, 1, 1)))
    raw.put("cities/part-3.parquet", extended((7, 2, 2)))
    sync = syncs.run()
    assert counts(only(sync))["added"] == 2, sync
    rows = row_ids(raw)
    assert {name: len(ids_) for name, ids_ in rows.items()} == {
        "part-0": 2, "part-1": 1, "part-2": 2, "part-3": 1,
    }  # fmt: skip
    raw.put("cities/part-2.parquet", cities(OSLO))
    raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}cities/part-0.parquet")
    changing = only(syncs.run())
    assert (changing["overwritten"], changing["vanished"]) == (1, 1)
    after = row_ids(raw)
    assert {name: after[name] for name in ("part-1", "part-3")} == {
        name: rows[name] for name in ("part-1", "part-3")
    }
    assert not set(after["part-2"]) & {each for some in rows.values() for each in some}
    assert ids(raw) == [3, 4, 7]
    assert syncs.post(sync, "undo").status_code == 409
    raw.put("cities/part-4.parquet", cities((8, 3, 3)))
    adding = syncs.run()
    assert syncs.post(adding, "undo").json()["state"] == "undone"
    assert row_ids(raw) == after
    assert ids(raw) == [3, 4, 7]


def extended(place):
    number, x, y = place
    return parquet(
        {
            "id": pa.array([number], pa.int64()),
            "geometry": native([point(x, y)]),
            "population": pa.array([9], pa.int64()),
        }
    )


def upgrade(raw):
    """As Spark does for `format-version=3`, which PyIceberg cannot."""
    path = f"{raw.catalog.base}/namespaces/found/tables/cities"
    update = {"action": "upgrade-format-version", "format-version": 3}
    answer = raw.http.post(path, json={"requirements": [], "updates": [update]})
    assert answer.status_code == 200, answer.text


def row_ids(raw):
    """The ids of each file's rows, which are nobody else's and below the next one."""
    document = raw.http.get(f"{raw.catalog.base}/namespaces/found/tables/cities").json()["metadata"]
    by_id = {snapshot["snapshot-id"]: snapshot for snapshot in document["snapshots"]}
    current = by_id[document["current-snapshot-id"]]
    assert current["first-row-id"] + current["added-rows"] == document["next-row-id"]

    def fetch(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return raw.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    found = {
        entry.path.rpartition("/")[2].removesuffix(".parquet"): list(
            range(entry.first_row_id, entry.first_row_id + entry.record_count)
        )
        for entry in read_entries(fetch(current["manifest-list"]), fetch)
    }
    numbers = [number for some in found.values() for number in some]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) < document["next-row-id"]
    return found


# Schemas that drift


def test_a_new_column_is_null_in_old_files_and_there_in_new_ones(raw, syncs):
    raw.put("cities/part-2.parquet", with_columns(OSLO, people=pa.array([700], pa.int32())))
    assert counts(only(syncs.run()))["status"] == "committed"
    rows = table(raw).scan(selected_fields=("id", "people")).to_arrow().to_pylist()
    assert {row["id"]: row["people"] for row in rows} == {1: None, 2: None, 3: None, 4: 700}
    raw.put("cities/part-3.parquet", with_columns((5, 1, 1), people=pa.array([2**40], pa.int64())))
    syncs.run()
    found = table(raw)
    assert str(found.schema().find_type("people")) == "long"
    assert sorted(found.scan(row_filter="people > 600").to_arrow()["id"].to_pylist()) == [4, 5]


def test_a_file_that_does_not_fit_is_left_out_and_the_others_go_in(raw, syncs):
    raw.put("cities/part-2.parquet", cities(OSLO))
    raw.put("cities/part-3.parquet", with_columns(LIMA, id_="x"))
    raw.put("cities/part-4.parquet", b"not Parquet at all")
    outcome = only(syncs.run())
    assert counts(outcome)["added"] == 1
    reasons = {left["key"].removeprefix(raw.prefix): left["reason"] for left in outcome["left_out"]}
    assert reasons["cities/part-3.parquet"] == "column `id` is long in the table and string in it"
    assert set(reasons) == {"cities/part-3.parquet", "cities/part-4.parquet"}
    assert ids(raw) == [1, 2, 3, 4]
    assert only(syncs.run())["status"] == "unchanged"
    raw.put("cities/part-4.parquet", cities((8, 0, 0)))
    assert counts(only(syncs.run()))["added"] == 0
    assert ids(raw) == [1, 2, 3, 4, 8]


def test_a_column_that_an_engine_renamed_is_followed(raw, syncs):
    with table(raw).update_schema() as change:
        change.rename_column("id", "city_id")
    raw.put("cities/part-2.parquet", with_columns(OSLO, people=pa.array([700])))
    assert counts(only(syncs.run()))["added"] == 1
    found = table(raw)
    assert sorted(found.scan().to_arrow()["city_id"].to_pylist()) == [1, 2, 3, 4]
    assert found.scan(row_filter="people == 700").to_arrow()["city_id"].to_pylist() == [4]


def with_columns(place, id_=None, **columns):
    number, x, y = place
    ids_ = pa.array([number if id_ is None else id_])
    return parquet({"id": ids_, "geometry": native([point(x, y)]), **columns})


# Too much at once


@pytest.fixture
def many(raw):
    """Of `found.many`: 30 files."""
    for number in range(30):
        raw.put(f"many/part-{number:02}.parquet", cities((number, number, 0)))
    raw.register(raw.scan("many"))
    return Syncs(raw)


def take_away(raw, folder):
    for key in list(raw.keys()):
        if key.startswith(folder):
            raw.s3.delete_object(Bucket="lake", Key=raw.prefix + key)


def test_an_emptied_folder_empties_no_table_until_an_admin_says_so(raw, many):
    take_away(raw, "many/")
    stopped = many.run()
    assert stopped["state"] == "needs-confirmation"
    outcome = only(stopped)
    assert (outcome["lost_count"], len(outcome["lost"])) == (30, 30)
    assert len(list(table(raw, "found.many").scan().plan_files())) == 30
    assert many.post(stopped, "discard").json()["state"] == "discarded"
    assert many.post(stopped, "confirm").status_code == 409
    again = many.run()
    assert many.confirmed(again)["state"] == "succeeded"
    assert ids(raw, "found.many") == []


def test_only_what_was_shown_may_go(raw, many):
    take_away(raw, "many/part-0")
    stopped = many.run(deleted_files_max=5)
    assert only(stopped)["lost_count"] == 10
    take_away(raw, "many/part-1")
    assert many.confirmed(stopped)["state"] == "needs-confirmation"
    assert len(list(table(raw, "found.many").scan().plan_files())) == 30


def test_files_that_came_back_stay_when_their_loss_is_confirmed(raw, many):
    take_away(raw, "many/part-0")
    stopped = many.run(deleted_files_max=5)
    raw.put("many/part-03.parquet", cities((3, 3, 0)))
    assert many.confirmed(stopped)["state"] == "succeeded"
    assert ids(raw, "found.many") == [3, *range(10, 30)]


def test_a_store_that_refuses_to_list_takes_nothing_away(raw, many, monkeypatch):
    from graticule.domain.errors import StorageRefused  # noqa: PLC0415
    from graticule.storage.s3 import ObjectStore  # noqa: PLC0415

    def refuse(*_args, **_kwargs):
        raise StorageRefused("listing: access denied")

    monkeypatch.setattr(ObjectStore, "list", refuse)
    failed = many.run()
    assert (failed["state"], only(failed)["error"]) == ("failed", "listing: access denied")
    assert len(list(table(raw, "found.many").scan().plan_files())) == 30


# Undo


def test_undoing_a_sync_takes_out_what_it_took_in_for_good(raw, syncs):
    raw.put("cities/part-2.parquet", cities(OSLO))
    sync = syncs.run()
    row = table(raw).scan().to_arrow().slice(0, 1)
    table(raw).append(row.set_column(0, "id", pa.array([100], pa.int64())))
    undone = syncs.post(sync, "undo").json()
    assert undone["state"] == "undone"
    assert only(undone)["undo_snapshot_id"] == table(raw).current_snapshot().snapshot_id
    assert ids(raw) == [1, 2, 3, 100]
    assert only(syncs.run())["status"] == "unchanged"
    assert syncs.post(sync, "undo").status_code == 409
    syncs.run(again=True)
    assert ids(raw) == [1, 2, 3, 4, 100]


def test_a_file_that_is_back_comes_back_with_the_deletes_that_engines_made(raw, syncs):
    key = f"{raw.prefix}cities/part-1.parquet"
    data = raw.s3.get_object(Bucket="lake", Key=key)["Body"].read()
    raw.s3.delete_object(Bucket="lake", Key=key)
    sync = syncs.run()
    assert ids(raw) == [1, 2]
    refused = syncs.post(sync, "undo")
    assert (refused.status_code, "not in the bucket" in refused.json()["detail"]) == (409, True)
    raw.put("cities/part-1.parquet", data)
    assert syncs.post(sync, "undo").json()["state"] == "undone"
    assert ids(raw) == [1, 2, 3]
    assert only(syncs.run())["status"] == "unchanged"


def test_a_sync_is_undone_though_an_engine_commits_without_a_pause(raw, syncs, monkeypatch):
    """Whenever a snapshot of the undoing is about to be committed, an engine appends first."""
    raw.put("cities/part-2.parquet", cities(OSLO))
    sync = syncs.run()
    row = table(raw).scan().to_arrow().slice(0, 1)
    appended, engines = [], []

    def append(number):
        table(raw).append(row.set_column(0, "id", pa.array([number], pa.int64())))
        appended.append(number)

    def commit(self, *args, also=None, **options):
        if also is not None:
            engine = threading.Thread(target=append, args=(100 + len(engines),))
            engines.append(engine)
            engine.start()
            # It is let be first three times, and then made to wait for this very commit.
            engine.join(30.0 if len(engines) <= LOST_MAX else 1.0)
        return usual(self, *args, also=also, **options)

    usual = Commits.commit
    monkeypatch.setattr(Commits, "commit", commit)
    undone = syncs.post(sync, "undo")
    for engine in engines:
        engine.join()
    assert undone.status_code == 200, undone.text
    assert undone.json()["state"] == "undone"
    assert ids(raw) == [1, 2, 3, *appended]
    assert appended == [100, 101, 102, 103]


def test_what_was_overwritten_or_built_upon_cannot_be_undone(raw, syncs):
    raw.put("cities/part-1.parquet", cities(OSLO))
    overwriting = syncs.run()
    refused = syncs.post(overwriting, "undo")
    assert (refused.status_code, "is gone" in refused.json()["detail"]) == (409, True)
    raw.put("cities/part-2.parquet", cities((7, 0, 0)))
    adding = syncs.run()
    table(raw).delete("id == 7")
    refused = syncs.post(adding, "undo")
    assert (refused.status_code, "later commits" in refused.json()["detail"]) == (409, True)
    assert ids(raw) == [1, 2, 4]


def test_undoing_a_registration_forgets_the_table_and_keeps_the_files(raw, syncs):
    before = raw.keys()
    path = f"/api/v1/catalogs/{raw.catalog.id}/namespaces/found/tables/cities/undo-registration"
    assert raw.http.post(path).status_code == 204
    assert raw.keys() == before
    assert raw.catalog.pyiceberg().list_tables("found") == []
    assert syncs.run()["tables"] == []
    assert raw.http.post(path).status_code == 404
    raw.register(raw.scan())
    assert ids(raw) == [1, 2, 3]


def test_tables_of_engines_are_not_synced(raw, syncs):
    client = raw.catalog.pyiceberg()
    client.create_table("found.own", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1]}))
    refused = raw.http.post(syncs.path, json={"tables": ["found.own"]})
    assert (refused.status_code, "engines keep it" in refused.json()["detail"]) == (400, True)
    unknown = raw.http.post(syncs.path, json={"tables": ["found.nothing"]})
    assert unknown.status_code == 404
    assert [outcome["table"] for outcome in syncs.run()["tables"]] == ["found.cities"]


def test_a_table_that_nothing_is_known_of_learns_from_its_manifests(raw, syncs, server):
    from sqlalchemy import delete  # noqa: PLC0415

    from graticule.db.engine import write  # noqa: PLC0415
    from graticule.db.schema import inventories  # noqa: PLC0415

    with write(server.services.engine) as conn:
        conn.execute(delete(inventories))
    raw.put("cities/part-2.parquet", cities(OSLO))
    assert counts(only(syncs.run())) == {
        "status": "committed",
        "added": 1,
        "overwritten": 0,
        "vanished": 0,
    }
    assert ids(raw) == [1, 2, 3, 4]
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA, (9, 0, 0)))
    assert counts(only(syncs.run()))["overwritten"] == 1
    assert ids(raw) == [1, 2, 3, 4, 9]


# By itself


def settings_of(raw):
    return f"/api/v1/catalogs/{raw.catalog.id}/sync-settings"


def test_a_schedule_syncs_without_being_asked(raw, syncs, server):
    before = len(raw.http.get(syncs.path).json()["items"])
    put = raw.http.put(settings_of(raw), json={"interval_minutes": 60, "deleted_files_max": 3})
    assert put.json()["next_run_at"] is not None
    assert len(raw.http.get(syncs.path).json()["items"]) == before
    raw.put("cities/part-2.parquet", cities(OSLO))
    make_due(server, raw)
    sync = syncs.newest(after=before)
    assert (sync["trigger"], sync["state"]) == ("schedule", "succeeded")
    assert ids(raw) == [1, 2, 3, 4]
    assert raw.http.get(settings_of(raw)).json()["deleted_files_max"] == 3


def make_due(server, raw):
    from sqlalchemy import update  # noqa: PLC0415

    from graticule.db.engine import write  # noqa: PLC0415
    from graticule.db.schema import sync_settings  # noqa: PLC0415

    with write(server.services.engine) as conn:
        conn.execute(
            update(sync_settings)
            .where(sync_settings.c.catalog_id == raw.catalog.id)
            .values(next_run_ms=1)
        )


def test_events_bring_a_sync_that_looks_only_at_what_changed(raw, syncs, server, monkeypatch):
    from graticule.storage.s3 import ObjectStore  # noqa: PLC0415

    token = raw.http.post(f"{settings_of(raw)}/token").json()
    raw.put("cities/part 2+.parquet", cities(OSLO))
    raw.put("cities/part-1.parquet", cities((9, 0, 0)))
    raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}cities/part-0.parquet")

    def refuse(*_args, **_kwargs):
        raise AssertionError("a listing, where only three objects had changed")

    monkeypatch.setattr(ObjectStore, "list", refuse)
    names = ("part+2%2B.parquet", "part-1.parquet", "part-0.parquet")
    told = {
        "Records": [record("lake", f"{raw.prefix}cities/{name}") for name in names]
        + [record("elsewhere", f"{raw.prefix}cities/part-9.parquet")]
        + [record("lake", f"{raw.catalog.id}/x/metadata/y.parquet")]
    }
    answer = announce(raw, token["path"], told, token["token"])
    assert (answer.status_code, answer.json()) == (202, {"objects": 3})
    sync = syncs.newest(after=0)
    assert (sync["trigger"], sync["state"]) == ("event", "succeeded")
    assert counts(only(sync)) == {
        "status": "committed",
        "added": 1,
        "overwritten": 1,
        "vanished": 1,
    }
    assert ids(raw) == [4, 9]


def record(bucket, key, sequencer="01"):
    return {"s3": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": sequencer}}}


def announce(raw, path, body, token):
    headers = {"Authorization": f"Bearer {token}"}
    return raw.http.post(path, json=body, headers=headers)


def test_an_event_that_lies_changes_nothing(raw, syncs):
    token = raw.http.post(f"{settings_of(raw)}/token").json()
    told = {"Records": [record("lake", f"{raw.prefix}cities/part-0.parquet")]}
    announce(raw, token["path"], told, token["token"])
    assert only(syncs.newest(after=0))["status"] == "unchanged"
    assert ids(raw) == [1, 2, 3]


def test_events_need_the_token_of_that_very_catalog(raw, syncs, server):
    token = raw.http.post(f"{settings_of(raw)}/token").json()
    other = server.new_catalog()
    told = {"Records": []}
    assert announce(raw, token["path"], told, token["token"]).status_code == 202
    assert announce(raw, token["path"], told, token["token"] + "x").status_code == 401
    assert announce(raw, token["path"], told, server.key.credential).status_code == 401
    path = f"/api/v1/catalogs/{other.id}/events"
    assert announce(raw, path, told, token["token"]).status_code == 401
    assert announce(raw, path, told, "nothing").status_code == 401
    assert announce(raw, token["path"], {"Records": 3}, token["token"]).status_code == 400
    large = {"Records": [record("lake", "x" * 1000)] * 1100}
    assert announce(raw, token["path"], large, token["token"]).status_code == 413
    assert raw.http.delete(f"{settings_of(raw)}/token").status_code == 204
    assert announce(raw, token["path"], told, token["token"]).status_code == 401


def test_syncs_and_engines_that_race_lose_nothing_of_each_other(raw, syncs):
    """The engine commits all the while, so that syncs have to begin again from what it left."""
    row = table(raw).scan().to_arrow().slice(0, 1)
    stop, appended, failures = threading.Event(), [], []

    def append():
        engine = table(raw)
        number = 1000
        while not stop.is_set():
            number += 1
            try:
                engine.refresh()
                engine.append(row.set_column(0, "id", pa.array([number], pa.int64())))
            except CommitFailedException:
                continue  # it was told so, and nothing landed
            except Exception as error:  # noqa: BLE001 - shown below
                failures.append(error)
                return
            appended.append(number)

    writer = threading.Thread(target=append)
    writer.start()
    try:
        for number in range(5):
            raw.put(f"cities/new-{number}.parquet", cities((10 + number, number, 0)))
            raw.put("cities/part-1.parquet", cities(TOKYO, (100 + number, 0, 0)))
            assert syncs.run()["state"] == "succeeded"
    finally:
        stop.set()
        writer.join()
    assert not failures
    assert appended
    assert ids(raw) == [1, 2, 3, 10, 11, 12, 13, 14, 104, *appended]
