"""DataFusion with iceberg-rust (`pyiceberg-core`); it reads, and PyIceberg does the rest."""

import pyarrow as pa

from engines.conftest import AROUND_PARIS
from support.engine_list import DATAFUSION
from support.engine_matrix import Capability, lacks, proves


@proves(DATAFUSION, Capability.CONNECT, Capability.LIST, Capability.READ, Capability.VENDED)
def test_it_reads_with_vended_credentials(python, lake, meter):
    told = python(
        DATAFUSION,
        lake.catalog,
        f"""
        import datafusion
        register("cities", "world.cities_hilbert")
        register("capitals", "world.capitals")
        told = [datafusion.__version__, sorted(name[-1] for name in places.list_tables("world"))]
        for query in (
            "select count(*) from capitals",
            "select count(*) from cities where {AROUND_PARIS}",
        ):
            [batch] = ctx.sql(query).collect()
            told.append(batch.column(0)[0].as_py())
        result(told)
        """,
    )
    assert told[:3] == [DATAFUSION.version, sorted(lake.files), lake.rows["capitals"]]
    assert told[3] == 4894


WINDOW = "96 of 96 files"


@lacks(
    DATAFUSION,
    Capability.WINDOW,
    f"filters do not reach Iceberg: {WINDOW} are read, though the answer is right",
    instead="plan and filter with PyIceberg, and register its Arrow table",
)
def test_a_map_window_reads_every_file(python, lake, meter):
    with meter.measured(lake.root("cities_hilbert/")) as measured:
        told = python(
            DATAFUSION,
            lake.catalog,
            f"""
            register("cities", "world.cities_hilbert")
            query = "select count(geonameid) from cities where {AROUND_PARIS}"
            [batch] = ctx.sql(query).collect()
            result(batch.column(0)[0].as_py())
            """,
        )
    assert told == 4894
    assert f"{measured.reads.files} of 96 files" == WINDOW


@lacks(
    DATAFUSION,
    Capability.WRITE,
    "tables that PyIceberg hands over are read only",
    instead="write what a query gives: `table.append(ctx.sql(…).to_arrow_table())`",
)
def test_what_a_query_gives_is_written_by_pyiceberg(python, catalog):
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("ns")
    rows = pa.table({"id": pa.array([1, 2], pa.int64())})
    pyiceberg.create_table("ns.t", rows.schema).append(rows)
    told = python(
        DATAFUSION,
        catalog,
        """
        register("t", "ns.t")
        told = []
        try:
            ctx.sql("insert into t values (3)").collect()
        except Exception as error:
            told.append(str(error))
        places.load_table("ns.t").append(ctx.sql("select id + 2 as id from t").to_arrow_table())
        register("t", "ns.t")
        told.append(sorted(ctx.sql("select id from t").to_pydict()["id"]))
        result(told)
        """,
    )
    assert told[1] == [1, 2, 3, 4]
    assert "Write operations are not supported" in told[0]
