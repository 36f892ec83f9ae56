"""Scan planning: which files the server names for a filter, and that it never names too few."""

import pyarrow as pa
import pytest

from graticule.services.planning import scans
from support.lake import cities
from support.parquet_files import parquet

PLACES = {"paris": (2.35, 48.86), "lima": (-77.03, -12.05), "tokyo": (139.69, 35.69)}


def window(xmin, ymin, xmax, ymax, *, prefix="file_"):
    def limit(op, name, value):
        return {"type": op, "term": f"{prefix}{name}", "value": value}

    return {
        "type": "and",
        "left": {
            "type": "and",
            "left": limit("lt-eq", "xmin", xmax),
            "right": limit("gt-eq", "xmax", xmin),
        },
        "right": {
            "type": "and",
            "left": limit("lt-eq", "ymin", ymax),
            "right": limit("gt-eq", "ymax", ymin),
        },
    }


AROUND_PARIS = (2.0, 48.0, 3.0, 49.0)


class Registered:
    """A table registered in place, one file per place."""

    def __init__(self, raw, name="cities"):
        self.raw, self.name = raw, name
        self.url = f"{raw.catalog.base}/namespaces/found/tables/{name}"
        self.files_url = f"/api/v1/catalogs/{raw.catalog.id}/namespaces/found/tables/{name}/files"

    def plan(self, body=None, **headers):
        return self.raw.http.post(f"{self.url}/plan", json=body or {}, headers=headers)

    def planned(self, filter_=None):
        body = {} if filter_ is None else {"filter": filter_}
        answer = self.plan(body)
        assert answer.status_code == 200, answer.text
        return sorted(
            task["data-file"]["file-path"].rpartition("/")[2].removesuffix(".parquet")
            for task in answer.json()["file-scan-tasks"]
        )

    def files(self, **params):
        return self.raw.http.get(self.files_url, params=params)


@pytest.fixture
def table(raw):
    for number, (name, (x, y)) in enumerate(PLACES.items()):
        raw.put(f"cities/{name}.parquet", cities((number, x, y), (number + 10, x + 0.1, y)))
    raw.register(raw.scan())
    return Registered(raw)


def test_without_a_filter_every_file_is_planned(table):
    assert table.planned() == ["lima", "paris", "tokyo"]


def test_a_window_on_the_virtual_box_columns_leaves_the_files_it_touches(table):
    assert table.planned(window(*AROUND_PARIS)) == ["paris"]
    assert table.planned(window(-180, -90, 180, 90)) == ["lima", "paris", "tokyo"]
    assert table.planned(window(10, 10, 11, 11)) == []


def test_numbers_in_texts_are_numbers(table):
    """PyIceberg sends what was written in a filter text as decimals: "2.0"."""
    texts = window(*(str(side) for side in AROUND_PARIS))
    assert table.planned(texts) == ["paris"]


def test_st_intersects_is_understood(table):
    box = {"x": {"min": 2.0, "max": 3.0}, "y": {"min": 48.0, "max": 49.0}}
    filter_ = {"type": "st-intersects", "term": "geometry", "value": box}
    assert table.planned(filter_) == ["paris"]


@pytest.mark.parametrize("wrap", ["or", "not"])
def test_what_is_not_a_plain_window_prunes_nothing_it_should_not(table, wrap):
    inner = window(*AROUND_PARIS)
    other = {"type": "not-null", "term": "geometry"}
    filter_ = (
        {"type": "or", "left": inner, "right": other}
        if wrap == "or"
        else {"type": "not", "child": inner}
    )
    assert {"lima", "tokyo"} <= set(table.planned(filter_))


def test_metrics_of_other_columns_prune_too(table):
    by_id = {"type": "gt-eq", "term": "id", "value": 12}
    assert table.planned(by_id) == ["tokyo"]
    both = {"type": "and", "left": by_id, "right": window(*AROUND_PARIS)}
    assert table.planned(both) == []


def test_unknown_columns_and_metadata_columns_prune_nothing(table):
    assert len(table.planned({"type": "eq", "term": "nowhere", "value": 1})) == 3
    answer = table.plan({"select": ["_file", "id", "nowhere"], "stats-fields": ["_pos", "id"]})
    assert len(answer.json()["file-scan-tasks"]) == 3


