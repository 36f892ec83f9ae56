"""Jobs that outlive their credentials, and writers that meet on one table."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException

from graticule.services.integrations import credential_cache
from support.duck import attached
from support.engine_matrix import Capability, proves
from support.faults import faulty
from support.server import LiveCatalog
from support.spark import SEDONA_35, SPARK_35, SPARK_41, on_sampled_lines
from support.strict_stores import ShortSessions

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]

LIFE_S = 4.0
FILES = 12
ROUNDS = 5
RETRIES = "tblproperties ('commit.retry.num-retries'='30')"


@pytest.fixture
def sessions() -> ShortSessions:
    return ShortSessions(LIFE_S)


@pytest.fixture
def short(server, http, connect_folder, sessions, seaweedfs, monkeypatch) -> LiveCatalog:
    """A catalog whose credentials last seconds, and are handed out while most of that is left."""
    monkeypatch.setattr(credential_cache, "FRESH_LIFE_MS_MIN", 0)
    monkeypatch.setattr(credential_cache, "life_to_keep_ms", lambda life_ms: life_ms * 9 // 10)
    monkeypatch.setattr(credential_cache, "JITTER", 0.0)
    with faulty(seaweedfs.endpoint, sessions) as proxy:
        lake = connect_folder(endpoint=proxy.endpoint)
        body = {"name": lake.folder, "integration": lake.integration["id"], "force": True}
        made = http.post("/api/v1/catalogs", json=body)
        assert made.status_code == 201, made.text
        yield LiveCatalog(server, lake.folder, made.json()["id"])


@proves(SPARK_41, Capability.OUTLIVES, figure="one job over at least three credentials")
@proves(SPARK_35, Capability.OUTLIVES, figure="one job over at least three credentials")
@proves(SEDONA_35, Capability.OUTLIVES, figure="one job over at least three credentials")
@on_sampled_lines
def test_a_job_reads_and_writes_for_longer_than_its_credentials_last(spark, short, sessions):
    """Each row takes two seconds, so files are opened and written long after the job began."""
    name = f"short{spark.line.replace('.', '')}"
    spark.connect(short, name)
    spark.sql(f"create namespace {name}.ns")
    spark.sql(f"create table {name}.ns.source (id bigint) using iceberg")
    spark.sql(
        f"insert into {name}.ns.source select /*+ repartition({FILES}) */ id from range({FILES})"
    )
    spark.sql(
        f"create table {name}.ns.target (id bigint, told string) using iceberg partitioned by (id)"
    )
    begun_s, before = time.monotonic(), set(sessions.issued_at_s)
    spark.sql(
        f"insert into {name}.ns.target select id,"
        " java_method('java.lang.Thread', 'sleep', 2000L)"
        f" from {name}.ns.source"
    )

    assert time.monotonic() - begun_s > 3 * LIFE_S
    assert len(set(sessions.issued_at_s) - before) >= 3
    assert sessions.expired == set()
    assert spark.sql(f"select id from {name}.ns.target order by id") == [[i] for i in range(FILES)]
    spark.sql(f"drop table {name}.ns.source")
    spark.sql(f"drop table {name}.ns.target")


@proves(SPARK_41, Capability.CONCURRENT, figure="two Spark jobs on one table")
@proves(SPARK_35, Capability.CONCURRENT, figure="two Spark jobs on one table")
@proves(SEDONA_35, Capability.CONCURRENT, figure="two Spark jobs on one table")
def test_two_spark_jobs_write_one_table_and_nothing_is_lost(newest, sedona):
    newest.sql("create namespace lake.two_jobs")
    newest.sql(
        f"create table lake.two_jobs.t (id bigint, job int) using iceberg"
        f" partitioned by (job) {RETRIES}"
    )
    sedona.connect(newest.catalog, "shared")

    def job(sql: Callable[[str], list], table: str, number: int) -> None:
        for i in range(ROUNDS):
            first = i * 10
            sql(f"insert into {table} select id, {number} from range({first}, {first + 10})")
        sql(f"delete from {table} where job = {number} and id < 10")

    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(job, newest.sql, "lake.two_jobs.t", 1),
            pool.submit(job, sedona.sql, "shared.two_jobs.t", 2),
        ]
    assert [job.exception() for job in jobs] == [None, None]

    # Sessions keep tables for a while, each as its own last commit left it.
    newest.sql("refresh table lake.two_jobs.t")
    sedona.sql("refresh table shared.two_jobs.t")
    rows = sedona.sql("select job, count(*), count(distinct id) from shared.two_jobs.t group by 1")
    left = (ROUNDS - 1) * 10
    assert sorted(rows) == [[1, left, left], [2, left, left]]
    commits = newest.sql(
        "select count(*), count(distinct snapshot_id) from lake.two_jobs.t.history"
    )
    assert commits == [[2 * (ROUNDS + 1), 2 * (ROUNDS + 1)]]


@proves(SPARK_41, Capability.CONCURRENT, figure="compacts while PyIceberg and DuckDB append")
def test_rows_that_others_append_while_spark_compacts_are_all_there_once(newest):
    newest.sql("create namespace lake.busy")
    newest.sql(f"create table lake.busy.t (id bigint) using iceberg {RETRIES}")
    newest.sql("insert into lake.busy.t select id from range(100)")

    def compact() -> int:
        done = 0
        deadline = time.monotonic() + 120
        while not all(writer.done() for writer in writers) and time.monotonic() < deadline:
            ((rewritten, *_),) = newest.sql(
                "call lake.system.rewrite_data_files(table => 'busy.t',"
                " options => map('rewrite-all', 'true'))"
            )
            done += rewritten > 0
        return done

    with ThreadPoolExecutor() as pool:
        writers = [
            pool.submit(_append_by_pyiceberg, newest.catalog, "busy.t", 1000),
            pool.submit(_append_by_duckdb, newest.catalog, "busy.t", 2000),
        ]
        compactions = pool.submit(compact)
    assert [writer.exception() for writer in writers] == [None, None]
    assert compactions.result() > 0

    written = [*range(100), *range(1000, 1000 + ROUNDS), *range(2000, 2000 + ROUNDS)]
    found = Counter(
        newest.catalog.pyiceberg().load_table("busy.t").scan().to_arrow()["id"].to_pylist()
    )
    assert found == Counter(written)
    assert sorted(row[0] for row in newest.sql("select id from lake.busy.t")) == written
    operations = Counter(
        row[0] for row in newest.sql("select operation from lake.busy.t.snapshots")
    )
    assert operations == {"append": 1 + 2 * ROUNDS, "replace": compactions.result()}


def _append_by_pyiceberg(catalog: LiveCatalog, name: str, first: int) -> None:
    """One row a commit; who loses a race has written nothing, and tries again."""
    client = catalog.pyiceberg()
    for i in range(first, first + ROUNDS):
        while True:
            try:
                client.load_table(name).append(pa.table({"id": pa.array([i], pa.int64())}))
                break
            except CommitFailedException:
                continue


def _append_by_duckdb(catalog: LiveCatalog, name: str, first: int) -> None:
    duck = attached(catalog)
    for i in range(first, first + ROUNDS):
        while True:
            try:
                duck.execute(f"insert into lake.{name} values ({i})")
                break
            except duckdb.TransactionException:
                continue
    duck.close()
