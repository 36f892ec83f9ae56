"""Scans and registration over HTTP, on files that lie in a real bucket."""

import json

import pyarrow as pa
import pytest
from sqlalchemy import delete, func, select
from uuid6 import uuid7

from graticule.db import jobs, scans
from graticule.db.engine import read, write
from graticule.db.schema import bucket_objects, file_inspections
from graticule.domain.job import Job, JobKind
from graticule.domain.scan import Scan, ScanState
from support.lake import cities
from support.parquet_files import parquet

PARIS, LIMA, TOKYO = (1, 2.35, 48.86), (2, -77.03, -12.05), (3, 139.69, 35.69)


def lonlat(*places):
    return parquet(
        {
            "id": pa.array([place[0] for place in places], pa.int64()),
            "longitude": pa.array([place[1] for place in places]),
            "latitude": pa.array([place[2] for place in places]),
        }
    )


def proposals(scan):
    return {table["name"]: table for table in scan["report"]["tables"]}


def skipped(scan, raw):
    return {
        entry["key"].removeprefix(raw.prefix): entry["reason"]
        for entry in scan["report"]["skipped"]
    }


def test_folders_and_single_files_become_proposals_with_their_reasons(raw):
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    raw.put("cities/part-1.parquet", cities(TOKYO))
    raw.put("towns.parquet", lonlat(PARIS))
    scan = raw.scan()
    assert scan["state"] == "proposed"
    found = proposals(scan)
    assert {name: (t["file-count"], t["row-count"]) for name, t in found.items()} == {
        "cities": (2, 3),
        "towns": (1, 1),
    }
    assert found["cities"]["place"]["column"] == "geometry"
    assert found["cities"]["place"]["extent"] == [-77.03, -12.05, 139.69, 48.86]
    assert found["towns"]["place"]["column"] is None
    assert found["cities"]["reasons"]
    assert scan["progress"]["inspected"] == 3


def test_a_scan_writes_nothing_to_the_bucket(raw):
    raw.put("cities/part-0.parquet", cities(PARIS))
    before = raw.keys()
    raw.scan()
    assert raw.keys() == before


