"""What engines in Python do when a credential ends: which read on, and what the others need.

One process has all of them, so that they wait for the end together.
"""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from engines.conftest import SHORT_LIFE_S
from support.engine_list import CHDB, DAFT, DATAFUSION, POLARS, SAIL, SEDONADB
from support.engine_matrix import Capability, lacks, proves
from support.engine_runs import EngineRunner, connect_text

pytestmark = [pytest.mark.s3, pytest.mark.timeout(320)]

LONGER = "`GRATICULE_CREDENTIAL_LIFETIME_S` makes them last up to 12 hours"

IN_PYTHON = f"""
import re
import time

def value(read):
    try:
        return read()
    except Exception as error:
        assert re.search("HTTP status 400|400 Bad Request|status: 400", str(error)), error
        return "refused"

def polars():
    return lazy.collect()["id"].sum()

def daft_frame():
    return sum(daft.read_iceberg(table).to_pydict()["id"])

def daft_sql():
    return daft.sql("select sum(id) as s from places.ns.t").to_pydict()["s"][0]

def datafusion():
    [batch] = ctx.sql("select sum(id) from t").collect()
    return batch.column(0)[0].as_py()

def sedonadb():
    return sd.sql("select sum(id) as s from v").to_arrow_table().to_pylist()[0]["s"]

def clickhouse():
    return int(ch.query("select sum(id) from places.`ns.t`", "CSV").data())

def load():
    global table, lazy
    table = places.load_table("ns.t")
    lazy = pl.scan_iceberg(table)
    register("t", "ns.t")
    view("v", "ns.t")

def answers():
    reads = [polars, daft_frame, daft_sql, datafusion, sedonadb, clickhouse]
    return {{read.__name__: value(read) for read in reads}}

load()
answers()  # what is slow the first time is not to use up the credential's life
load()
told = [answers()]
time.sleep({SHORT_LIFE_S} + 0.5)
told.append(answers())
load()
told.append(answers())
result(told)
"""

IN_SAIL = f"""
import time

def total():
    return spark.sql("select sum(id) from places.ns.t").collect()[0][0]

told = [total()]
time.sleep({SHORT_LIFE_S} + 0.5)
told.append(total())
result(told)
"""


@lacks(
    POLARS,
    Capability.OUTLIVES,
    "a frame keeps the credential that its table was loaded with",
    issue="https://github.com/apache/iceberg-python/issues/3506",
    instead=f"scan what `load_table` gives anew; {LONGER}",
)
@lacks(
    DAFT,
    Capability.OUTLIVES,
    "`read_iceberg` of a table keeps the credential that the table was loaded with",
    issue="https://github.com/apache/iceberg-python/issues/3506",
    instead=f"read what `load_table` gives anew; {LONGER}",
)
@lacks(
    DATAFUSION,
    Capability.OUTLIVES,
    "a registered table keeps its credential",
    issue="https://github.com/apache/iceberg-rust/issues/2931",
    instead=f"`register` it again; {LONGER}",
)
@proves(DAFT, Capability.OUTLIVES, figure="each `daft.sql` gets a credential of its own")
@proves(CHDB, Capability.OUTLIVES, figure="each query gets a credential of its own")
@proves(
    SEDONADB, Capability.OUTLIVES, figure="rows of a `view` are in memory, a new one reads anew"
)
@proves(SAIL, Capability.OUTLIVES, figure="the keys that it is given are its own")
def test_what_is_loaded_anew_reads_on_when_a_credential_ends(tmp_path, short_lived, sessions):
    pyiceberg = short_lived.pyiceberg()
    pyiceberg.create_namespace("ns")
    rows = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
    pyiceberg.create_table("ns.t", rows.schema).append(rows)
    texts = "\n".join(
        connect_text(short_lived, engine.text)
        for engine in (POLARS, DAFT, DATAFUSION, SEDONADB, CHDB)
    )
    owner = short_lived.server.store.admin_keys
    keys = {
        "AWS_ACCESS_KEY_ID": owner.access_key_id,
        "AWS_SECRET_ACCESS_KEY": owner.secret_access_key.reveal(),
    }
    of_sail = connect_text(short_lived, SAIL.text)

    def run(environment, text, statements, **options):
        folder = tmp_path / environment
        folder.mkdir()
        runner = EngineRunner(folder, short_lived.server.key.credential, ())
        return runner.python(environment, text, statements, **options).result

    with ThreadPoolExecutor() as threads:
        in_python = threads.submit(run, "engines", texts, IN_PYTHON)
        in_sail = threads.submit(run, "sail", of_sail, IN_SAIL, variables=keys)

    every = {"polars", "daft_frame", "daft_sql", "datafusion", "sedonadb", "clickhouse"}
    kept = {"polars", "daft_frame", "datafusion"}
    before, after, anew = in_python.result()
    assert before == dict.fromkeys(every, 6)
    assert after == {name: "refused" if name in kept else 6 for name in every}
    assert anew == dict.fromkeys(every, 6)
    assert in_sail.result() == [6, 6]
    assert len(sessions.issued_at_s) > 1
