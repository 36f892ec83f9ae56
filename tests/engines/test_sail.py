"""Sail, a Spark without a JVM.  It takes no vended credentials: it has the store owner's keys."""

import pytest

from engines.conftest import AROUND_PARIS
from support.engine_list import SAIL
from support.engine_matrix import Capability, lacks, proves
from support.engine_runs import connect_text


@pytest.fixture
def sail(runner, server):
    """Runs statements behind the printed text, with keys of the bucket's owner or without."""

    def run(catalog, statements, *, keys=True):
        owner = server.store.admin_keys
        variables = {
            "AWS_ACCESS_KEY_ID": owner.access_key_id,
            "AWS_SECRET_ACCESS_KEY": owner.secret_access_key.reveal(),
        }
        told = "def rows(query):\n    return [list(row) for row in spark.sql(query).collect()]\n"
        return runner.python(
            "sail",
            connect_text(catalog, "sail"),
            told + statements,
            variables=variables if keys else {},
        ).result

    return run


@proves(SAIL, Capability.CONNECT, Capability.LIST, Capability.NAMES, Capability.READ)
@proves(SAIL, Capability.CREATE, Capability.WRITE, Capability.ROW_DELETES, Capability.VIEWS)
@proves(SAIL, Capability.DROP)
def test_a_table_lives_its_whole_life(sail, catalog):
    told = sail(
        catalog,
        """
import pysail
told = [pysail.__version__]
rows("create database places.ns")
rows("create table places.ns.t (id bigint, name string) using iceberg")
rows("insert into places.ns.t values (1, 'a'), (2, 'b'), (3, 'c')")
rows("delete from places.ns.t where id = 2")
rows("update places.ns.t set name = 'z' where id = 3")
rows("merge into places.ns.t using (select 4L as id, 'd' as name) n on t.id = n.id"
     " when not matched then insert *")
told.append(rows("select * from places.ns.t order by id"))
told.append([row[1] for row in rows("show tables in places.ns")])
rows("create view places.ns.v as select max(id) as last from places.ns.t")
told.append(rows("select last from places.ns.v"))
rows("drop view places.ns.v")
rows("drop table places.ns.t")
told.append(rows("show tables in places.ns"))
result(told)
""",
    )
    assert told == [SAIL.version, [[1, "a"], [3, "z"], [4, "d"]], ["t"], [[4]], []]


WINDOW = "96 of 96 files"


@lacks(
    SAIL,
    Capability.WINDOW,
    f"opens every file: {WINDOW}, though the answer is right",
    instead="ask `graticule table files --bbox` for the files, and read those",
)
def test_a_map_window_opens_every_file(sail, lake, meter):
    with meter.measured(lake.root("cities_hilbert/")) as measured:
        told = sail(
            lake.catalog,
            f"""
result(rows("select count(name) from places.world.cities_hilbert where {AROUND_PARIS}"))
""",
        )
    assert told == [[4894]]
    assert f"{measured.reads.files} of 96 files" == WINDOW


@lacks(
    SAIL,
    Capability.VENDED,
    "ignores the credentials that the catalog hands out",
    issue="https://github.com/lakehq/sail/issues/1491",
    instead="give it keys of its own: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
)
def test_it_takes_no_vended_credential(sail, lake):
    told = sail(
        lake.catalog,
        """
try:
    rows("select count(name) from places.world.capitals")
except Exception as error:
    result(str(error)[:300])
""",
        keys=False,
    )
    assert told


@lacks(
    SAIL,
    Capability.SCHEMA,
    "`ALTER TABLE` is not supported",
    instead="change schemas with PyIceberg or DuckDB",
)
def test_it_alters_no_table(sail, catalog):
    told = sail(
        catalog,
        """
rows("create database places.ns")
rows("create table places.ns.t (id bigint) using iceberg")
try:
    rows("alter table places.ns.t add column height double")
except Exception as error:
    result(str(error))
""",
    )
    assert "unsupported ALTER TABLE" in told