def test_what_cannot_be_read_is_a_line_in_the_report_and_the_rest_goes_on(raw):
    good = cities(PARIS, LIMA)
    raw.put("cities/part-0.parquet", good)
    raw.put("cities/cut.parquet", good[: len(good) // 2])
    raw.put("cities/text.parquet", b"not Parquet at all")
    raw.put("cities/empty.parquet", b"")
    raw.put("cities/_SUCCESS", b"")
    raw.put("cities/readme.md", b"hello")
    scan = raw.scan()
    assert proposals(scan)["cities"]["file-count"] == 1
    reported = skipped(scan, raw)
    assert {"cities/cut.parquet", "cities/text.parquet", "cities/readme.md"} <= set(reported)
    assert "cities/_SUCCESS" not in reported
    assert raw.register(scan).json()["tables"][0]["error"] is None


def test_a_registered_table_reads_its_files_in_place(raw):
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    raw.put("cities/part-1.parquet", cities(TOKYO))
    before = raw.keys()
    registered = raw.register(raw.scan()).json()["tables"]
    assert [(t["name"], t["files"], t["rows"], t["error"]) for t in registered] == [
        ("cities", 2, 3, None)
    ]
    assert raw.keys() == before
    table = raw.catalog.pyiceberg().load_table("found.cities")
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [1, 2, 3]
    assert {task.file.file_path for task in table.scan().plan_files()} == {
        f"s3://lake/{raw.prefix}cities/{name}.parquet" for name in ("part-0", "part-1")
    }


def test_hive_folders_become_partition_columns(raw):
    raw.put("by/continent=EU/year=2024/x.parquet", cities(PARIS))
    raw.put("by/continent=SA/year=2025/x.parquet", cities(LIMA))
    scan = raw.scan()
    [table] = scan["report"]["tables"]
    assert [(c["name"], c["type"]) for c in table["partitioned-by"]] == [
        ("continent", "string"),
        ("year", "int"),
    ]
    raw.register(scan)
    loaded = raw.catalog.pyiceberg().load_table(("found", table["name"]))
    rows = loaded.scan(row_filter="continent == 'SA'").to_arrow().to_pylist()
    assert [(row["id"], row["continent"], row["year"]) for row in rows] == [(2, "SA", 2025)]


def test_only_named_proposals_are_registered_and_unknown_names_refused(raw):
    raw.put("cities/part-0.parquet", cities(PARIS))
    raw.put("towns.parquet", lonlat(LIMA))
    scan = raw.scan()
    unknown = raw.register(scan, tables=["villages"])
    assert (unknown.status_code, "villages" in unknown.json()["detail"]) == (400, True)
    assert [t["name"] for t in raw.register(scan, tables=["towns"]).json()["tables"]] == ["towns"]
    assert raw.catalog.pyiceberg().list_tables("found") == [("found", "towns")]


def test_registering_twice_is_reported_and_changes_nothing(raw):
    raw.put("cities/part-0.parquet", cities(PARIS))
    raw.register(raw.scan())
    again = raw.scan()
    assert proposals(again)["cities"]["registered-as"] == "found.cities"
    [outcome] = raw.register(again, namespace="other").json()["tables"]
    assert "registered already" in outcome["error"]
    assert raw.catalog.pyiceberg().list_tables("other") == []


def test_a_file_replaced_after_the_scan_is_not_registered(raw):
    raw.put("cities/part-0.parquet", cities(PARIS))
    scan = raw.scan()
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    [outcome] = raw.register(scan).json()["tables"]
    assert "scan again" in outcome["error"]
    assert raw.catalog.pyiceberg().list_tables("found") == []


def test_a_scan_whose_files_are_not_known_any_more_is_to_be_made_again(server, raw):
    raw.put("cities/part-0.parquet", cities(PARIS))
    scan = raw.scan()
    with write(server.services.engine) as conn:
        conn.execute(delete(bucket_objects).where(bucket_objects.c.key.startswith(raw.prefix)))
    refused = raw.register(scan)
    assert (refused.status_code, "scan again" in refused.json()["detail"]) == (409, True)


def test_a_scan_of_an_unchanged_folder_looks_into_no_file_and_proposes_the_same(server, raw):
    raw.put("cities/part-0.parquet", cities(PARIS))
    raw.put("cities/cut.parquet", cities(LIMA)[:-9])
    first = raw.scan()
    with write(server.services.engine) as conn:
        conn.execute(delete(file_inspections).where(file_inspections.c.key.startswith(raw.prefix)))
    second = raw.scan()
    assert second["report"] == first["report"]
    with read(server.services.engine) as conn:
        kept = select(func.count()).where(file_inspections.c.key.startswith(raw.prefix))
        assert conn.execute(kept).scalar_one() == 0
    raw.put("cities/part-1.parquet", cities(TOKYO))
    assert proposals(raw.scan())["cities"]["row-count"] == 2


def test_what_is_gone_or_replaced_is_proposed_no_more(raw):
    for n in range(3):
        raw.put(f"cities/part-{n}.parquet", cities((n, 2.0, 48.0)))
    raw.scan()
    raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}cities/part-0.parquet")
    raw.put("cities/part-1.parquet", cities(PARIS, LIMA))
    [table] = raw.scan()["report"]["tables"]
    assert (table["file-count"], table["row-count"]) == (2, 3)


def test_of_a_catalog_one_scan_runs_at_a_time_and_it_can_be_cancelled(server, raw):
    url, body = raw.scans, {"prefix": f"s3://lake/{raw.prefix}"}
    with write(server.services.engine) as conn:  # as if a worker were at it
        job = Job(
            id=str(uuid7()),
            organisation_id=raw.http.get("/api/v1/me").json()["organisation_id"],
            kind=JobKind.SCAN,
            subject_id=raw.catalog.id,
            key=f"scan of catalog {raw.catalog.id}",
            parameters={},
            requested_by="ana",
            created_at_ms=1,
            run_after_ms=4_000_000_000_000,
        )
        jobs.enqueue(conn, job)
        scan = Scan(job.id, raw.catalog.id, body["prefix"], ScanState.RUNNING, {}, None, "a", 1, 1)
        scans.create(conn, scan)
    refused = raw.http.post(url, json=body)
    assert (refused.status_code, job.id in refused.json()["detail"]) == (409, True)
    assert raw.http.get(f"{url}/{job.id}").json()["progress"] == {"phase": "waiting"}

    cancelled = raw.http.post(f"{url}/{job.id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert raw.http.post(f"{url}/{job.id}/cancel").status_code == 409
    assert raw.http.get(url).json()["items"][0]["state"] == "cancelled"
    assert raw.scan()["state"] == "proposed"


def test_files_of_two_tables_in_one_folder_are_never_opened_together(raw):
    """A credential for a folder would open the other table's files as well."""
    for i in range(12):
        raw.put(f"mixed/city-{i}.parquet", cities((i, 2.0, 48.0)))
        raw.put(f"mixed/stock-{i}.parquet", parquet({"price": pa.array([1.0])}))
    outcomes = raw.register(raw.scan()).json()["tables"]
    for outcome in outcomes:
        if outcome["error"] is not None:
            assert "folder of their own" in outcome["error"]
            continue
        sources = server_sources(raw, outcome["name"])
        assert not any(source.endswith("/") for source in sources)


def test_no_table_is_registered_inside_a_folder_that_readers_of_another_may_open(raw):
    raw.put("all/part-0.parquet", cities(PARIS))
    raw.put("all/part-1.parquet", cities(LIMA))
    assert raw.register(raw.scan("all")).json()["tables"][0]["error"] is None
    raw.put("all/later/part-0.parquet", cities(TOKYO))
    [outcome] = raw.register(raw.scan("all/later")).json()["tables"]
    assert "readers of another table may open" in outcome["error"]


def test_a_folder_around_a_registered_table_is_opened_file_by_file(raw):
    raw.put("all/inner/part-0.parquet", cities(TOKYO))
    raw.register(raw.scan("all/inner"))
    raw.put("all/part-0.parquet", cities(PARIS))
    raw.put("all/part-1.parquet", cities(LIMA))
    scan = raw.scan("all")
    outer = next(t for t in scan["report"]["tables"] if t["file-count"] == 2)
    [outcome] = raw.register(scan, tables=[outer["name"]]).json()["tables"]
    assert outcome["error"] is None
    assert not any(source.endswith("/") for source in server_sources(raw, outer["name"]))


def server_sources(raw, name):
    table = raw.catalog.pyiceberg().load_table(("found", name))
    return json.loads(table.properties["graticule.sources"])


@pytest.mark.parametrize("prefix", ["s3://elsewhere/x", "nonsense", "s3://lake/a/../b"])
def test_a_prefix_outside_of_the_integration_is_refused(raw, prefix):
    answer = raw.http.post(raw.scans, json={"prefix": prefix})
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


def test_the_tables_of_catalogs_are_not_discovered(raw):
    client = raw.catalog.pyiceberg()
    client.create_namespace("ns")
    client.create_table("ns.t", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1]}))
    started = raw.http.post(raw.scans, json={"prefix": f"s3://lake/{raw.catalog.id}"}).json()
    deadline_scan = _finished(raw, started["id"])
    assert deadline_scan["report"]["tables"] == []


