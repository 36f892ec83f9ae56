"""The engines that the suites claim things about, each with the version that it is tested in."""

import json
import re
from pathlib import Path

from support.engine_matrix import ROOT, Engine, pinned
from support.trino import version as trino_version


def _version_in_pom(pom: Path, name: str) -> str:
    found = re.search(rf"<{re.escape(name)}>([^<]+)<", pom.read_text())
    assert found is not None, f"{pom} has no {name}"
    return found[1]


DUCKDB = Engine("DuckDB", pinned("duckdb"), "duckdb")
DUCKDB_PYTHON = Engine("DuckDB in Python", pinned("duckdb", "engines"), "duckdb-python")
PYICEBERG = Engine("PyIceberg", pinned("pyiceberg", "engines"), "pyiceberg")
JAVA = Engine(
    "Java `RESTCatalog`",
    _version_in_pom(ROOT / "tests/clients/java/pom.xml", "iceberg.version"),
    None,
)
POLARS = Engine("Polars", pinned("polars", "engines"), "polars")
DAFT = Engine("Daft", pinned("daft", "engines"), "daft")
DATAFUSION = Engine("DataFusion", pinned("datafusion", "engines"), "datafusion")
SEDONADB = Engine("SedonaDB", pinned("sedonadb", "engines"), "sedonadb")
CHDB = Engine("ClickHouse (chDB)", pinned("chdb", "engines"), "chdb")
TRINO = Engine("Trino", trino_version(), "trino")
SAIL = Engine("Sail", pinned("pysail", "sail"), "sail")
ICEBERG_JS = Engine(
    "iceberg-js",
    json.loads((ROOT / "tests/engines/javascript/package.json").read_text())["dependencies"][
        "iceberg-js"
    ],
    "iceberg-js",
)
