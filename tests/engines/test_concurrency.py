"""Engines that write to one table at the same time."""

from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pyarrow as pa

from support.engine_list import DUCKDB, DUCKDB_PYTHON, PYICEBERG
from support.engine_matrix import Capability, proves
from support.engine_runs import EngineRunner, connect_text, install_duckdb_extensions

EACH = 8

BY_PYICEBERG = f"""
import pyarrow as pa
table = places.load_table("ns.t")
for number in range({EACH}):
    table.append(pa.table({{"id": [number], "writer": ["pyiceberg"]}}))
result({EACH})
"""

BY_DUCKDB = f"""
refused = number = 0
while number < {EACH}:
    try:
        db.execute("INSERT INTO places.ns.t VALUES (?, 'duckdb')", [number])
        number += 1
    except duckdb.TransactionException as error:  # somebody else was first: nothing was written
        if "has changed" not in str(error):
            raise
        refused += 1
result(refused)
"""


@proves(PYICEBERG, Capability.CONCURRENT, figure="it repeats by itself what a commit refused")
@proves(DUCKDB, Capability.CONCURRENT, figure="the caller repeats what a commit refused")
def test_pyiceberg_and_duckdb_append_at_once_and_every_row_is_there_once(
    tmp_path, catalog, server, meter
):
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("ns")
    pyiceberg.create_table(
        "ns.t",
        pa.schema([("id", pa.int64()), ("writer", pa.string())]),
        properties={"commit.retry.num-retries": "50", "commit.retry.max-wait-ms": "500"},
    )

    texts = {engine: connect_text(catalog, engine.text) for engine in (PYICEBERG, DUCKDB_PYTHON)}

    def run(engine, statements):
        folder = tmp_path / engine.text
        folder.mkdir()
        install_duckdb_extensions("engines", folder)
        runner = EngineRunner(folder, server.key.credential, meter.seen.secrets)
        return runner.python("engines", texts[engine], dedent(statements)).result

    with ThreadPoolExecutor() as threads:
        by_pyiceberg = threads.submit(run, PYICEBERG, BY_PYICEBERG)
        by_duckdb = threads.submit(run, DUCKDB_PYTHON, BY_DUCKDB)
        assert by_pyiceberg.result() == EACH
        assert by_duckdb.result() >= 0
    table = pyiceberg.load_table("ns.t")
    read = table.scan().to_arrow()
    written = sorted(zip(read["writer"].to_pylist(), read["id"].to_pylist(), strict=True))
    assert written == sorted((w, i) for w in ("duckdb", "pyiceberg") for i in range(EACH))
    assert len(table.history()) == 2 * EACH
