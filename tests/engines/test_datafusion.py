"""DataFusion with iceberg-rust (`pyiceberg-core`); it reads, and PyIceberg does the rest."""

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
