"""Catalogs that are made while an engine runs: the printed text once more, in the same process."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from engines.test_iceberg_js import MODULES
from support.engine_list import CHDB, DAFT, DATAFUSION, ICEBERG_JS, POLARS, SAIL, SEDONADB
from support.engine_matrix import Capability, proves
from support.engine_runs import EngineRunner, connect_text
from support.engines import require
from support.server import LiveCatalog, LiveServer

BEGUN_TIMEOUT_S = 120
ROWS = [1, 2, 3]

MEANWHILE = """
def meanwhile():
    import pathlib
    import time

    pathlib.Path("begun").touch()
    younger = pathlib.Path("younger")
    while not younger.exists():
        time.sleep(0.02)
    exec(younger.read_text(), globals())
"""
"""For the statements: says that the engine runs, and runs the text of the catalog made then."""


@pytest.fixture
def run(runner: EngineRunner, server: LiveServer):
    """Runs an engine, and makes a catalog with a table `ns.t` once the engine says that it runs.

    `text_of` gives the text for a catalog and an alias; `start` is given the first one, and runs
    the engine to its end.
    """

    def run(start: Callable[[str], object], text_of: Callable[[LiveCatalog, str], str]):
        first = text_of(_with_rows(server.new_catalog()), "places")
        with ThreadPoolExecutor() as threads:
            running = threads.submit(start, first)
            deadline = time.monotonic() + BEGUN_TIMEOUT_S
            while not (runner.folder / "begun").exists():
                assert not running.done(), running.result()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            younger = text_of(_with_rows(server.new_catalog()), "younger")
            _put(runner.folder / "younger", younger)
            return running.result().result

    return run


def _with_rows(catalog: LiveCatalog) -> LiveCatalog:
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("ns")
    rows = pa.table({"id": pa.array(ROWS, pa.int64())})
    pyiceberg.create_table("ns.t", rows.schema).append(rows)
    return catalog


def _put(path: Path, text: str) -> None:
    """All at once: somebody waits for it."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.rename(path)


IN_PYTHON = """
def clickhouse(catalog):
    return int(ch.query(f"select sum(id) from {catalog}.`ns.t`", "CSV").data())

def daft_sql(catalog):
    return daft.sql(f"select sum(id) as s from {catalog}.ns.t").to_pydict()["s"][0]

def datafusion():
    register("t", "ns.t")
    [batch] = ctx.sql("select sum(id) from t").collect()
    return batch.column(0)[0].as_py()

def polars(catalog):
    return pl.scan_iceberg(catalog.load_table("ns.t")).collect()["id"].sum()

def in_sedonadb():
    view("v", "ns.t")
    return sd.sql("select sum(id) as s from v").to_arrow_table().to_pylist()[0]["s"]

told = [clickhouse("places"), daft_sql("places"), datafusion(), polars(places), in_sedonadb()]
meanwhile()
told += [clickhouse("younger"), daft_sql("younger"), datafusion(), polars(younger), in_sedonadb()]
query = "select count(*) as n from places.ns.t a join younger.ns.t b on a.id = b.id"
result([*told, daft.sql(query).to_pydict()["n"]])
"""


@proves(CHDB, Capability.NEW_CATALOG, figure="the text once more, in the same process")
@proves(DAFT, Capability.NEW_CATALOG, figure="the text once more; both meet in one query")
@proves(DATAFUSION, Capability.NEW_CATALOG, figure="the text once more")
@proves(POLARS, Capability.NEW_CATALOG, figure="the text once more")
@proves(SEDONADB, Capability.NEW_CATALOG, figure="the text once more")
def test_engines_in_python_read_a_catalog_that_was_made_meanwhile(run, runner):
    engines = (DAFT, DATAFUSION, POLARS, SEDONADB, CHDB)

    def text_of(catalog, alias):
        return "\n".join(connect_text(catalog, engine.text, alias=alias) for engine in engines)

    told = run(lambda text: runner.python("engines", text, MEANWHILE + IN_PYTHON), text_of)
    assert told == [sum(ROWS)] * 10 + [[len(ROWS)]]


IN_SAIL = """
def total(catalog):
    return spark.sql(f"select sum(id) from {catalog}.ns.t").collect()[0][0]

told = [total("places")]
meanwhile()
result([*told, total("younger")])
"""


@proves(
    SAIL, Capability.NEW_CATALOG, figure="the text once more: a server and a session of its own"
)
def test_sail_reads_a_catalog_that_was_made_meanwhile(run, runner, server):
    owner = server.store.admin_keys
    keys = {
        "AWS_ACCESS_KEY_ID": owner.access_key_id,
        "AWS_SECRET_ACCESS_KEY": owner.secret_access_key.reveal(),
    }
    told = run(
        lambda text: runner.python("sail", text, MEANWHILE + IN_SAIL, variables=keys),
        lambda catalog, alias: connect_text(catalog, SAIL.text, alias=alias),
    )
    assert told == [sum(ROWS)] * 2


IN_NODE = """
import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'

const tables = async (catalog) =>
  (await catalog.listTables({ namespace: ['ns'] })).identifiers.map(({ name }) => name)
const told = [await tables(places)]
writeFileSync('begun', '')
while (!existsSync('younger')) await setTimeout(20)
writeFileSync('younger.mjs', (await import('node:fs')).readFileSync('younger'))
const { younger } = await import('./younger.mjs')
told.push(await tables(younger))
console.log('RESULT ' + JSON.stringify(told))
"""


@proves(ICEBERG_JS, Capability.NEW_CATALOG, figure="the text once more")
def test_iceberg_js_lists_a_catalog_that_was_made_meanwhile(run, runner):
    program = shutil.which("node")
    require(
        program and MODULES.is_dir(),
        "needs iceberg-js: `apt install nodejs npm`, then `make .tools/javascript/.ready`",
    )
    (runner.folder / "node_modules").symlink_to(MODULES)
    script = runner.folder / "script.mjs"

    def start(text):
        script.write_text(f"{text}\n{IN_NODE}")
        return runner.run([program, script])

    def text_of(catalog, alias):
        return f"{connect_text(catalog, ICEBERG_JS.text, alias=alias)}\nexport {{ {alias} }}\n"

    assert run(start, text_of) == [["t"], ["t"]]
