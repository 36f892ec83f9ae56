"""DuckDB's own shell, with the printed text alone.

More of what DuckDB can do with us is in tests/clients/test_duckdb.py.
"""

import pytest

from support.engine_matrix import Capability, Engine, pinned, proves
from support.engine_runs import (
    EngineRunner,
    connect_text,
    install_duckdb_extensions,
    python_of,
)

DUCKDB = Engine("DuckDB", pinned("duckdb-cli", "engines"), "duckdb")


BEGUN = "connected"


class Shell:
    def __init__(self, runner: EngineRunner) -> None:
        self._runner = runner
        self._program = python_of("engines").with_name("duckdb")
        install_duckdb_extensions("engines", runner.folder)

    def __call__(self, text: str, statements: str) -> list[str]:
        """Run the text, then the statements: their rows, columns joined by `|`."""
        ran = self._runner.run(
            [self._program, "-bail", "-list", "-noheader"],
            stdin=f"{text}\nselect '{BEGUN}';\n{statements}",
        )
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
