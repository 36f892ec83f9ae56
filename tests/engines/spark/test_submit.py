"""`spark-submit` and `spark-defaults.conf`: the printed texts, run by Spark's own programs."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graticule.cli.main import app
from support.engine_matrix import Capability, proves
from support.engine_runs import EngineRunner, connect_text, python_of
from support.spark import (
    EVERYTHING,
    JARS,
    SPARK_35,
    SPARK_41,
    require_java,
    settings_of_the_machine,
)

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]

JOB = """
import json

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.sql("create namespace places.ns")
spark.sql("create table places.ns.t using iceberg as select id from range(5)")
spark.sql("insert into places.ns.t values (7)")
[row] = spark.sql("select count(*), max(id) from places.ns.t").collect()
spark.stop()
print("RESULT " + json.dumps(list(row)), flush=True)
"""


TEXTS = [(text, line) for text in ("spark-submit", "spark-defaults") for line in ("4.1", "3.5")]


def on(engine: str, line: str) -> pytest.MarkDecorator:
    """Each text on each line of Spark; in `make test` this one alone."""
    return pytest.mark.parametrize(("engine", "line"), TEXTS if EVERYTHING else [(engine, line)])


def programs(line: str) -> str:
    """A PATH that has Spark's programs, and Java."""
    return f"{python_of(f'spark-{line}').parent}:{Path(require_java()).parent}:/usr/bin:/bin"


def configured(folder: Path, line: str, text: str = "") -> Path:
    """A folder of configuration that says `text`, beside what this machine wants said."""
    folder.mkdir()
    settings = {"spark.master": "local[2]", **settings_of_the_machine(line)}
    own = "".join(f"{name} {value}\n" for name, value in settings.items())
    (folder / "spark-defaults.conf").write_text(f"{text}\n{own}")
    return folder


@proves(SPARK_41, Capability.CONNECT, figure="by PySpark, `spark-submit`, `spark-defaults.conf`")
@proves(SPARK_35, Capability.CONNECT, figure="by PySpark, `spark-submit`, `spark-defaults.conf`")
@on("spark-submit", "4.1")
def test_a_job_runs_by_the_printed_text_alone(runner: EngineRunner, catalog, engine, line):
    text = connect_text(catalog, engine, "--release", line)
    (runner.folder / "job.py").write_text(JOB)
    if engine == "spark-submit":
        conf, command = configured(runner.folder / "conf", line), ["/bin/sh", "-ec", text]
    else:
        conf = configured(runner.folder / "conf", line, text)
        command = ["spark-submit", "job.py"]
    variables = {"PATH": programs(line), "SPARK_CONF_DIR": str(conf)}
    ran = runner.run(
        [shutil.which(command[0], path=variables["PATH"]), *command[1:]], variables=variables
    )

    assert ran.result == [6, 7]
    assert catalog.pyiceberg().load_table("ns.t").scan().to_arrow().num_rows == 6


@on("spark-defaults", "3.5")
def test_a_check_runs_the_very_text(tmp_path, monkeypatch, catalog, engine, line):
    catalog.pyiceberg().create_namespace("world")
    conf = configured(tmp_path / "conf", line)
    (tmp_path / ".ivy2").symlink_to(JARS / line)
    (tmp_path / ".ivy2.5.2").symlink_to(JARS / line)
    monkeypatch.setenv("GRATICULE_URL", catalog.server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", catalog.server.key.credential)
    monkeypatch.setenv("GRATICULE_TOKEN", "")
    monkeypatch.setenv("PATH", programs(line))
    monkeypatch.setenv("SPARK_CONF_DIR", str(conf))
    # The check of `spark-defaults` has a folder of configuration of its own.
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.home={tmp_path}")

    words = ["connect", engine, catalog.name, "--release", line, "--as", "places", "--check"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    # Of Spark 3.5, Ivy tells on the same stream where it has its settings from.
    assert [word for word in told.stdout.splitlines() if word[:2] != "::"] == ["world"]
