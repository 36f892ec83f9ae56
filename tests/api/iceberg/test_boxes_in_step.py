"""Files that engines append without statistics: unknown at first, found where they are by a job."""

import json
import os
import signal
import struct
import threading
from collections import Counter

import pyarrow as pa
import pytest
from pyiceberg.types import DoubleType
from sqlalchemy import select
from uuid6 import uuid7

import graticule.client
from graticule.db import jobs as jobs_db
from graticule.db.engine import read, write
from graticule.db.schema import catalogs, tables
from graticule.domain.job import Job, JobKind, JobState
from graticule.services.catalog import box_orders, index_orders
from graticule.services.jobs.job_run import JobRun
from graticule.services.planning import box_filling, indexing
from graticule.services.planning.box_filling import BoxFilling
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.wiring import wall_clock_ms
from support import patience
from support.plans import PlannedTable

COLUMNS = pa.schema([("id", pa.int64()), ("geometry", pa.binary())])
GEO = json.dumps({"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}})
BOX_SIDES = ("xmin", "ymin", "xmax", "ymax")
WINDOW = "31.5,-1,40,1"


def point(x, y=0.0):
    return struct.pack("<BIdd", 1, 1, x, y)


def rows(*ids, values=None):
    values = [point(float(i)) for i in ids] if values is None else values
    return pa.table([list(ids), values], schema=COLUMNS)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(index_orders, "INDEX_DELAY_S", 0.0)
    monkeypatch.setattr(indexing, "COMPARED_EVERY_S", 0.0)


@pytest.fixture
def ordered(monkeypatch):
    """Tables whose files would be read, had it not been put off."""
    ordered = []
    monkeypatch.setattr(box_orders.BoxOrders, "order", lambda _, *table: ordered.append(table))
    return ordered


@pytest.fixture
def looks(monkeypatch):
    """How often each file was looked into, by the number in its first row."""
    looks, look = Counter(), BoxFilling._look

    def counting(self, read, file, row):
        looks[file.path] += 1
        return look(self, read, file, row)

    monkeypatch.setattr(BoxFilling, "_look", counting)
    return looks


class Table:
    """A table that PyIceberg writes, and what the server makes of it."""

    def __init__(self, catalog, http, **properties):
        client = catalog.pyiceberg()
        client.create_namespace("ns")
        self.catalog, self.http = catalog, http
        self.services = catalog.server.services
        options = {"geo": GEO, "write.parquet.row-group-limit": "2", **properties}
        self.written = client.create_table("ns.t", COLUMNS, properties=options)
        self.planned = PlannedTable(catalog, http, "ns", "t")

    def files(self, bbox=WINDOW, **more):
        path = f"/api/v1/catalogs/{self.catalog.id}/namespaces/ns/tables/t/files"
        answer = self.http.get(path, params={"bbox": bbox, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def plan(self, xmin, xmax):
        value = {"x": {"min": xmin, "max": xmax}, "y": {"min": -1, "max": 1}}
        return self.planned.files(
            {"filter": {"type": "st-intersects", "term": "geometry", "value": value}}
        )

    def rows_within(self, *bbox):
        opened = graticule.client.open(
            f"{self.catalog.name}.ns.t",
            uri=self.catalog.server.url,
            credential=self.catalog.server.key.credential,
        )
        return sorted(opened.within(bbox).to_arrow()["id"].to_pylist())

    @property
    def ids(self):
        """Of the table, and of its organisation."""
        uuid = str(self.written.metadata.table_uuid)
        query = select(tables.c.id, catalogs.c.organisation_id).join(
            catalogs, catalogs.c.id == tables.c.catalog_id
        )
        with read(self.services.engine) as conn:
            return tuple(conn.execute(query.where(tables.c.table_uuid == uuid)).one())

    def over(self):
        """The results of its jobs of boxes that are over, the latest first."""
        found = self.http.get("/api/v1/jobs", params={"kind": "boxes"}).json()["items"]
        own = [job for job in found if job["subject_id"] == self.ids[0]]
        return [job for job in own if job["state"] in {"succeeded", "failed", "cancelled"}]

    def claimed(self, lease_s=60.0):
        """A job that the test has to do, as one of the server's workers would."""
        table_id, organisation_id = self.ids
        now_ms = wall_clock_ms()
        job = Job(
            id=str(uuid7()),
            organisation_id=organisation_id,
            kind=JobKind.BOXES,
            subject_id=table_id,
            key=f"boxes/{table_id}",
            parameters={},
            requested_by="test",
            created_at_ms=now_ms,
            run_after_ms=0,
        )
        with write(self.services.engine) as conn:
            jobs_db.enqueue(conn, job)
            return jobs_db.claim(conn, "test", [JobKind.BOXES], now_ms=now_ms, lease_s=lease_s)

    def work(self, job, progress=lambda _: None):
        run = JobRun(self.services.engine, job, now_ms=wall_clock_ms, lease_s=60)
        run.progress = progress
        return self.services.job_worker._handlers[JobKind.BOXES](job, run)

    def fill(self):
        """Read what there is to read, here and now."""
        job = self.claimed()
        result = self.work(job)
        with write(self.services.engine) as conn:
            jobs_db.finish(conn, job, JobState.SUCCEEDED, now_ms=wall_clock_ms())
        return result


@pytest.fixture
def table(catalog, http):
    return Table(catalog, http)


def test_plain_wkb_is_everywhere_until_a_job_has_read_it(table, monkeypatch):
    gate, fill = threading.Event(), BoxFilling.fill

    def held(self, files):
        gate.wait(patience.TIMEOUT_S)
        return fill(self, files)

    monkeypatch.setattr(BoxFilling, "fill", held)
    for first in (1, 30, 60):
        table.written.append(rows(*range(first, first + 4)))
    assert len(table.plan(31.5, 40)) == 3
    assert table.files()["totals"]["unknown_kept"] == 3
    gate.set()
    patience.until(lambda: len(table.plan(31.5, 40)) == 1)
    found = table.files(level="row_group")
    (file,) = found["files"]
    assert (file["path"], found["totals"]["unknown_kept"]) == (*table.plan(31.5, 40), 0)
    assert (file["box_status"], file["boxes"]) == ("exact", [[30, 0, 33, 0]])
    assert [(g["index"], g["rows"], g["boxes"]) for g in file["row_groups"]] == [
        (1, 2, [[32, 0, 33, 0]])
    ]
    assert table.rows_within(31.5, -1, 40, 1) == [32, 33]
    assert table.written.scan().count() == 12


def test_a_file_is_read_once_however_often_manifests_are_rewritten(table, ordered, looks):
    table.written.append(rows(1, 2))
    table.written.append(rows(30, 31))
    assert table.fill()["read"] == 2
    with table.written.transaction() as change:
        change.set_properties(
            {"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "2"}
        )
    table.written.append(rows(60, 61))
    assert len(table.written.current_snapshot().manifests(table.written.io)) == 1
    assert table.fill()["read"] == 1
    assert sorted(looks.values()) == [1, 1, 1]
    assert len(table.plan(31, 32)) == 1
    again = table.fill()
    assert (again["files"], again["is_done"]) == (0, True)


def test_who_takes_over_from_a_worker_that_died_goes_on_with_the_rest(
    table, ordered, looks, monkeypatch
):
    monkeypatch.setattr(box_filling, "FILES_AT_ONCE", 1)
    monkeypatch.setattr(box_filling, "KEPT_AT_ONCE", 1)
    for first in (1, 30, 60):
        table.written.append(rows(first, first + 1))

    def die(progress):
        if progress.get("read") == 2:
            raise MemoryError

    with pytest.raises(MemoryError):
        table.work(table.claimed(lease_s=0.5), die)
    (done,) = patience.until(table.over)
    assert (done["state"], done["attempts"], done["result"]["read"]) == ("succeeded", 2, 1)
    assert sorted(looks.values()) == [1, 1, 1]
    assert len(table.plan(31, 32)) == 1


def test_a_process_that_is_killed_over_a_file_leaves_it_to_another(table, ordered, monkeypatch):
    table.written.append(rows(1, 2))
    workers, compute = table.services.workers, InspectionWorkers.compute
    killed = []

    def killing(self, read, *args, **options):
        def read_once(*span):
            if not killed:
                killed.extend(worker._process.pid for worker in workers._workers if worker._process)
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
            return read(*span)

        return compute(self, read_once, *args, **options)

    monkeypatch.setattr(InspectionWorkers, "compute", killing)
    assert table.fill()["unreadable"] == 0
    assert killed
    assert table.plan(3, 4) == []


def test_what_is_no_geometry_is_unknown_for_good_and_the_reason_is_told(table, ordered, looks):
    table.written.append(rows(1, 2))
    table.written.append(rows(30, 31, 32, 33, values=[point(30), b"no", point(32), point(33)]))
    assert (table.fill()["unreadable"], len(looks)) == (1, 2)
    (file,) = table.files("80,-1,81,1", level="row_group")["files"]
    assert (file["box_status"], file["unknown_because"]) == (
        "unknown",
        "1 or more values are no geometries that can be bounded",
    )
    assert [group["index"] for group in file["row_groups"]] == [0]
    assert table.fill()["files"] == 0
    assert len(table.plan(1, 2)) == 2
    ordered.clear()
    table.written.delete("id == 1")  # rewrites a file, which is to be read
    patience.until(lambda: ordered)
    table.fill()
    table.planned.await_sound_index()
    ordered.clear()
    table.written.delete("id == 2")  # and this leaves only the one that was
    table.planned.await_sound_index()
    table.services.box_orders.order_due(threading.Event())
    assert table.ids not in ordered


def test_a_large_file_is_read_slice_by_slice_and_between_runs(table, ordered, monkeypatch):
    monkeypatch.setattr(box_filling, "SLICE_BYTES", 1)
    monkeypatch.setattr(box_filling, "RUN_BYTES_MAX", 1)
    monkeypatch.setattr(box_filling, "FILES_AT_ONCE", 1)
    table.written.append(rows(*range(6)))
    assert [table.fill()["is_done"] for _ in range(3)] == [False, False, True]
    assert len(ordered) >= 2
    (file,) = table.files("1,-1,2,1", level="row_group")["files"]
    assert (file["box_status"], file["boxes"]) == ("exact", [[0, 0, 5, 0]])
    assert [group["boxes"] for group in file["row_groups"]] == [[[0, 0, 1, 0]], [[2, 0, 3, 0]]]


def test_row_groups_of_files_whose_place_is_known_are_read_as_well(table, ordered, looks):
    """Columns that bound rows bound the file in its manifest, which tells of no row groups."""
    sides = ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")
    with table.written.update_schema() as change:
        for side in sides:
            change.add_column(side, DoubleType())
    column = {"encoding": "WKB", "bbox_columns": dict(zip(BOX_SIDES, sides, strict=True))}
    geo = json.dumps({"primary_column": "geometry", "columns": {"geometry": column}})
    with table.written.transaction() as change:
        change.set_properties({"geo": geo})
    some = rows(1, 2, 3)
    for side in sides:
        values = [float(i) if "x" in side[-4:-2] else 0.0 for i in (1, 2, 3)]
        some = some.append_column(side, pa.array(values))
    table.written.append(some)
    (before,) = table.files("2,-1,4,1")["files"]
    assert (before["box_status"], table.files("9,-1,10,1")["files"]) == ("outer", [])
    assert table.fill()["read"] == 1
    (after,) = table.files("2.5,-1,4,1", level="row_group")["files"]
    assert [group["boxes"] for group in after["row_groups"]] == [[[3, 0, 3, 0]]]
    assert table.fill()["files"] == 0


@pytest.mark.parametrize("of", ["table", "catalog"])
def test_files_are_left_alone_where_a_property_says_so(server, http, ordered, of):
    off = {"graticule.compute-boxes": "false"}
    catalog = server.new_catalog(**({"properties": off} if of == "catalog" else {}))
    table = Table(catalog, http, **(off if of == "table" else {}))
    table.written.append(rows(1, 2))
    assert table.fill() == {"files": None}
    assert len(table.plan(30, 31)) == 1
    table.services.box_orders.order_due(threading.Event())
    assert table.ids not in ordered


def test_what_is_neither_yes_nor_no_is_refused(server):
    with pytest.raises(AssertionError, match="compute-boxes"):
        server.new_catalog(properties={"graticule.compute-boxes": "perhaps"})


def test_tables_that_were_there_before_are_read_too(table, ordered, monkeypatch):
    table.written.append(rows(1, 2))
    patience.until(lambda: ordered)
    ordered.clear()
    table.files()
    table.services.box_orders.order_due(threading.Event())
    assert table.ids in ordered
