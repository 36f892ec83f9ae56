"""PyIceberg by the printed text.  The rest of it is in tests/clients."""

from engines.conftest import AROUND_PARIS
from support.engine_list import PYICEBERG
from support.engine_matrix import Capability, lacks, proves


@proves(PYICEBERG, Capability.CONNECT, Capability.LIST, Capability.READ)
def test_it_lists_and_reads_what_is_there(python, lake):
    told = python(
        PYICEBERG,
        lake.catalog,
        """
        import pyiceberg
        tables = sorted(name[-1] for name in places.list_tables("world"))
        rows = places.load_table("world.capitals").scan().to_arrow().num_rows
        result([pyiceberg.__version__, tables, rows])
        """,
    )
    assert told == [PYICEBERG.version, sorted(lake.files), lake.rows["capitals"]]


WINDOW = "2 of 96 files"


@proves(PYICEBERG, Capability.WINDOW, figure=f"{WINDOW} of `cities_hilbert`, planned here or there")
def test_a_map_window_reads_only_the_files_it_may_touch(python, lake, meter):
    statements = f"""
        table = places.load_table("world.cities_hilbert")
        result(table.scan(row_filter={AROUND_PARIS!r}).to_arrow().num_rows)
    """
    with meter.measured(lake.root("cities_hilbert/")) as here:
        rows = python(PYICEBERG, lake.catalog, statements)
    there_too = """
        places.properties["scan-planning-mode"] = "server"
    """
    with meter.measured(lake.root("cities_hilbert/")) as there:
        again = python(PYICEBERG, lake.catalog, there_too + statements)
    assert rows == again > 0
    assert [f"{m.reads.files} of 96 files" for m in (here, there)] == [WINDOW, WINDOW]


@proves(PYICEBERG, Capability.NEW_CATALOG)
def test_a_catalog_made_meanwhile_is_there_at_once(python, lake, server):
    younger = server.new_catalog()
    younger.pyiceberg().create_namespace("fresh")
    told = python(
        PYICEBERG,
        lake.catalog,
        f"""
        places.list_namespaces()
        younger = load_catalog("younger", **{{**places.properties, "warehouse": {younger.name!r}}})
        result(younger.list_namespaces())
        """,
    )
    assert told == [["fresh"]]


@lacks(
    PYICEBERG,
    Capability.TRANSACTIONS,
    "a transaction is of one table",
    instead="DuckDB and Java's `RESTCatalog.commitTransaction` change several at once",
)
def test_a_transaction_is_of_one_table(python, catalog):
    told = python(
        PYICEBERG,
        catalog,
        """
        names = {name for name in dir(places) if "transaction" in name and name[0] != "_"}
        result(sorted(names))
        """,
    )
    assert told == ["create_table_transaction"]
