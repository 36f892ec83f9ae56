"""Metrics reports in SQL, on both engines."""

from dataclasses import replace

import pytest

from graticule.db import metrics, tables
from graticule.db.engine import read, write
from graticule.domain.errors import NoSuchTable
from graticule.domain.metrics import MetricsReport
from support.rows import NOW, record_at, with_catalog

REPORT = MetricsReport(
    id="01",
    table_id="t1",
    report_type="scan-report",
    snapshot_id=2**63 - 1,
    principal="Ana López",
    report='{"a":"é"}',
    received_at_ms=NOW,
)


@pytest.fixture
def db(database):
    with_catalog(database)
    with write(database) as conn:
        for name in ("t1", "t2"):
            tables.create(conn, record_at(name), b"{}")
    return database


def add(db, *ids, table_id="t1", keep=100):
    for report_id in ids:
        with write(db) as conn:
            metrics.add(conn, replace(REPORT, id=report_id, table_id=table_id), keep=keep)


def ids(db, table_id="t1", **page):
    with read(db) as conn:
        found = metrics.page(conn, table_id, **{"after": None, "limit": 100, **page})
    return [report.id for report in found]


def test_a_report_comes_back_as_it_was_kept(db):
    add(db, "01")
    with read(db) as conn:
        assert metrics.page(conn, "t1", after=None, limit=10) == [REPORT]


def test_only_the_newest_are_kept_and_only_of_that_table(db):
    add(db, "01", "02", "03", table_id="t2")
    add(db, "04", "05", "06", "07", keep=2)
    assert (ids(db), ids(db, "t2")) == (["07", "06"], ["03", "02", "01"])


def test_pages_are_newest_first(db):
    add(db, "01", "02", "03")
    assert ids(db, limit=2) == ["03", "02"]
    assert ids(db, after="02", limit=2) == ["01"]


def test_reports_go_with_their_table(db):
    add(db, "01")
    with write(db) as conn:
        tables.drop(conn, "t1")
    assert ids(db) == []
    with pytest.raises(NoSuchTable):
        add(db, "02")
