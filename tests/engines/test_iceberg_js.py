"""iceberg-js: a client of catalogs in JavaScript.  Every change has an Idempotency-Key."""

import json
import shutil

import pytest

from support.engine_list import ICEBERG_JS
from support.engine_matrix import ROOT, Capability, lacks, proves
from support.engine_runs import connect_text
from support.engines import require

MODULES = ROOT / ".tools" / "javascript" / "node_modules"


@pytest.fixture
def node(runner):
    def run(catalog, statements):
        program = shutil.which("node")
        require(
            program and MODULES.is_dir(),
            "needs iceberg-js: `apt install nodejs npm`, then `make .tools/javascript/.ready`",
        )
        (runner.folder / "node_modules").symlink_to(MODULES)
        script = runner.folder / "script.mjs"
        told = "const result = (value) => console.log('RESULT ' + JSON.stringify(value))"
        script.write_text(f"{connect_text(catalog, 'iceberg-js')}\n{told}\n{statements}")
        return runner.run([program, script]).result

    return run


def test_it_is_the_version_that_the_page_names():
    require(MODULES.is_dir(), "needs iceberg-js: `make .tools/javascript/.ready`")
    installed = json.loads((MODULES / "iceberg-js" / "package.json").read_text())
    assert installed["version"] == ICEBERG_JS.version


@proves(ICEBERG_JS, Capability.CONNECT, Capability.LIST, Capability.CREATE, Capability.SCHEMA)
@proves(ICEBERG_JS, Capability.VENDED, Capability.DROP)
def test_a_table_lives_its_whole_life(node, catalog):
    told = node(
        catalog,
        """
const ns = { namespace: ['ns'] }
const fields = [{ id: 1, name: 'id', type: 'long', required: true }]
const schema = { type: 'struct', 'schema-id': 0, 'identifier-field-ids': [], fields }
await places.createNamespace(ns)
await places.createTable(ns, { name: 't', schema })
const t = { ...ns, name: 't' }
const loaded = await places.loadTableResult(t)
const wider = [...fields, { id: 2, name: 'name', type: 'string', required: false }]
await places.commitTable(t, {
  requirements: [{ type: 'assert-table-uuid', uuid: loaded.metadata['table-uuid'] }],
  updates: [
    { action: 'add-schema', schema: { ...schema, 'schema-id': 1, fields: wider } },
    { action: 'set-current-schema', 'schema-id': -1 },
  ],
})
const after = await places.loadTable(t)
await places.renameTable({ source: t, destination: { ...ns, name: 'u' } })
const { identifiers } = await places.listTables(ns)
await places.dropTable({ ...ns, name: 'u' })
const left = (await places.listTables(ns)).identifiers
await places.dropNamespace(ns)
result({
  fields: after.schemas.at(-1).fields.map((field) => field.name),
  listed: identifiers.map((identifier) => identifier.name),
  left,
  vended: Object.keys(loaded.config ?? {}).includes('s3.session-token'),
})
""",
    )
    assert told == {"fields": ["id", "name"], "listed": ["u"], "left": [], "vended": True}


@lacks(
    ICEBERG_JS,
    Capability.READ,
    "knows catalogs, not data",
    instead="take the vended credential of `loadTableResult` to a reader of Parquet",
)
def test_it_has_no_words_for_data(node, catalog):
    told = node(catalog, "result(Object.getOwnPropertyNames(Object.getPrototypeOf(places)))")
    assert [name for name in told if "scan" in name.lower() or "read" in name.lower()] == []
