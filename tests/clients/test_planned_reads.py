"""A planned read is a full read: of tables by several writers, under any filter there may be."""

import io
import math
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DoubleType, LongType, NestedField, StringType

from support.duck import attached
from support.lake import RawFolder
from support.parquet_files import parquet
from support.plans import PlannedTable
from support.profiles import effort

pytestmark = [pytest.mark.client, pytest.mark.timeout(320)]

FILES = 8
ARROW = pa.schema(
    [
        ("id", pa.int64()),
        ("kind", pa.string()),
        ("longitude", pa.float64()),
        ("latitude", pa.float64()),
    ]
)
ICEBERG = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "kind", StringType(), required=False),
    NestedField(3, "longitude", DoubleType(), required=False),
    NestedField(4, "latitude", DoubleType(), required=False),
)
SPEC = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "kind"))


def some_rows(seed: int) -> pa.Table:
    """A cluster of places here or there, with nulls, NaN, and longitudes beyond the date line."""
    chance = random.Random(seed)
    x, y = chance.choice([(-179.0, 0.0), (179.5, 10.0), (2.0, 48.0), (200.0, -80.0), (0.0, 0.0)])

    def place(centre: float) -> float | None:
        kind = chance.random()
        if kind < 0.1:
            return None
        return math.nan if kind < 0.2 else centre + chance.uniform(-1, 1)

    rows = [
        {
            "id": chance.choice([None, seed * 10 + number]),
            "kind": chance.choice([None, "a", "b", "ab"]),
            "longitude": place(x),
            "latitude": place(y),
        }
        for number in range(chance.randrange(1, 6))
    ]
    return pa.Table.from_pylist(rows, schema=ARROW)


def by_pyiceberg(catalog, _http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    plain = client.create_table("ns.t", ICEBERG)
    for seed in range(FILES):
        plain.append(some_rows(seed))
    plain.delete("id == 11 or id == 21")


def by_pyiceberg_with_partitions(catalog, _http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    table = client.create_table("ns.t", ICEBERG, partition_spec=SPEC)
    for seed in range(FILES // 2):
        table.append(some_rows(seed))


def by_duckdb(catalog, _http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    duck = attached(catalog)
    duck.execute(
        "create table lake.ns.t (id bigint, kind varchar, longitude double, latitude double)"
    )
    for seed in range(FILES):
        duck.register("given", some_rows(seed))
        duck.execute("insert into lake.ns.t select * from given")
    duck.close()


def by_registration(catalog, http):
    raw = RawFolder(catalog.server, catalog, http, f"planned-{catalog.id}/")
    for seed in range(FILES):
        rows = some_rows(seed)
        raw.put(f"t/{seed}.parquet", parquet({name: rows[name] for name in ARROW.names}))
    answer = raw.register(raw.scan(), namespace="ns")
    assert answer.status_code in {200, 202}, answer.text


COLUMNS = {
    "id": st.integers(-5, 90),
    "kind": st.sampled_from(["a", "ab", "b", "c", ""]),
    "longitude": st.sampled_from([-180.0, -179.5, -1.0, 0.0, 2.0, 2.5, 179.0, 180.0, 199.5, 201.0]),
    "latitude": st.sampled_from([-90.0, -80.5, -1.0, 0.0, 0.5, 9.5, 48.0, 90.0]),
}
ORDERS = {
    "lt": lambda a, b: a < b,
    "lt-eq": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gt-eq": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "not-eq": lambda a, b: a != b,
}


@st.composite
def predicates(draw):
    name = draw(st.sampled_from(sorted(COLUMNS)))
    kind = draw(st.sampled_from(["order", "order", "order", "in", "null", "prefix"]))
    if kind == "null":
        return {"type": draw(st.sampled_from(["is-null", "not-null"])), "term": name}
    if kind == "in":
        values = draw(st.lists(COLUMNS[name], min_size=1, max_size=3))
        return {"type": "in", "term": name, "values": values}
    if kind == "prefix":
        return {"type": "starts-with", "term": "kind", "value": draw(COLUMNS["kind"])}
    op = draw(st.sampled_from(sorted(ORDERS)))
    return {"type": op, "term": name, "value": draw(COLUMNS[name])}


FILTERS = st.recursive(
    predicates(),
    lambda inner: (
        st.builds(lambda child: {"type": "not", "child": child}, inner)
        | st.builds(
            lambda op, left, right: {"type": op, "left": left, "right": right},
            st.sampled_from(["and", "or"]),
            inner,
            inner,
        )
    ),
    max_leaves=6,
)


def holds(filter_, row):
    """True, false, or None where a null decides, of which engines think differently."""
    match filter_["type"]:
        case "not":
            inner = holds(filter_["child"], row)
            return None if inner is None else not inner
        case "and" | "or" as op:
            sides = [holds(filter_["left"], row), holds(filter_["right"], row)]
            decided = op == "or"
            if decided in sides:
                return decided
            return None if None in sides else not decided
        case "is-null" | "not-null" as op:
            return (row[filter_["term"]] is None) == (op == "is-null")
    value = row[filter_["term"]]
    if value is None:
        return None
    if filter_["type"] == "in":
        return value in filter_["values"]
    if filter_["type"] == "starts-with":
        return value.startswith(filter_["value"])
    return ORDERS[filter_["type"]](value, filter_["value"])


@pytest.mark.parametrize(
    "write", [by_pyiceberg, by_pyiceberg_with_partitions, by_duckdb, by_registration]
)
def test_every_row_that_a_filter_keeps_lies_in_a_file_that_is_planned(catalog, http, write):
    write(catalog, http)
    table = PlannedTable(catalog, http, "ns", "t")
    rows = {path: _rows_of(table, path) for path in table.files()}
    assert len(rows) >= FILES // 2
    skipped = []

    @effort(default=30, ci=300)
    @given(filter_=FILTERS)
    def never_too_few(filter_):
        planned = set(table.files({"filter": filter_}))
        kept = {path for path, known in rows.items() if any(holds(filter_, row) for row in known)}
        assert kept <= planned
        skipped.append(len(rows) - len(planned))

    never_too_few()
    assert any(skipped)


def _rows_of(table, path):
    bucket, _, key = path.removeprefix("s3://").partition("/")
    data = table.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return pq.read_table(io.BytesIO(data)).select(ARROW.names).to_pylist()


def test_what_duckdb_deletes_is_gone_from_a_planned_read(server):
    """Its position deletes go with the tasks; PyIceberg applies them."""
    catalog = server.new_catalog(properties={"scan-planning-mode": "server"})
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    duck = attached(catalog)
    duck.execute(
        "create table lake.ns.t (id bigint, kind varchar, longitude double, latitude double)"
        " with ('format-version' = 2)"
    )
    for start in (0, 10, 20):
        duck.execute(
            f"insert into lake.ns.t select i, 'a', i, 0.5 from range({start}, {start + 10}) r(i)"
        )
    duck.execute("delete from lake.ns.t where id in (3, 12, 13)")
    duck.close()
    with server.http() as http:
        plan = PlannedTable(catalog, http, "ns", "t").plan().json()
    assert len(plan["delete-files"]) == 2
    found = client.load_table("ns.t").scan(row_filter="longitude >= 2 and longitude <= 14")
    ids = sorted(found.to_arrow()["id"].to_pylist())
    assert ids == [i for i in range(2, 15) if i not in {3, 12, 13}]
