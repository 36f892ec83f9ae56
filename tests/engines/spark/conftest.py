"""One session of each line of Spark for all suites, each with a catalog of its own, `lake`.

That of Spark 3.5 has Sedona beside it, so what it shows of the one it shows of the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


def hadoop_settings(given: Mapping[str, str]) -> dict[str, str]:
    """What Hadoop has to be told of a vended credential, to read files past Iceberg."""
    return {
        "fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "fs.s3.impl.disable.cache": "true",
        "fs.s3a.aws.credentials.provider": (
            "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider"
        ),
        "fs.s3a.endpoint": given["s3.endpoint"],
        "fs.s3a.path.style.access": "true",
        "fs.s3a.access.key": given["s3.access-key-id"],
        "fs.s3a.secret.key": given["s3.secret-access-key"],
        "fs.s3a.session.token": given["s3.session-token"],
    }


def _session(
    engine: str,
    line: str,
    server: LiveServer,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    more: Sequence[str] = (),
) -> Iterator[Session]:
    """With `more` packages beside those of the printed text."""
    folder = tmp_path_factory.mktemp(f"spark-{line}")
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
    yield from _session("pyspark", "4.1", server, tmp_path_factory)


@pytest.fixture(scope="session")
def sedona_35(server: LiveServer, tmp_path_factory) -> Iterator[Session]:
    """Spark 3.5 with Sedona, connected by the text of `graticule connect sedona`."""
    yield from _session("sedona", "3.5", server, tmp_path_factory, more=HADOOP_AWS)


@pytest.fixture(scope="session")
def sedona_40(server: LiveServer, tmp_path_factory) -> Iterator[Session]:
    """The newest Spark that Sedona's published jars run on, connected in the same way."""
    yield from _session("sedona", "4.0", server, tmp_path_factory)


@pytest.fixture
def sedona(request: pytest.FixtureRequest) -> Session:
    """Sedona on the line that the test asks for, or on the one that most people have."""
    line = getattr(request, "param", "3.5")
    return request.getfixturevalue({"4.0": "sedona_40", "3.5": "sedona_35"}[line])


@pytest.fixture
def spark(request: pytest.FixtureRequest) -> Session:
    """The session of the line that the test asks for."""
    return request.getfixturevalue({"4.1": "newest", "3.5": "sedona_35"}[request.param])


@pytest.fixture
def space(spark: Session) -> str:
    """A namespace of its own in `lake`."""
    name = f"s{uuid4().hex[:8]}"
    spark.sql(f"create namespace lake.{name}")
    return name
