"""The stored index of a table, from one commit to the next and to the end of the table."""

import pyarrow as pa
import pytest

from graticule.services.catalog import index_orders
from graticule.services.planning import stored_indexes
from support.patience import until
from support.plans import PlannedTable, index_files
from support.points import COLUMNS, rows, window


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(index_orders, "INDEX_DELAY_S", 0.0)


@pytest.fixture
def written(catalog):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    return client.create_table("ns.t", COLUMNS)


@pytest.fixture
def table(catalog, http, written):
    return PlannedTable(catalog, http, "ns", "t")


def test_a_commit_is_indexed_without_anybody_asking_for_a_plan(table, written):
    written.append(rows(1, 2))
    assert len(table.await_index()) == 1
    written.append(rows(30))
    assert len(table.await_index()) == 2
    assert len(table.files(window(29, 31))) == 1
    assert len(table.files(window(0, 90))) == 2


def test_what_was_never_indexed_is_planned_right_all_the_same(table, written, monkeypatch):
    monkeypatch.setattr(index_orders, "INDEX_DELAY_S", 3_600.0)
    written.append(rows(1))
    written.append(rows(30))
    assert len(table.files(window(29, 31))) == 1


def test_a_commit_that_moves_no_snapshot_orders_no_index(table, written, monkeypatch):
    written.append(rows(1))
    table.await_index()
    ordered = []
    monkeypatch.setattr(index_orders.jobs_db, "enqueue", lambda *a, **_: ordered.append(a))
    with written.transaction() as change:
        change.set_properties(a="b")
    assert ordered == []
    written.append(rows(2))
    assert len(ordered) == 1


def test_a_table_without_a_place_orders_no_index(catalog, http, monkeypatch):
    ordered = []
    monkeypatch.setattr(index_orders.jobs_db, "enqueue", lambda *a, **_: ordered.append(a))
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    client.create_table("ns.t", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1]}))
    assert ordered == []


def test_every_snapshot_branch_and_tag_is_planned_as_it_was(table, written):
    written.append(rows(1))
    first = written.current_snapshot().snapshot_id
    written.manage_snapshots().create_tag(first, "then").commit()
    written.manage_snapshots().create_branch(first, "side").commit()
    written.append(rows(30))
    written.append(rows(90), branch="side")
    side = written.refresh().refs()["side"].snapshot_id
    written.overwrite(rows(60))
    table.forget_indexes()
    assert len(table.files(window(0, 2))) == 0
    assert len(table.files({"snapshot-id": first, **window(0, 2)})) == 1
    assert len(table.files({"snapshot-id": first, **window(29, 90)})) == 0
    assert len(table.files(window(59, 61))) == 1
    assert len(table.files({"snapshot-id": side, **window(89, 91)})) == 1
    assert len(table.files({"snapshot-id": side})) == 2


def test_indexes_of_expired_snapshots_are_removed(table, written):
    written.append(rows(1))
    table.await_index()
    first = written.current_snapshot().snapshot_id
    written.append(rows(2))
    table.await_index()
    written.maintenance.expire_snapshots().by_id(first).commit()
    until(lambda: not any(str(first) in key for key in table.index_files()))
    assert len(table.index_files()) == 1


def test_only_a_few_indexes_are_kept_beside_those_of_branches_and_tags(table, written, monkeypatch):
    monkeypatch.setattr(stored_indexes, "OTHERS_KEPT_MAX", 1)
    written.append(rows(0))
    tagged = written.current_snapshot().snapshot_id
    written.manage_snapshots().create_tag(tagged, "then").commit()
    table.await_index()
    for number in range(1, 4):
        written.append(rows(number))
        table.await_index()
    until(lambda: len(table.index_files()) == 3)
    assert any(str(tagged) in key for key in table.index_files())


@pytest.mark.parametrize("way", ["drop", "unregister", "purge"])
def test_a_table_that_goes_leaves_no_index_behind(catalog, http, table, written, way):
    written.append(rows(1))
    table.await_index()
    location, s3 = table.metadata["location"], table.s3
    if way == "drop":
        http.delete(table.url, params={"purgeRequested": "false"})
    elif way == "purge":
        http.delete(table.url, params={"purgeRequested": "true"})
        catalog.server.services.upkeep.wake()
    else:
        http.post(f"{table.url}/unregister", json={})
    until(lambda: index_files(s3, location) == [])


def test_another_choice_of_box_columns_is_another_index(catalog, http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    names = ["xmin", "ymin", "xmax", "ymax"]
    columns = [pa.field("geometry", pa.binary())]
    columns += [pa.field(f"{prefix}_{name}", pa.float64()) for prefix in "ab" for name in names]

    def geo(prefix):
        sides = ", ".join(f'"{prefix}_{name}"' for name in names)
        return (
            '{"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": '
            f'{{"encoding": "WKB", "bbox_columns": [{sides}]}}}}}}'
        )

    written = client.create_table("ns.t", pa.schema(columns), properties={"geo": geo("a")})
    values = [[b""], *([[1.0]] * 4), *([[50.0]] * 4)]
    written.append(pa.table(values, schema=pa.schema(columns)))
    table = PlannedTable(catalog, http, "ns", "t")

    def near(x):
        box = {"x": {"min": x - 1, "max": x + 1}, "y": {"min": x - 1, "max": x + 1}}
        return {"filter": {"type": "st-intersects", "term": "geometry", "value": box}}

    assert (len(table.files(near(1))), len(table.files(near(50)))) == (1, 0)
    with written.transaction() as change:
        change.set_properties(geo=geo("b"))
    assert (len(table.files(near(1))), len(table.files(near(50)))) == (0, 1)
    table.forget_indexes()
    assert (len(table.files(near(1))), len(table.files(near(50)))) == (0, 1)
