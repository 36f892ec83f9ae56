"""SedonaDB computes on what PyIceberg plans and reads."""

import pyarrow as pa

from engines.conftest import AROUND_PARIS, IN_PARIS, PARIS_WKT
from support.engine_list import SEDONADB
from support.engine_matrix import Capability, proves

WINDOW = "2 of 96 files"


@proves(SEDONADB, Capability.CONNECT, Capability.LIST, Capability.READ, Capability.SPATIAL)
@proves(SEDONADB, Capability.VENDED)
@proves(SEDONADB, Capability.WINDOW, figure=f"{WINDOW} of `cities_hilbert`, planned by PyIceberg")
def test_spatial_sql_on_the_files_that_a_window_may_touch(python, lake, meter):
    with meter.measured(lake.root("cities_hilbert/")) as measured:
        told = python(
            SEDONADB,
            lake.catalog,
            f"""
            view("cities", "world.cities_hilbert", {AROUND_PARIS!r})
            inside = "ST_Intersects(ST_GeomFromWKB(geometry), ST_GeomFromText('{PARIS_WKT}'))"
            counts = "select count(*) as n, sum(geonameid) as ids from cities"
            row = sd.sql(f"{{counts}} where {{inside}}").to_arrow_table().to_pylist()[0]
            result([sedonadb.__version__, len(places.list_tables("world")), row["n"], row["ids"]])
            """,
        )
    assert told == [SEDONADB.version, len(lake.files), *IN_PARIS]
    assert f"{measured.reads.files} of 96 files" == WINDOW


@proves(SEDONADB, Capability.TIME_TRAVEL, figure="`view(…, snapshot_id=…)`, read by PyIceberg")
def test_an_earlier_snapshot_is_viewed(python, catalog):
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("ns")
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
    table = pyiceberg.create_table("ns.t", rows.schema)
    table.append(rows)
    first = table.current_snapshot().snapshot_id
    table.append(rows)
    told = python(
        SEDONADB,
        catalog,
        f"""
        view("newest", "ns.t")
        view("earlier", "ns.t", snapshot_id={first})
        tables = [sd.sql(f"select id from {{name}}") for name in ("newest", "earlier")]
        result([table.to_arrow_table().num_rows for table in tables])
        """,
    )
    assert told == [6, 3]
