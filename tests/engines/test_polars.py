"""Polars, with its own reader of Iceberg and with PyIceberg's."""

from engines.conftest import AROUND_PARIS, IN_PARIS
from support.engine_list import POLARS
from support.engine_matrix import Capability, lacks, proves

BOX = """
box = (
    (pl.col("file_xmin") <= 2.6) & (pl.col("file_xmax") >= 2.1)
    & (pl.col("file_ymin") <= 49.05) & (pl.col("file_ymax") >= 48.7)
)
"""


@proves(
    POLARS,
    *(Capability.CONNECT, Capability.LIST, Capability.CREATE, Capability.WRITE, Capability.READ),
    *(Capability.TIME_TRAVEL, Capability.SCHEMA, Capability.ROW_DELETES, Capability.VENDED),
    Capability.DROP,
)
def test_a_table_lives_its_whole_life_on_vended_credentials(python, catalog):
    told = python(
        POLARS,
        catalog,
        """
        places.create_namespace("ns")
        rows = pl.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"]})
        table = places.create_table("ns.t", rows.to_arrow().schema)
        rows.write_iceberg(table, mode="append")
        with table.update_schema() as change:
            change.rename_column("name", "label")
        pl.DataFrame({"id": [4], "label": ["d"]}).write_iceberg(table, mode="append")
        table.delete("id == 2")
        table = places.load_table("ns.t")
        first = table.history()[0].snapshot_id
        told = [
            pl.__version__,
            places.list_tables("ns"),
            pl.scan_iceberg(table).sort("id").collect().rows(),
            pl.scan_iceberg("ns.t", catalog=places).select(pl.len()).collect().item(),
            pl.scan_iceberg(table, snapshot_id=first).sort("id").collect()["id"].to_list(),
        ]
        places.drop_table("ns.t")
        result([*told, places.list_tables("ns")])
        """,
    )
    assert told == [
        POLARS.version,
        [["ns", "t"]],
        [[1, "a"], [3, "c"], [4, "d"]],
        3,
        [1, 2, 3],
        [],
    ]


WINDOW = "2 of 96 files"
PART_OF_WINDOW = "40 of 96 files"


@proves(
    POLARS,
    Capability.WINDOW,
    figure=f"{WINDOW} of `cities_hilbert` by `pl.from_arrow(table.scan(row_filter=…).to_arrow())`",
)
def test_a_map_window_reads_only_the_files_it_may_touch(python, lake, meter):
    with meter.measured(lake.root("cities_hilbert/")) as measured:
        rows = python(
            POLARS,
            lake.catalog,
            f"""
            scan = places.load_table("world.cities_hilbert").scan(row_filter={AROUND_PARIS!r})
            result(pl.from_arrow(scan.to_arrow()).height)
            """,
        )
    assert rows > IN_PARIS[0]
    assert f"{measured.reads.files} of 96 files" == WINDOW


@lacks(
    POLARS,
    Capability.WINDOW,
    f"of a filter, `scan_iceberg` hands on only upper bounds of doubles: {PART_OF_WINDOW} are read",
    instead="let PyIceberg filter, as above",
)
def test_its_filters_skip_fewer_files(python, lake, meter):
    with meter.measured(lake.root("cities_hilbert/")) as measured:
        python(
            POLARS,
            lake.catalog,
            BOX
            + """
table = places.load_table("world.cities_hilbert")
scan = pl.scan_iceberg(table, reader_override="pyiceberg").filter(box)
result(scan.select(pl.len()).collect().item())
""",
        )
    assert f"{measured.reads.files} of 96 files" == PART_OF_WINDOW


@lacks(
    POLARS,
    Capability.WINDOW,
    "its own reader refuses files with the Parquet type GEOMETRY",
    issue="https://github.com/pola-rs/polars/issues/28627",
    instead='read with `reader_override="pyiceberg"`',
)
def test_its_own_reader_does_not_know_geometry(python, lake):
    told = python(
        POLARS,
        lake.catalog,
        BOX
        + """
try:
    pl.scan_iceberg(places.load_table("world.cities_hilbert")).filter(box).collect()
except pl.exceptions.ComputeError as error:
    result(str(error))
""",
    )
    assert "LogicalType union has no variant set" in told


@lacks(
    POLARS,
    Capability.WRITE,
    "`sink_iceberg` takes no vended credentials",
    issue="https://github.com/pola-rs/polars/issues/29242",
    instead="write with `write_iceberg`",
)
def test_a_sink_does_not_take_the_vended_credential(python, catalog):
    told = python(
        POLARS,
        catalog,
        """
        import os
        os.environ["AWS_REGION"] = "us-east-1"
        places.create_namespace("ns")
        rows = pl.LazyFrame({"id": [1]})
        table = places.create_table("ns.t", rows.collect().to_arrow().schema)
        try:
            rows.sink_iceberg(table, mode="append")
        except Exception as error:
            result(type(error).__name__)
        """,
    )
    assert told
