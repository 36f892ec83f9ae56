"""A Spark session in an environment of its own, that is given orders and answers in JSON.

One session serves a whole suite: starting a JVM costs more than most statements.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.engine_matrix import Engine, pinned
from support.engine_runs import ROOT, python_of
from support.engines import require

SPARK_41 = Engine("Spark", pinned("pyspark", "spark-4.1"), "pyspark")
SPARK_35 = Engine("Spark", pinned("pyspark", "spark-3.5"), "pyspark")
SEDONA_35 = Engine("Sedona", f"{pinned('apache-sedona', 'spark-3.5')} on Spark 3.5", "sedona")
SEDONA_40 = Engine("Sedona", f"{pinned('apache-sedona', 'spark-4.0')} on Spark 4.0", "sedona")

EVERYTHING = os.environ.get("GRATICULE_WRITE_ENGINES_PAGE") == "1"
on_both_lines = pytest.mark.parametrize("spark", ["4.1", "3.5"], indirect=True)
on_sampled_lines = pytest.mark.parametrize(
    "spark", ["4.1", "3.5"] if EVERYTHING else ["4.1"], indirect=True
)
"""`make test` runs the newest line whole and samples the other one; `make test-engines` all."""
on_both_sedonas = pytest.mark.parametrize("sedona", ["3.5", "4.0"], indirect=True)
on_sampled_sedonas = pytest.mark.parametrize(
    "sedona", ["3.5", "4.0"] if EVERYTHING else ["3.5"], indirect=True
)

DRIVER = ROOT / "tests" / "engines" / "spark" / "driver.py"
JARS = ROOT / ".tools" / "ivy"
"""Where Spark keeps the jars that it fetched from Maven Central."""
STOP_TIMEOUT_S = 60

OF_THE_MACHINE = {
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.port": "0",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "INFO",
    # Two cores and small tables: 200 tasks per shuffle are for others.
    "spark.sql.shuffle.partitions": "2",
}
"""Of this machine and these tests; nothing that helps to connect."""


def settings_of_the_machine(line: str) -> dict[str, str]:
    return {"spark.jars.ivy": str(JARS / line), **OF_THE_MACHINE}


def require_java() -> str:
    java = shutil.which("java", path=os.defpath) or shutil.which("java")
    require(java, "needs Java 17: `apt install openjdk-17-jre-headless`")
    assert java is not None
    return java


def path_of_spark(line: str) -> str:
    """A PATH that has Spark's programs, and Java."""
    return f"{python_of(f'spark-{line}').parent}:{Path(require_java()).parent}:{os.defpath}"


class SparkError(Exception):
    """A statement failed, or the code of an order: what Spark says about it."""


class Spark:
    """The session as a test sees it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def sql(self, statement: str) -> list[list[Any]]:
        """The rows of the statement."""
        return self._ask({"sql": statement})

    def python(self, code: str) -> Any:
        """Run code beside the session; what it leaves in `result`."""
        return self._ask({"python": code})

    @property
    def log(self) -> str:
        """All that the session has logged so far."""
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def _ask(self, order: dict[str, str]) -> Any:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.log
        answer = json.loads(line)
        if "error" in answer:
            raise SparkError(answer["error"])
        return answer["ok"]


def start_spark(
    line: str, text: str, folder: Path, *, credential: str, settings: Mapping[str, str] = {}
) -> Spark:
    """A session of Spark `line`, made by the printed `text` with the credential beside it.

    `settings` are of the test, like those of the machine.
    """
    java = require_java()
    python = python_of(f"spark-{line}")
    own = {**settings_of_the_machine(line), **settings}
    options = " ".join(f"--conf {name}={value}" for name, value in own.items())
    log = folder / f"spark-{line}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [python, DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env={
                "PATH": f"{Path(java).parent}:{os.defpath}",
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                "PYSPARK_PYTHON": str(python),
                "PYSPARK_SUBMIT_ARGS": f"--master local[2] {options} pyspark-shell",
                "GRATICULE_CREDENTIAL": credential,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )
    spark = Spark(process, log)
    try:
        spark.python(text)
    except SparkError:
        spark.stop()
        require(
            "unresolved dependency" not in spark.log,
            "needs jars of Maven Central, which did not answer",
        )
        raise
    return spark
