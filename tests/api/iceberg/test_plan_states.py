"""Plans that take a while: submitted, asked for again, failed, expired; and ranges of snapshots."""

import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.types import LongType

from graticule.api import plan_tokens
from graticule.planning.file_columns import FileColumns
from graticule.services.catalog import index_orders
from graticule.services.planning import scans, snapshot_reading
from graticule.storage.manifest_columns import ManifestFiles
from support.patience import until
from support.people import new_person, person_of
from support.plans import PlannedTable
from support.points import COLUMNS, rows

WAITS = {"Prefer": "respond-async"}
HEARD_S_MAX = 10
"""A beat is every two seconds."""


@pytest.fixture
def table(catalog, http, monkeypatch):
    """Three appends of one file; no commit's own index comes in between."""
    monkeypatch.setattr(index_orders, "INDEX_DELAY_S", 3_600.0)
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    written = client.create_table("ns.t", COLUMNS)
    for number in range(3):
        written.append(rows(number))
    return PlannedTable(catalog, http, "ns", "t")


@pytest.fixture
def heavy(table, monkeypatch):
    """The same, where three manifests are many."""
    monkeypatch.setattr(scans, "HEAVY_MANIFESTS_MIN", 3)
    return table


@pytest.mark.parametrize(
    "headers",
    [WAITS, *({"X-Client-Version": f"Apache Iceberg {v}"} for v in ("1.11.0", "2.0.0"))],
)
def test_who_can_ask_again_is_told_to_and_then_gets_the_plan(heavy, headers):
    first = heavy.plan(**headers).json()
    assert first.keys() == {"status", "plan-id"}
    assert first["status"] == "submitted"
    done = heavy.finished(first["plan-id"])
    assert done["status"] == "completed"
    assert len(done["file-scan-tasks"]) == 3
    assert heavy.plan(**headers).json()["status"] == "completed"


@pytest.mark.parametrize(
    "version", ["PyIceberg 0.12.0", "Apache Iceberg 1.10.2", "Apache Iceberg x", ""]
)
def test_who_cannot_ask_again_gets_the_plan_at_once(heavy, version):
    answer = heavy.plan(**{"X-Client-Version": version}).json()
    assert (answer["status"], len(answer["file-scan-tasks"])) == ("completed", 3)


def test_a_light_plan_is_complete_whoever_asks(table):
    assert table.plan(**WAITS).json()["status"] == "completed"


def test_a_request_too_long_for_a_plan_id_is_answered_at_once(heavy):
    many = [hash((number, "x")) for number in range(5_000)]
    answer = heavy.plan({"filter": {"type": "in", "term": "id", "values": many}}, **WAITS).json()
    assert answer["status"] == "completed"
    assert heavy.result(answer["plan-id"]).status_code == 404


def test_a_complete_plan_is_the_same_when_asked_for_again(table):
    filter_ = {"type": "gt-eq", "term": "id", "value": 1}
    first = table.plan({"filter": filter_}).json()
    again = table.result(first["plan-id"]).json()
    assert again == {name: value for name, value in first.items() if name != "plan-id"}
    table.catalog.pyiceberg().load_table("ns.t").append(rows(9))
    assert table.result(first["plan-id"]).json() == again


def test_without_a_worker_whoever_asks_builds_the_index(heavy, monkeypatch):
    monkeypatch.setattr(heavy.catalog.server.services.job_worker, "_handlers", {})
    monkeypatch.setattr(scans, "UNCLAIMED_S_MAX", 0.0)
    first = heavy.plan(**WAITS).json()
    assert first["status"] == "submitted"
    assert heavy.result(first["plan-id"]).json()["status"] == "completed"


@pytest.mark.parametrize("headers", [{}, WAITS])
def test_a_plan_without_its_manifests_fails_with_the_reason(heavy, headers):
    snapshot = heavy.metadata["snapshots"][-1]
    bucket, _, key = snapshot["manifest-list"].removeprefix("s3://").partition("/")
    folder, _, _ = key.rpartition("/")
    listed = heavy.s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]
    for row in listed:
        if "-m0.avro" in row["Key"]:
            heavy.s3.delete_object(Bucket=bucket, Key=row["Key"])
    answer = heavy.plan(**headers).json()
    if answer["status"] == "submitted":
        answer = heavy.finished(answer["plan-id"])
    assert answer["status"] == "failed"
    assert "cannot be planned" in answer["error"]["message"]