def test_every_task_has_its_residual_and_partition_and_the_plan_an_id(table):
    filter_ = window(*AROUND_PARIS)
    body = table.plan({"filter": filter_}).json()
    assert (body["status"], bool(body["plan-id"])) == ("completed", True)
    [task] = body["file-scan-tasks"]
    assert task["residual-filter"] == filter_
    assert task["data-file"]["spec-id"] == 0
    assert task["data-file"]["partition"] == pytest.approx([2.35, 48.86, 2.45, 48.86])
    [unfiltered, *_] = table.plan({}).json()["file-scan-tasks"]
    assert unfiltered["residual-filter"] is True


def test_metrics_are_sent_only_when_asked_for(table):
    bare = table.plan({}).json()["file-scan-tasks"][0]["data-file"]
    assert "lower-bounds" not in bare
    asked = table.plan({"stats-fields": ["id"]}).json()["file-scan-tasks"][0]["data-file"]
    assert asked["lower-bounds"]["keys"] == [1]
    assert asked["lower-bounds"]["values"][0] == asked["lower-bounds"]["values"][0].upper()


def test_a_large_plan_goes_on_in_plan_tasks(table, monkeypatch):
    monkeypatch.setattr(scans, "TASKS_PER_ANSWER_MAX", 2)
    first = table.plan({}).json()
    assert len(first["file-scan-tasks"]) == 2
    [token] = first["plan-tasks"]
    rest = table.raw.http.post(f"{table.url}/tasks", json={"plan-task": token}).json()
    assert len(rest["file-scan-tasks"]) == 1
    assert "plan-tasks" not in rest
    paths = [
        t["data-file"]["file-path"] for t in first["file-scan-tasks"] + rest["file-scan-tasks"]
    ]
    assert len(set(paths)) == 3


