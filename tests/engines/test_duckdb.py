"""DuckDB's own shell, with the printed text alone.

More of what DuckDB does with us, and refuses to, is in tests/clients/test_duckdb.py.
"""

import pytest

from engines.conftest import AROUND_PARIS, PARIS
from support.engine_list import DUCKDB
from support.engine_matrix import Capability, lacks, proves
from support.engine_runs import (
    EngineRunner,
    Ran,
    connect_text,
    install_duckdb_extensions,
    python_of,
)

BEGUN = "connected"
PARIS_SQL = "st_makeenvelope({}, {}, {}, {})".format(*PARIS)


class Shell:
    def __init__(self, runner: EngineRunner) -> None:
        self.runner = runner
        self._program = python_of("engines").with_name("duckdb")
        install_duckdb_extensions("engines", runner.folder)

    def run(self, text: str, statements: str) -> Ran:
        return self.runner.run(
            [self._program, "-bail", "-list", "-noheader"],
            stdin=f"{text}\nselect '{BEGUN}';\n{statements}",
        )

    def __call__(self, text: str, statements: str) -> list[str]:
        """Run the text, then the statements: their rows, columns joined by `|`."""
        ran = self.run(text, statements)
        assert ran.returncode == 0, ran.told
        return ran.stdout.partition(f"{BEGUN}\n")[2].splitlines()


@pytest.fixture
def shell(runner: EngineRunner) -> Shell:
    return Shell(runner)


@proves(DUCKDB, Capability.CONNECT, Capability.LIST, Capability.READ, Capability.NAMES)
def test_it_lists_and_reads_what_is_there(shell, lake):
    assert shell(
        connect_text(lake.catalog, "duckdb"),
        "select version(); select table_name from duckdb_tables() order by all;"
        "select count(*) from places.world.cities_hilbert;",
    ) == [f"v{DUCKDB.version}", *sorted(lake.files), str(lake.rows["cities_hilbert"])]


@proves(
    DUCKDB,
    *(Capability.CREATE, Capability.WRITE, Capability.ROW_DELETES, Capability.SCHEMA),
    *(Capability.TIME_TRAVEL, Capability.VENDED, Capability.DROP),
)
def test_a_table_lives_its_whole_life_on_vended_credentials(shell, catalog, meter):
    before = len(meter.seen.secrets)
    assert shell(
        connect_text(catalog, "duckdb"),
        """
        create schema places.ns;
        create table places.ns.t (id bigint, name varchar);
        insert into places.ns.t values (1, 'a'), (2, 'b'), (3, 'c');
        delete from places.ns.t where id = 2;
        update places.ns.t set name = 'z' where id = 3;
        merge into places.ns.t using (values (4, 'd')) new(id, name) on t.id = new.id
            when not matched then insert values (new.id, new.name);
        alter table places.ns.t add column height double;
        alter table places.ns.t rename column name to label;
        select id, label, coalesce(height, -1) from places.ns.t order by id;
        set variable first = (select min_by(snapshot_id, sequence_number)
            from iceberg_snapshots(places.ns.t));
        select count(*) from places.ns.t at (version => getvariable('first'));
        drop table places.ns.t;
        drop schema places.ns;
        select count(*) from duckdb_tables() where database_name = 'places';
        """,
    ) == ["1|a|-1.0", "3|z|-1.0", "4|d|-1.0", "3", "0"]
    assert len(meter.seen.secrets) > before


@proves(DUCKDB, Capability.TRANSACTIONS)
def test_two_tables_change_together_or_not_at_all(shell, catalog):
    assert shell(
        connect_text(catalog, "duckdb"),
        """
        create schema places.ns;
        create table places.ns.a as select 1 as id;
        create table places.ns.b as select 1 as id;
        begin; insert into places.ns.a values (2); insert into places.ns.b values (2); commit;
        begin; insert into places.ns.a values (3); insert into places.ns.b values (3); rollback;
        select sum(id) from places.ns.a; select sum(id) from places.ns.b;
        """,
    ) == ["3", "3"]


@lacks(
    DUCKDB,
    Capability.VIEWS,
    "`CREATE VIEW` in a catalog: not implemented",
    issue="https://github.com/duckdb/duckdb-iceberg/issues/314",
    instead="make views with Spark or PyIceberg, or in DuckDB's own database",
)
def test_it_makes_no_views_in_a_catalog(shell, catalog):
    ran = shell.run(
        connect_text(catalog, "duckdb"),
        "create schema places.ns; create view places.ns.v as select 1;",
    )
    assert ran.returncode != 0
    assert "Not implemented" in ran.stderr


WINDOW = "2 of 96 files"


@proves(DUCKDB, Capability.WINDOW, figure=f"{WINDOW} of `cities_hilbert` for a window around Paris")
@proves(DUCKDB, Capability.SPATIAL)
def test_a_map_window_reads_only_the_files_it_may_touch(shell, lake, meter):
    text = connect_text(lake.catalog, "duckdb")
    inside = f"st_intersects(st_geomfromwkb(geometry), {PARIS_SQL})"
    select = "select count(*), sum(geonameid) from places.world.cities_hilbert where"
    with meter.measured(lake.root("cities_hilbert/")) as pruned:
        [windowed] = shell(text, f"{select} {AROUND_PARIS} and {inside};")
    with meter.measured(lake.root("cities_hilbert/")) as full:
        [everything] = shell(text, f"{select} {inside};")
    assert windowed == everything
    assert f"{pruned.reads.files} of {full.reads.files} files" == WINDOW
    assert pruned.reads.bytes * 10 < full.reads.bytes


@proves(DUCKDB, Capability.NEW_CATALOG)
def test_a_catalog_made_meanwhile_is_there_at_once(shell, catalog, server):
    first = connect_text(catalog, "duckdb")
    younger = server.new_catalog()
    second = connect_text(younger, "duckdb", alias="younger")
    assert shell(
        first,
        f"create schema places.ns; create table places.ns.t as select 1 as id;\n{second}\n"
        "create schema younger.ns; create table younger.ns.t as select id + 1 as id"
        " from places.ns.t; select id from younger.ns.t;",
    )[-1:] == ["2"]