def _finished(raw, scan_id):
    for _ in range(600):
        scan = raw.http.get(f"{raw.scans}/{scan_id}").json()
        if scan["state"] != "running":
            return scan
    pytest.fail("the scan did not end")


def test_scans_are_listed_newest_first_and_unknown_ones_are_not_found(raw):
    raw.put("a.parquet", cities(PARIS))
    first, second = raw.scan(), raw.scan()
    listed = raw.http.get(raw.scans).json()["items"]
    assert [scan["id"] for scan in listed] == [second["id"], first["id"]]
    assert raw.http.get(f"{raw.scans}/{first['id'][::-1]}").status_code == 404


def test_registered_tables_cannot_be_written_through_their_sources(raw, server):
    raw.put("cities/part-0.parquet", cities(PARIS))
    raw.register(raw.scan())
    table = raw.catalog.pyiceberg().load_table("found.cities")
    import boto3  # noqa: PLC0415
    from botocore.exceptions import ClientError  # noqa: PLC0415

    properties = table.io.properties
    s3 = boto3.client(
        "s3",
        endpoint_url=properties["s3.endpoint"],
        region_name=properties["client.region"],
        aws_access_key_id=properties["s3.access-key-id"],
        aws_secret_access_key=properties["s3.secret-access-key"],
        aws_session_token=properties["s3.session-token"],
    )
    key = f"{raw.prefix}cities/part-0.parquet"
    assert s3.head_object(Bucket="lake", Key=key)["ContentLength"] > 0
    for forbidden in (
        lambda: s3.put_object(Bucket="lake", Key=key, Body=b""),
        lambda: s3.delete_object(Bucket="lake", Key=key),
    ):
        with pytest.raises(ClientError, match=r"403|AccessDenied"):
            forbidden()