def test_a_foreign_plan_task_is_no_such_plan_task(table):
    answer = table.raw.http.post(f"{table.url}/tasks", json={"plan-task": "made up"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "NoSuchPlanTaskException")


def test_cancelling_is_cheap_and_idempotent(table):
    for _ in range(2):
        assert table.raw.http.delete(f"{table.url}/plan/anything").status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {"type": "nonsense"}},
        {"filter": {"type": "eq", "term": "id"}},
        {"filter": 5},
        {"snapshot-id": 12345},
        {"snapshot-id": "x"},
        {"select": "id"},
        {"min-rows-requested": -1},
        {"min-rows-requested": "5"},
        {"case-sensitive": "x"},
    ],
)
def test_a_plan_that_makes_no_sense_is_a_bad_request(table, body):
    answer = table.plan(body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadRequestException")
    [field] = body
    if field not in {"filter", "snapshot-id"} or isinstance(body[field], str):
        assert f"`{field}`" in answer.json()["error"]["message"]


def test_credentials_come_with_the_plan_when_asked_for(table):
    answer = table.plan({}, **{"X-Iceberg-Access-Delegation": "vended-credentials"}).json()
    [credential] = answer["storage-credentials"]
    assert {"s3.session-token", "client.region", "s3.endpoint"} <= set(credential["config"])


def test_an_empty_table_has_an_empty_plan(http, catalog):
    schema = {
        "type": "struct",
        "fields": [{"id": 1, "name": "a", "type": "int", "required": False}],
    }
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    http.post(f"{catalog.base}/namespaces/ns/tables", json={"name": "t", "schema": schema})
    answer = http.post(f"{catalog.base}/namespaces/ns/tables/t/plan", json={})
    assert answer.json()["file-scan-tasks"] == []


def test_the_index_is_stored_beside_the_table_and_used_again(server, table):
    table.planned()
    indexing = server.services.indexing
    indexing._kept.clear()
    stored = [key for key in _keys_below(table) if "/geo/" in key]
    assert len(stored) == 1
    assert table.planned(window(*AROUND_PARIS)) == ["paris"]
    assert [key for key in _keys_below(table) if "/geo/" in key] == stored


def test_a_damaged_index_is_built_again(server, table):
    table.planned()
    [stored] = [key for key in _keys_below(table) if "/geo/" in key]
    table.raw.s3.put_object(Bucket="lake", Key=stored, Body=b"garbage")
    server.services.indexing._kept.clear()
    assert table.planned(window(*AROUND_PARIS)) == ["paris"]


def test_a_file_whose_box_nobody_knows_is_always_planned(raw):
    raw.put("odd/paris.parquet", cities((1, *PLACES["paris"])))
    raw.put("odd/lima.parquet", cities((2, *PLACES["lima"])))
    broken = parquet({"id": pa.array([3]), "geometry": pa.array([b"not a geometry"])})
    raw.put("odd/odd.parquet", broken)
    raw.register(raw.scan())
    table = Registered(raw, "odd")
    assert "odd" in table.planned(window(*AROUND_PARIS))
    assert "lima" not in table.planned(window(*AROUND_PARIS))


def test_files_lists_what_a_box_touches_and_what_that_saves(table):
    body = table.files(bbox="2.0,48.0,3.0,49.0").json()
    assert [f["path"].rpartition("/")[2] for f in body["files"]] == ["paris.parquet"]
    assert body["files"][0]["boxes"] == [pytest.approx([2.35, 48.86, 2.45, 48.86])]
    totals = body["totals"]
    assert (totals["files"], totals["files_kept"]) == (3, 1)
    assert (totals["rows"], totals["rows_kept"], totals["unknown_kept"]) == (6, 2, 0)
    assert 0 < totals["bytes_kept"] < totals["bytes"]
    assert body["is_complete"] is True
    assert table.files().json()["totals"]["files_kept"] == 3


def test_a_box_across_the_antimeridian_finds_both_sides(raw):
    for name, x in (("east", 179.0), ("west", -179.0), ("greenwich", 0.0)):
        raw.put(f"cities/{name}.parquet", cities((1, x, 0.0)))
    raw.register(raw.scan())
    body = Registered(raw).files(bbox="178,-1,-178,1").json()
    assert sorted(f["path"].rpartition("/")[2] for f in body["files"]) == [
        "east.parquet",
        "west.parquet",
    ]


@pytest.mark.parametrize("bbox", ["1,2,3", "a,b,c,d", "0,10,1,5", "nan,0,1,1", "0,0,inf,1"])
def test_a_box_that_is_none_is_refused(table, bbox):
    answer = table.files(bbox=bbox)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_tables_that_engines_write_are_pruned_by_position_columns(catalog, http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    columns = [("id", pa.int64()), ("longitude", pa.float64()), ("latitude", pa.float64())]
    written = client.create_table("ns.t", pa.schema(columns))
    for number, (x, y) in enumerate(PLACES.values()):
        written.append(pa.table({"id": [number], "longitude": [x], "latitude": [y]}))
    body = http.get(
        f"/api/v1/catalogs/{catalog.id}/namespaces/ns/tables/t/files",
        params={"bbox": "2,48,3,49"},
    ).json()
    assert (body["totals"]["files"], body["totals"]["files_kept"]) == (3, 1)


def test_a_file_that_took_the_place_of_another_is_planned_in_its_stead(catalog, http):
    """Copy on write, as PyIceberg deletes rows."""
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    table = client.create_table("ns.t", pa.schema([("id", pa.int64())]))
    table.append(pa.table({"id": [1, 2, 3]}))
    table.delete("id == 2")
    answer = http.post(f"{catalog.base}/namespaces/ns/tables/t/plan", json={}).json()
    [task] = answer["file-scan-tasks"]
    assert task["data-file"]["record-count"] == 2


def _keys_below(table):
    location = table.raw.http.get(table.url).json()["metadata"]["location"]
    prefix = location.removeprefix("s3://lake/")
    listed = table.raw.s3.list_objects_v2(Bucket="lake", Prefix=f"{prefix}/")
    return [row["Key"] for row in listed["Contents"]]


def test_nothing_is_read_for_a_table_that_its_own_readers_could_not_read(table):
    """Else whoever writes one table learns of all others what their manifests and footers say."""
    http, theirs = table.raw.http, table.raw.http.get(table.url).json()["metadata"]
    spying = f"{table.url}_spy"
    schema = {"type": "struct", "fields": theirs["schemas"][-1]["fields"]}
    http.post(spying.rpartition("/")[0], json={"name": "cities_spy", "schema": schema})
    snapshot = {**theirs["snapshots"][-1], "schema-id": 0}
    snapshot.pop("parent-snapshot-id", None)
    ref = {"ref-name": "main", "type": "branch", "snapshot-id": snapshot["snapshot-id"]}
    updates = [{"action": "add-snapshot", "snapshot": snapshot}]
    updates.append({"action": "set-snapshot-ref", **ref})
    made = http.post(spying, json={"requirements": [], "updates": updates})
    assert made.status_code == 200, made.text
    plan = http.post(f"{spying}/plan", json={}).json()
    assert plan["status"] == "failed"
    assert plan["error"]["message"].endswith("does not lie where the table's files are")
    files = http.get(table.files_url.replace("tables/cities", "tables/cities_spy"))
    assert files.json()["detail"] == plan["error"]["message"]
