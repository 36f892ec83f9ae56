"""Clients that work for longer than a credential lasts: here a few seconds.

The stores at hand issue no session so short, so a proxy ends them; what is over, it refuses.
"""

import time

import fsspec.config
import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField

from graticule.services.integrations import credential_cache
from support.duck import attach, attached
from support.engine_list import DUCKDB, JAVA, PYICEBERG
from support.engine_matrix import Capability, lacks, proves
from support.faults import faulty
from support.java import run_junit
from support.server import LiveCatalog
from support.strict_stores import ShortSessions

pytestmark = [pytest.mark.client, pytest.mark.s3, pytest.mark.timeout(320)]

LIFE_S = 4.0
SCHEMA = Schema(NestedField(1, "id", LongType(), required=False))


@pytest.fixture
def sessions():
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


def outlive(sessions: ShortSessions) -> None:
    """Wait until every session there is has ended."""
    last = max(sessions.issued_at_s.values())
    time.sleep(max(0.0, last + LIFE_S + 0.1 - time.monotonic()))


def ids(table) -> list[int]:
    return sorted(table.scan().to_arrow()["id"].to_pylist())


def rows(*values: int) -> pa.Table:
    return pa.table({"id": pa.array(values, pa.int64())})


@proves(JAVA, Capability.READ, Capability.VENDED)
@proves(JAVA, Capability.OUTLIVES, figure="it fetches the next one by itself")
def test_java_reads_on_with_credentials_that_it_fetches_by_itself(short, sessions, tmp_path):
    report = run_junit(short, tmp_path, "--select-class=graticule.Refresh")

    assert report.failed == {}
    assert report.passed == {"aFileIsReadForLongerThanACredentialLasts"}
    assert sessions.expired == set()
    assert len(sessions.issued_at_s) > 3


@lacks(
    PYICEBERG,
    Capability.OUTLIVES,
    "a table keeps the credential that it was loaded with",
    issue="https://github.com/apache/iceberg-python/issues/3506",
    instead="load the table again, or have requests signed",
)
def test_pyiceberg_reads_on_with_a_table_that_is_loaded_again(short, sessions):
    client = short.pyiceberg()
    client.create_namespace("ns")
    table = client.create_table("ns.t", SCHEMA)
    table.append(rows(1))
    outlive(sessions)

    with pytest.raises(OSError, match="HTTP status 400"):
        ids(table)  # PyIceberg 0.12 refreshes nothing by itself
    again = client.load_table("ns.t")
    again.append(rows(2))
    assert ids(again) == [1, 2]


@proves(PYICEBERG, Capability.OUTLIVES, figure="with `remote-signing` there is none to end")
def test_pyiceberg_that_has_its_requests_signed_need_not_even_load_again(
    short, sessions, monkeypatch
):
    monkeypatch.setitem(fsspec.config.conf, "s3", {"skip_instance_cache": True})
    client = short.pyiceberg(**{"header.X-Iceberg-Access-Delegation": "remote-signing"})
    client.create_namespace("ns")
    table = client.create_table("ns.t", SCHEMA)
    table.append(rows(1))
    outlive(sessions)

    assert ids(table) == [1]
    table.append(rows(2))
    assert ids(table) == [1, 2]
    assert sessions.expired == set()


@lacks(
    DUCKDB,
    Capability.OUTLIVES,
    "a table's first credential is kept, even when detached",
    issue="https://github.com/duckdb/duckdb-iceberg/issues/1352",
    instead="detach, drop the table's secret and attach again, or connect anew",
)
def test_duckdb_reads_on_when_it_is_attached_again(short, sessions):
    """It keeps the first credential of a table as a secret of its own, even when detached."""
    duck = attached(short)
    duck.execute("create schema lake.ns")
    duck.execute("create table lake.ns.t as select 1 as id")
    outlive(sessions)

    duck.execute("detach lake")
    for (name,) in duck.execute("select name from duckdb_secrets() where type = 's3'").fetchall():
        duck.execute(f'drop secret "{name}"')
    attach(duck, short)
    assert duck.execute("select id from lake.ns.t").fetchall() == [(1,)]
    duck.execute("insert into lake.ns.t values (2)")
    assert duck.execute("select id from lake.ns.t order by id").fetchall() == [(1,), (2,)]
    assert sessions.expired == set()
    duck.close()
