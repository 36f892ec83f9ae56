"""One session of each line of Spark for all suites, each with a catalog of its own, `lake`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.engine_runs import connect_text
from support.server import LiveCatalog, LiveServer
from support.spark import Spark, start_spark


@dataclass(frozen=True)
class Session:
    """A running session and the catalog that it calls `lake`."""

    spark: Spark
    catalog: LiveCatalog
    engine: str
    line: str

    def sql(self, statement: str) -> list[list]:
        return self.spark.sql(statement)

    def connect(self, catalog: LiveCatalog, alias: str) -> None:
        """Run the printed text once more, as a user does for one more catalog."""
        self.spark.python(connect_text(catalog, self.engine, "--release", self.line, alias=alias))

    def python(self, code: str) -> Any:
        """Run code that has the session as `spark`; what it leaves in `result`."""
        return self.spark.python(f"spark = SparkSession.active()\n{code}")

    def set(self, name: str, value: str) -> None:
        self.python(f"spark.conf.set({name!r}, {value!r})")


HADOOP_AWS = (
    "org.apache.hadoop:hadoop-aws:3.3.4",
    # Of the SDK only what is used; the bundle that people have is 280 MB.
    *(f"com.amazonaws:aws-java-sdk-{part}:1.12.262" for part in ("s3", "sts", "dynamodb")),
)
"""For files that Sedona reads by itself, past Iceberg: Spark has no S3 of its own."""


def _session(
    engine: str, line: str, server: LiveServer, folder: Path, *, more: Sequence[str] = ()
) -> Iterator[Session]:
    """With `more` packages beside those of the printed text."""
    catalog = server.new_catalog()
    text = connect_text(catalog, engine, "--release", line, alias="lake")
    packages = '"spark.jars.packages": "'
    assert packages in text
    text = text.replace(packages, packages + "".join(f"{package}," for package in more))
    excluded = {"spark.jars.excludes": "com.amazonaws:aws-java-sdk-bundle"}
    spark = start_spark(line, text, folder, credential=server.key.credential, settings=excluded)
    try:
        yield Session(spark, catalog, engine, line)
    finally:
        spark.stop()


@pytest.fixture(scope="session")
def newest(server: LiveServer, tmp_path_factory) -> Iterator[Session]:
    """Spark 4.1, connected by the text of `graticule connect pyspark`."""
    yield from _session("pyspark", "4.1", server, tmp_path_factory.mktemp("spark-4.1"))


@pytest.fixture(scope="session")
def sedona(server: LiveServer, tmp_path_factory) -> Iterator[Session]:
    """Spark 3.5 with Sedona, connected by the text of `graticule connect sedona`."""
    folder = tmp_path_factory.mktemp("spark-3.5")
    yield from _session("sedona", "3.5", server, folder, more=HADOOP_AWS)


@pytest.fixture
def spark(request: pytest.FixtureRequest) -> Session:
    """The session of the line that the test asks for."""
    return request.getfixturevalue({"4.1": "newest", "3.5": "sedona"}[request.param])


@pytest.fixture
def space(spark: Session) -> str:
    """A namespace of its own in `lake`."""
    name = f"s{uuid4().hex[:8]}"
    spark.sql(f"create namespace lake.{name}")
    return name
