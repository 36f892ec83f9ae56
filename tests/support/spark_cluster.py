"""A standalone cluster of Spark on this machine: master and workers, each a process of its own."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.engine_runs import python_of
from support.engines import require
from support.patience import until

_MASTER = re.compile(r"Starting Spark master at (spark://\S+)")
_REGISTERED = "Successfully registered with master"


@dataclass
class SparkCluster:
    """`folder` has all that the cluster logs, and the work of its executors."""

    home: Path
    folder: Path
    environment: Mapping[str, str]
    master: str = ""
    workers: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def submit(self) -> str:
        return str(self.home / "bin" / "spark-submit")

    def run(self, name: str, *command: str) -> subprocess.Popen:
        with (self.folder / f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [self.home / "bin" / "spark-class", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                cwd=self.folder,
                start_new_session=True,
            )

    def logged(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def add_worker(self, name: str) -> None:
        self.workers[name] = self.run(
            name,
            "org.apache.spark.deploy.worker.Worker",
            *("--host", "127.0.0.1", "--cores", "1", "--memory", "600m", "--webui-port", "0"),
            *("--work-dir", str(self.folder / f"work-{name}")),
            self.master,
        )

    def kill(self, name: str) -> None:
        """As the power goes: the worker, its executors, and all that these have started."""
        for pid in (self.workers[name].pid, *_descendants(self.workers[name].pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.workers.pop(name).wait()


@contextmanager
def spark_cluster(line: str, folder: Path, workers: int) -> Iterator[SparkCluster]:
    """A master and so many workers of one core."""
    java = shutil.which("java", path=os.defpath) or shutil.which("java")
    require(java, "needs Java 17: `apt install openjdk-17-jre-headless`")
    python = python_of(f"spark-{line}")
    [home] = (python.parents[1] / "lib").glob("python*/site-packages/pyspark")
    environment = {
        "PATH": f"{Path(java).parent}:{os.defpath}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYSPARK_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_NO_DAEMONIZE": "1",
    }
    cluster = SparkCluster(home, folder, environment)
    master = cluster.run(
        "master",
        "org.apache.spark.deploy.master.Master",
        *("--host", "127.0.0.1", "--port", "0", "--webui-port", "0"),
    )
    try:
        until(lambda: _MASTER.search(cluster.logged("master")))
        cluster.master = _MASTER.search(cluster.logged("master"))[1]
        for number in range(workers):
            cluster.add_worker(f"worker-{number}")
        for name in cluster.workers:
            until(lambda name=name: _REGISTERED in cluster.logged(name))
        yield cluster
    finally:
        for name in list(cluster.workers):
            cluster.kill(name)
        master.kill()
        master.wait()


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
