"""Daft, on PyIceberg's catalog."""

from support.engine_list import DAFT
from support.engine_matrix import Capability, lacks, proves


@proves(
    DAFT,
    *(Capability.CONNECT, Capability.LIST, Capability.CREATE, Capability.WRITE, Capability.READ),
    *(Capability.NAMES, Capability.TIME_TRAVEL, Capability.SCHEMA, Capability.VENDED),
    Capability.DROP,
)
def test_a_table_lives_its_whole_life_on_vended_credentials(python, catalog):
    told = python(
        DAFT,
        catalog,
        """
        catalog = daft.Catalog.from_iceberg(places)
        catalog.create_namespace("ns")
        catalog.create_table("ns.t", daft.from_pydict({"id": [1, 2, 3], "name": ["a", "b", "c"]}))
        with places.load_table("ns.t").update_schema() as change:
            change.rename_column("name", "label")
        more = daft.from_pydict({"id": [4], "label": ["d"]})
        more.write_iceberg(places.load_table("ns.t"), mode="append")
        table = places.load_table("ns.t")
        first = [s for s in table.metadata.snapshots if s.summary["total-records"] == "3"]
        told = [
            daft.__version__,
            [str(name) for name in catalog.list_tables()],
            daft.sql("select id, label from places.ns.t order by id").to_pylist(),
            daft.read_iceberg(table, snapshot_id=first[0].snapshot_id).sort("id").to_pydict()["id"],
        ]
        catalog.drop_table("ns.t")
        result([*told, [str(name) for name in catalog.list_tables()]])
        """,
    )
    rows = [{"id": i, "label": name} for i, name in enumerate("abcd", start=1)]
    assert told == [DAFT.version, ["ns.t"], rows, [1, 2, 3], []]


WINDOW = "1 of 8 files"


@proves(DAFT, Capability.WINDOW, figure=f"{WINDOW} of a table of its own, by columns of positions")
def test_a_map_window_reads_only_the_files_it_may_touch(python, catalog, meter):
    """Bounds of ordinary columns, as its writer keeps them."""
    written = python(
        DAFT,
        catalog,
        """
        catalog = daft.Catalog.from_iceberg(places)
        catalog.create_namespace("ns")
        table = None
        for west in range(-180, 180, 45):
            ids = list(range(450))
            rows = daft.from_pydict({"x": [west + i / 10 for i in ids], "id": ids})
            if table is None:
                catalog.create_table("ns.p", rows)
            else:
                rows.write_iceberg(places.load_table("ns.p"), mode="append")
            table = places.load_table("ns.p")
        result(len(list(table.scan().plan_files())))
        """,
    )
    assert written == 8
    with meter.measured(catalog.id) as measured:
        told = python(
            DAFT,
            catalog,
            """
            table = daft.read_iceberg(places.load_table("ns.p"))
            inside = table.where((daft.col("x") >= 2.1) & (daft.col("x") <= 2.6))
            result(inside.to_pydict()["id"])
            """,
        )
    assert sorted(told) == list(range(21, 27))
    assert f"{measured.reads.files} of {written} files" == WINDOW


@lacks(
    DAFT,
    Capability.READ,
    "refuses tables that are registered in place: their files have no field ids, and it does not"
    " apply `schema.name-mapping.default`",
    issue="https://github.com/Eventual-Inc/Daft/issues/7445",
    instead="read with PyIceberg: `daft.from_arrow(table.scan(row_filter=…).to_arrow())`",
)
def test_it_does_not_read_what_was_registered_in_place(python, lake):
    told = python(
        DAFT,
        lake.catalog,
        """
        table = places.load_table("world.airports")
        told = [daft.from_arrow(table.scan().to_arrow()).count_rows()]
        try:
            daft.read_iceberg(table).to_pydict()
        except Exception as error:
            told.append(str(error))
        result(told)
        """,
    )
    assert told[0] == lake.rows["airports"]
    assert "schema.name-mapping.default" in told[1]


@lacks(
    DAFT,
    Capability.ROW_DELETES,
    "`daft.sql` has no `DELETE`",
    instead="PyIceberg's `table.delete(…)`, whose table it then reads without those rows",
)
def test_rows_are_deleted_by_pyiceberg(python, catalog):
    told = python(
        DAFT,
        catalog,
        """
        catalog = daft.Catalog.from_iceberg(places)
        catalog.create_namespace("ns")
        catalog.create_table("ns.t", daft.from_pydict({"id": [1, 2, 3]}))
        told = []
        try:
            daft.sql("delete from places.ns.t where id = 2")
        except Exception as error:
            told.append(str(error))
        places.load_table("ns.t").delete("id == 2")
        result([*told, daft.sql("select id from places.ns.t order by id").to_pydict()["id"]])
        """,
    )
    assert "nsupported" in told[0]
    assert told[1] == [1, 3]