class Ballast:
    """Stands for what a build has in memory."""


@pytest.fixture
def stalled(monkeypatch):
    """Manifests that are read for as long as the index is wanted, until they may come."""
    real = snapshot_reading.read_manifests
    stall = SimpleNamespace(began=threading.Event(), may_come=threading.Event(), kept=[])

    def read_slowly(manifests):
        ballast = Ballast()
        stall.kept.append(weakref.ref(ballast))
        stall.began.set()
        while not stall.may_come.wait(0.02):
            nothing = FileColumns.from_entries([])
            yield ManifestFiles((), (), nothing, (), np.zeros(0, np.bool_))
        yield from real(manifests)
        del ballast

    monkeypatch.setattr(ManifestFiles, "spec_id", 0)
    monkeypatch.setattr(snapshot_reading, "read_manifests", read_slowly)
    yield stall
    stall.may_come.set()


def builders():
    return [one for one in threading.enumerate() if one.name == "job index"]


def test_cancelling_stops_the_build_and_frees_what_it_held(heavy, stalled):
    plan_id = heavy.plan(**WAITS).json()["plan-id"]
    until(stalled.began.is_set)
    assert heavy.result(plan_id).json() == {"status": "submitted"}
    [job] = [job for job in index_jobs(heavy) if job["state"] == "running"]
    began = time.monotonic()
    for _ in range(2):
        assert heavy.http.delete(f"{heavy.url}/plan/{plan_id}").status_code == 204
    until(lambda: not builders())
    assert time.monotonic() - began < HEARD_S_MAX
    assert [ballast() for ballast in stalled.kept] == [None]
    assert state_of(heavy, job["id"]) == "cancelled"
    assert heavy.result(plan_id).json() == {"status": "cancelled"}
    stalled.may_come.set()
    assert heavy.finished(heavy.plan(**WAITS).json()["plan-id"])["status"] == "completed"


def test_a_build_goes_on_while_another_plan_waits_for_it(heavy, stalled):
    first, second = (heavy.plan(**WAITS).json()["plan-id"] for _ in range(2))
    until(stalled.began.is_set)
    [job] = [job for job in index_jobs(heavy) if job["state"] == "running"]
    heavy.http.delete(f"{heavy.url}/plan/{first}")
    assert heavy.result(first).json() == {"status": "cancelled"}
    assert heavy.result(second).json() == {"status": "submitted"}
    stalled.may_come.set()
    assert heavy.finished(second)["status"] == "completed"
    until(lambda: state_of(heavy, job["id"]) == "succeeded")
    assert len(stalled.kept) == 1


def test_cancelling_a_plan_that_nobody_has_begun_takes_it_from_the_queue(heavy, monkeypatch):
    monkeypatch.setattr(heavy.catalog.server.services.job_worker, "_handlers", {})
    plan_id = heavy.plan(**WAITS).json()["plan-id"]
    [job] = [job for job in index_jobs(heavy) if job["parameters"].get("waiting_plans")]
    heavy.http.delete(f"{heavy.url}/plan/{plan_id}")
    assert state_of(heavy, job["id"]) == "cancelled"
    assert heavy.result(plan_id).json() == {"status": "cancelled"}


def test_cancelling_a_complete_plan_changes_nothing(table):
    plan_id = table.plan().json()["plan-id"]
    for wanted in (plan_id, "unknown"):
        assert table.http.delete(f"{table.url}/plan/{wanted}").status_code == 204
    assert table.result(plan_id).json()["status"] == "completed"


def test_more_plans_than_are_kept_count_of_are_made_at_once(heavy, monkeypatch):
    monkeypatch.setattr(heavy.catalog.server.services.job_worker, "_handlers", {})
    monkeypatch.setattr(index_orders, "WAITERS_MAX", 1)
    statuses = [heavy.plan(**WAITS).json()["status"] for _ in range(2)]
    assert statuses == ["submitted", "completed"]


