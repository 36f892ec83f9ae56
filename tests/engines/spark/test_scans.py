"""A scan whose files a Spark cluster inspects: a master, two workers, and one of them dies."""

import socket
import stat
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from graticule.cli.main import app
from graticule.services.discovery import handoffs
from support.lake import RawFolder
from support.scan_clusters import fill_with_zoo, forget, known, staged
from support.spark import EVERYTHING
from support.spark_cluster import SparkCluster, spark_cluster

pytestmark = [pytest.mark.s3, pytest.mark.timeout(900)]

WORKERS = 2
START_TIMEOUT_S = 300
PAGES = (
    *("environment/", "jobs/", "stages/", "executors/", "SQL/", "SQL/execution/?id=0"),
    *("executors/threadDump/?executorId=driver", "api/v1/applications"),
)


@pytest.fixture(params=["4.1", "3.5"] if EVERYTHING else ["4.1"])
def cluster(request, tmp_path) -> Iterator[SparkCluster]:
    with spark_cluster(request.param, tmp_path, WORKERS) as running:
        yield running


class Gate:
    """Between the server and the machines that ask it for work; hears what secrets it tells."""

    def __init__(self, work, monkeypatch):
        self._part, self._token = work.part, work.issue_token
        self.asked = threading.Semaphore(0)
        self.open = threading.Event()
        self.secrets: set[str] = set()
        monkeypatch.setattr(work, "part", self.part)
        monkeypatch.setattr(work, "issue_token", self.issue_token)

    def part(self, token, name, **origin):
        told = self._part(token, name, **origin)
        secrets = (told.seal, told.credential.secret_access_key, told.credential.session_token)
        self.secrets |= {secret.reveal() for secret in secrets}
        self.asked.release()
        assert self.open.wait(START_TIMEOUT_S)
        return told

    def issue_token(self, *which):
        token = self._token(*which)
        self.secrets.add(token.reveal())
        return token


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scan_by(cluster: SparkCluster, raw: RawFolder, ui_port: int):
    """`graticule scan start --engine spark --master …`"""
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.executor.memory": "512m",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": f"file://{cluster.folder}",
        "spark.ui.port": str(ui_port),
        "spark.log.level": "INFO",
    }
    options = [part for setting in settings.items() for part in ("--conf", "=".join(setting))]
    return CliRunner().invoke(
        app,
        [
            *("scan", "start", raw.catalog.name, "--prefix", f"s3://lake/{raw.prefix.rstrip('/')}"),
            *("--engine", "spark", "--master", cluster.master, "--spark-submit", cluster.submit),
            *options,
        ],
        env={
            **cluster.environment,
            "GRATICULE_URL": raw.server.url,
            "GRATICULE_CREDENTIAL": raw.server.key.credential,
            "GRATICULE_TOKEN": "",
        },
    )


def pages_of(ui_port: int) -> dict[str, str]:
    """What the job's pages show while it runs."""
    base = f"http://127.0.0.1:{ui_port}"
    shown = {}
    for page in PAGES:
        with urllib.request.urlopen(f"{base}/{page}") as answer:
            shown[page] = answer.read().decode()
    return shown


def logs_of(cluster: SparkCluster) -> dict[str, str]:
    """All that the cluster, its executors and the driver have written."""
    return {
        str(path.relative_to(cluster.folder)): path.read_bytes().decode("utf-8", "replace")
        for path in cluster.folder.rglob("*")
        if path.is_file() and path.name != "pass.json"
    }


def test_a_cluster_that_loses_a_worker_finds_what_the_server_finds_and_shows_no_secret(
    server, http, cluster, monkeypatch
):
    raw = RawFolder(server, server.new_catalog(), http, f"spark-{uuid4().hex[:8]}/")
    fill_with_zoo(raw)
    report, inspections = raw.scan()["report"], known(raw)
    forget(raw)
    raw = replace(raw, catalog=server.new_catalog())  # which has scanned nothing yet
    gate, ui_port = Gate(server.services.scan_work, monkeypatch), free_port()
    monkeypatch.setattr(handoffs, "files_a_part", lambda _files: 10)
    monkeypatch.setattr(tempfile, "tempdir", str(cluster.folder))
    with ThreadPoolExecutor(1) as command:
        running = command.submit(scan_by, cluster, raw, ui_port)
        try:
            for _ in range(WORKERS):  # both executors are at a part of their own
                assert gate.asked.acquire(timeout=START_TIMEOUT_S)
            shown = pages_of(ui_port) | logs_of(cluster)
            [passed] = cluster.folder.glob("*/pass.json")
            assert stat.S_IMODE(passed.stat().st_mode) == 0o600
            cluster.kill("worker-0")
        finally:
            gate.open.set()
        ended = running.result()
    assert ended.exit_code == 0, ended.output
    [scan] = http.get(raw.scans).json()["items"]
    scan = http.get(f"{raw.scans}/{scan['id']}").json()
    assert (scan["state"], scan["report"]) == ("proposed", report)
    assert known(raw) == inspections
    elsewhere = scan["progress"]["elsewhere"]
    parts = elsewhere["parts"]
    assert (parts > 2 * WORKERS, elsewhere) == (
        True,
        {"parts": parts, "taken": parts, "refused": []},
    )
    assert staged(raw) == []
    assert list(cluster.folder.glob("*/pass.json")) == []

    shown |= logs_of(cluster) | {"the command": ended.output}
    assert {"spark.log", "stderr"} <= {Path(name).name for name in shown}
    assert len(gate.secrets) >= 1 + 1 + 2 * parts
    leaks = [(name, secret) for secret in gate.secrets for name in shown if secret in shown[name]]
    assert leaks == []
