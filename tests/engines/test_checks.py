"""`graticule connect ENGINE --check`, with every engine that runs on this machine."""

import os
import shutil

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from engines.test_iceberg_js import MODULES
from graticule.cli.main import app
from graticule.services.engines.engine_text import engines
from support.engine_runs import install_duckdb_extensions, python_of
from support.engines import require
from support.spark import EVERYTHING, JARS, path_of_spark, settings_of_the_machine

pytestmark = [pytest.mark.client, pytest.mark.s3, pytest.mark.timeout(600)]

IN_PYTHON = {
    **dict.fromkeys(("chdb", "daft", "datafusion", "duckdb-python"), "engines"),
    **dict.fromkeys(("polars", "pyiceberg", "sedonadb"), "engines"),
    "sail": "sail",
}
"""The environment that an engine is installed in."""
ON_A_JVM = [
    *(("pyspark", line) for line in ("4.1", "3.5")),
    *(("sedona", line) for line in ("4.0", "3.5")),
    *(("spark-submit", line) for line in ("4.1", "3.5")),
    *(("spark-defaults", line) for line in ("4.1", "3.5")),
]
NOT_HERE = {"snowflake", "trino"}
EVERY = [("duckdb", None), ("iceberg-js", None), *((engine, None) for engine in IN_PYTHON)]
SAMPLED = [("chdb", None), ("duckdb", None), ("iceberg-js", None), ("sail", None)]


@pytest.fixture
def check(tmp_path, monkeypatch, catalog):
    """What the check of an engine says of a catalog with a namespace `world` and a table in it."""
    pyiceberg = catalog.pyiceberg()
    pyiceberg.create_namespace("world")
    pyiceberg.create_table("world.t", pa.schema([("id", pa.int64())]))
    monkeypatch.setenv("GRATICULE_URL", catalog.server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", catalog.server.key.credential)
    monkeypatch.setenv("GRATICULE_TOKEN", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(engine, *options):
        words = ["connect", engine, catalog.name, "--as", "places", "--check", *options]
        return CliRunner().invoke(app, words)

    return run


def test_every_engine_is_tried_or_says_why_not():
    assert {engine for engine, _ in (*EVERY, *ON_A_JVM)} | NOT_HERE == set(engines())


@pytest.mark.parametrize(("engine", "release"), [*EVERY, *ON_A_JVM] if EVERYTHING else SAMPLED)
def test_a_check_lists_the_namespaces_by_the_engine(check, monkeypatch, tmp_path, engine, release):
    options = []
    if engine == "iceberg-js":
        require(
            shutil.which("node") and MODULES.is_dir(),
            "needs iceberg-js: `apt install nodejs npm`, then `make .tools/javascript/.ready`",
        )
        (tmp_path / "node_modules").symlink_to(MODULES)
    elif release is not None:
        prepare_spark(monkeypatch, tmp_path, release)
        options = ["--release", release, "--python", str(python_of(f"spark-{release}"))]
    else:
        python = python_of(IN_PYTHON.get(engine, "engines"))
        install_duckdb_extensions("engines", tmp_path)
        monkeypatch.setenv("PATH", f"{python.parent}:{os.defpath}")
        options = ["--python", str(python)]
    told = check(engine, *options)

    assert told.exit_code == 0, (told.output, told.exception)
    # ClickHouse has no schemas, and lists tables; Ivy and DuckDB have something to say before.
    listed = told.stdout.split()[-1].strip('"')
    assert listed == ("world.t" if engine == "chdb" else "world")


def prepare_spark(monkeypatch, folder, line):
    """Have it find the jars that were fetched before, and this machine's settings."""
    settings = settings_of_the_machine(line)
    conf = folder / "conf"
    conf.mkdir()
    own = "".join(f"{name} {value}\n" for name, value in settings.items())
    (conf / "spark-defaults.conf").write_text(own)
    options = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    monkeypatch.setenv("PATH", path_of_spark(line))
    monkeypatch.setenv("SPARK_CONF_DIR", str(conf))
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"{options} pyspark-shell")
    monkeypatch.setenv("PYSPARK_PYTHON", str(python_of(f"spark-{line}")))
    # The check of `spark-defaults` has a folder of configuration of its own.
    for ivy in (".ivy2", ".ivy2.5.2"):
        (folder / ivy).symlink_to(JARS / line)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.home={folder}")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")


@pytest.mark.parametrize("engine", sorted(NOT_HERE))
def test_a_check_of_what_runs_elsewhere_says_what_to_do_there(check, engine):
    told = check(engine)
    assert "cannot be tried from here" in told.exception.message
    assert "list the schemas there" in told.exception.remedy