def index_jobs(table):
    """Those of this table."""
    found = table.http.get("/api/v1/jobs", params={"kind": "index", "limit": 100}).json()["items"]
    snapshots = {one["snapshot-id"] for one in table.metadata["snapshots"]}
    return [job for job in found if job["parameters"].get("snapshot_id") in snapshots]


def state_of(table, job_id):
    return table.http.get(f"/api/v1/jobs/{job_id}").json()["state"]


def test_a_plan_is_its_members_alone_and_of_its_table(table, monkeypatch):
    monkeypatch.setattr(scans, "TASKS_PER_ANSWER_MAX", 1)
    answer = table.plan().json()
    server = table.catalog.server
    services = server.services
    person = new_person(services, person_of(services, server.key.credential))
    with server.http(person.credential) as http:
        other = PlannedTable(table.catalog, http, "ns", "t")
        assert other.plan().json()["status"] == "completed"
        assert other.result(answer["plan-id"]).status_code == 404
        task = {"plan-task": answer["plan-tasks"][0]}
        assert http.post(f"{table.url}/tasks", json=task).status_code == 404
    table.catalog.pyiceberg().create_table("ns.other", COLUMNS).append(rows(1))
    elsewhere = PlannedTable(table.catalog, table.http, "ns", "other")
    assert elsewhere.result(answer["plan-id"]).status_code == 404


def test_a_plan_does_not_outlive_its_table(table):
    plan_id = table.plan().json()["plan-id"]
    client = table.catalog.pyiceberg()
    client.drop_table("ns.t")
    client.create_table("ns.t", COLUMNS).append(rows(1))
    assert table.result(plan_id).json()["error"]["type"] == "NoSuchPlanIdException"


def test_plans_and_their_tasks_expire(table, monkeypatch):
    monkeypatch.setattr(scans, "TASKS_PER_ANSWER_MAX", 1)
    monkeypatch.setattr(plan_tokens, "PLAN_LIFETIME_S", -1)
    answer = table.plan().json()
    gone = table.result(answer["plan-id"])
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "NoSuchPlanIdException")
    task = table.http.post(f"{table.url}/tasks", json={"plan-task": answer["plan-tasks"][0]})
    assert (task.status_code, task.json()["error"]["type"]) == (404, "NoSuchPlanTaskException")


@pytest.mark.parametrize("parts_max", [1, 2, 10])
def test_plan_tasks_stand_for_all_that_the_first_answer_leaves_out(table, monkeypatch, parts_max):
    written = table.catalog.pyiceberg().load_table("ns.t")
    for number in range(3, 7):
        written.append(rows(number))
    whole = table.files()
    monkeypatch.setattr(scans, "TASKS_PER_ANSWER_MAX", 2)
    monkeypatch.setattr(scans, "PARTS_PER_ANSWER_MAX", parts_max)
    answer = table.plan().json()
    assert len(answer["plan-tasks"]) == min(parts_max, 3)
    assert sorted(task["data-file"]["file-path"] for task in table.whole(answer)) == whole
    assert len(set(whole)) == 7


