"""`spark-submit` and `spark-defaults.conf`: the printed texts, run by Spark's own programs."""

import pytest
from typer.testing import CliRunner

from graticule.cli.main import app
from support.engine_matrix import Capability, proves
from support.engine_runs import EngineRunner, Ran, connect_text, python_of
from support.spark import (
    EVERYTHING,
    SPARK_35,
    SPARK_41,
    path_of_spark,
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


LOOKS_AT_THE_PAGE = """
import json
import urllib.request

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.sql("show namespaces in places").collect()
context = spark.sparkContext
page = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/environment"
settings = dict(json.load(urllib.request.urlopen(page))["sparkProperties"])
spark.stop()
print("RESULT " + json.dumps(settings["spark.sql.catalog.places.credential"]), flush=True)
"""

TEXTS = [(text, line) for text in ("spark-submit", "spark-defaults") for line in ("4.1", "3.5")]


def on(engine: str, line: str) -> pytest.MarkDecorator:
    """Each text on each line of Spark; in `make test` this one alone."""
    return pytest.mark.parametrize(("engine", "line"), TEXTS if EVERYTHING else [(engine, line)])


def submitted(runner: EngineRunner, engine: str, line: str, text: str) -> Ran:
    """Run `job.py` of the runner's folder by the text."""
    own = "".join(f"{name} {value}\n" for name, value in settings_of_the_machine(line).items())
    conf = runner.folder / "conf"
    conf.mkdir()
    if engine == "spark-submit":
        (conf / "spark-defaults.conf").write_text(own)
        command = ["/bin/sh", "-ec", text]
    else:
        (conf / "spark-defaults.conf").write_text(f"{text}\n{own}")
        command = [str(python_of(f"spark-{line}").with_name("spark-submit")), "job.py"]
    variables = {"PATH": path_of_spark(line), "SPARK_CONF_DIR": str(conf)}
    return runner.run(command, variables=variables)


@proves(SPARK_41, Capability.CONNECT, figure="by PySpark, `spark-submit`, `spark-defaults.conf`")
@proves(SPARK_35, Capability.CONNECT, figure="by PySpark, `spark-submit`, `spark-defaults.conf`")
@on("spark-submit", "4.1")
def test_a_job_runs_by_the_printed_text_alone(runner: EngineRunner, catalog, engine, line):
    text = connect_text(catalog, engine, "--release", line)
    (runner.folder / "job.py").write_text(JOB)

    assert submitted(runner, engine, line, text).result == [6, 7]
    assert catalog.pyiceberg().load_table("ns.t").scan().to_arrow().num_rows == 6


@on("spark-defaults", "3.5")
def test_a_credential_in_the_text_itself_is_not_on_sparks_web_page(
    runner: EngineRunner, monkeypatch, catalog, engine, line
):
    monkeypatch.setenv("GRATICULE_URL", catalog.server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", catalog.server.key.credential)
    monkeypatch.setenv("GRATICULE_TOKEN", "")
    words = ["connect", engine, catalog.name, "--release", line, "--as", "places", "--with-secret"]
    text = CliRunner().invoke(app, words).stdout
    assert catalog.server.key.credential in text
    (runner.folder / "job.py").write_text(LOOKS_AT_THE_PAGE)

    assert submitted(runner, engine, line, text).result == "*********(redacted)"