def test_a_filter_names_columns_of_the_schema_that_it_is_asked_by(catalog, http):
    """A column that has taken over the name of another says nothing of the other's files."""
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    written = client.create_table(
        "ns.t", pa.schema([("id", pa.int64()), ("height", pa.float32()), ("small", pa.int32())])
    )
    written.append(
        pa.table({"id": [0], "height": [1.0], "small": [1]}, written.schema().as_arrow())
    )
    with written.update_schema() as change:
        change.rename_column("height", "depth")
        change.update_column("small", LongType())
        change.delete_column("id")
    with written.update_schema() as change:
        change.add_column("height", LongType())
    later = pa.schema([("depth", pa.float32()), ("small", pa.int64()), ("height", pa.int64())])
    written.append(pa.table({"depth": [5.0], "small": [2**40], "height": [9]}, later))
    table = PlannedTable(catalog, http, "ns", "t")
    first, second = snapshot_ids(table)
    [old] = table.files({"snapshot-id": first})
    [new] = set(table.files()) - {old}

    def planned(op, name, value, **body):
        filter_ = {"type": op, "term": name, "value": value}
        return set(table.files({"filter": filter_, **body}))

    assert planned("gt", "depth", 2) == {new}
    assert planned("lt", "depth", 2) == {old}
    assert planned("gt", "height", 100) == {old}  # nobody knows what is in it there
    assert planned("gt", "small", 5) == {new}
    assert planned("lt", "small", 5) == {old}
    assert planned("gt", "id", 100) == {old, new}  # a name of nothing leaves out nothing
    then = {"snapshot-id": first, "use-snapshot-schema": True}
    assert planned("gt", "height", 2, **then) == set()
    assert planned("gt", "depth", 2, **then) == {old}
    assert planned("gt", "id", 100, **then) == set()
    assert planned("gt", "height", 2, **{"snapshot-id": first}) == {old}
    assert planned("gt", "HEIGHT", 100, **{"snapshot-id": second}) == {old, new}
    body = {"filter": {"type": "gt", "term": "DEPTH", "value": 2}, "case-sensitive": False}
    assert table.files(body) == [new]
    [task] = table.plan({**body, "stats-fields": ["Depth"]}).json()["file-scan-tasks"]
    assert task["data-file"]["lower-bounds"] == {"keys": [2], "values": ["0000A040"]}


# Ranges.


def ids(table, body):
    tasks = table.whole(table.plan({"stats-fields": ["id"], **body}).json())
    return sorted(
        int.from_bytes(
            bytes.fromhex(task["data-file"]["lower-bounds"]["values"][0]), "little", signed=True
        )
        for task in tasks
    )


def snapshot_ids(table):
    return [one["snapshot-id"] for one in table.metadata["snapshots"]]


def test_a_range_is_what_was_appended_after_its_start_up_to_its_end(table):
    first, second, third = snapshot_ids(table)
    assert ids(table, {"start-snapshot-id": first, "end-snapshot-id": third}) == [1, 2]
    assert ids(table, {"start-snapshot-id": first, "end-snapshot-id": second}) == [1]
    assert ids(table, {"start-snapshot-id": third, "end-snapshot-id": third}) == []
    narrowed = {"type": "gt-eq", "term": "longitude", "value": 1.5}
    body = {"start-snapshot-id": first, "end-snapshot-id": third, "filter": narrowed}
    assert ids(table, body) == [2]


def test_what_is_deleted_since_was_appended_all_the_same(table):
    first, *_ = snapshot_ids(table)
    written = table.catalog.pyiceberg().load_table("ns.t")
    written.delete("id == 1")
    written.append(rows(9))
    *_, last = snapshot_ids(table)
    assert ids(table, {"start-snapshot-id": first, "end-snapshot-id": last}) == [1, 2, 9]
    assert ids(table, {}) == [0, 2, 9]


def test_a_range_goes_on_in_plan_tasks_and_can_be_asked_for_again(table, monkeypatch):
    first, _, third = snapshot_ids(table)
    monkeypatch.setattr(scans, "TASKS_PER_ANSWER_MAX", 1)
    body = {"start-snapshot-id": first, "end-snapshot-id": third}
    assert ids(table, body) == [1, 2]
    answer = table.plan(body).json()
    again = table.result(answer["plan-id"]).json()
    assert table.whole(again) == table.whole(answer)


@pytest.mark.parametrize(
    ("start", "end"), [(None, 0), (0, None), (2, 0), (0, "x"), (0, -1), (-1, 2)]
)
def test_a_range_that_is_none_is_a_bad_request(table, start, end):
    known = [*snapshot_ids(table), -5]
    body = {
        name: known[at] if isinstance(at, int) else at
        for name, at in (("start-snapshot-id", start), ("end-snapshot-id", end))
        if at is not None
    }
    answer = table.plan(body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadRequestException")


def test_a_range_and_a_snapshot_exclude_each_other(table):
    first, _, third = snapshot_ids(table)
    body = {"start-snapshot-id": first, "end-snapshot-id": third, "snapshot-id": third}
    assert table.plan(body).status_code == 400
