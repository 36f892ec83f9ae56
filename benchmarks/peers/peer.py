"""A running catalog, ours or another, as the benchmarks see it."""

import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rest import Connection
from graticule.demo.tether import Tethered

HOST = "127.0.0.1"
START_TIMEOUT_S = 90.0
POLL_S = 0.01
TOOLS = Path(__file__).parents[2] / ".tools" / "benchmarks"
"""Where `make bench` puts what the Java peers run on."""


class PeerMissing(RuntimeError):
    """What the peer runs on is not installed, or it did not start; the message says what."""


@dataclass(frozen=True)
class Peer:
    """`base` is the URL below which its namespaces are, `root` where tables may be put for it."""

    name: str
    version: str
    base: str
    headers: Mapping[str, str]
    is_authenticated: bool
    root: str
    s3: Any
    program: "Program"
    details: Mapping[str, str] = field(default_factory=dict)

    def connect(self) -> Connection:
        return Connection(self.base, dict(self.headers))

    def put(self, uri: str, data: bytes) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.s3.put_object(Bucket=bucket, Key=key, Body=data)

    def describe(self) -> dict[str, Any]:
        return {"version": self.version, "authentication": self.is_authenticated}


Opener = Callable[[Path], AbstractContextManager[Peer]]


class Program(Tethered):
    """A started server: how long it took, and what it weighs."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "program.log"
        self.ready_after_s = float("nan")
        self._began = time.perf_counter()
        inherited = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ
        }
        super().__init__(
            command,
            folder=folder,
            environment={**inherited, "HOME": str(folder), **environment},
            log=self.log,
        )

    def wait_for(self, url: str) -> None:
        """Until the URL answers with anything below 500.

        Raises:
            PeerMissing: the program ended, or never answered.
        """
        while not _answers(url):
            if self.has_ended() or time.perf_counter() - self._began > START_TIMEOUT_S:
                lines = self.log.read_text(errors="replace").splitlines()
                self.stop()
                raise PeerMissing("did not start: " + " / ".join(lines[-3:])[:400])
            time.sleep(POLL_S)
        self.ready_after_s = round(time.perf_counter() - self._began, 3)

    def memory_mb(self) -> list[float]:
        """Resident memory of each process of the program, without the shell that holds it."""
        return [round(_memory_kb(pid, "VmRSS") / 1024, 1) for pid in self._pids()]

    def own_memory_mb(self) -> list[float]:
        """The same without the pages of files, which the system drops when it needs the room."""
        return [round(_memory_kb(pid, "RssAnon") / 1024, 1) for pid in self._pids()]

    def cpu_s(self) -> float:
        """What the program's processes have used of the processor."""
        return sum(map(cpu_s_of, self._pids()))

    def _pids(self) -> set[int]:
        parents = {int(p.name): _parent(p) for p in Path("/proc").iterdir() if p.name.isdigit()}
        ours, found = set(), {self._process.pid}
        while found:
            ours |= found
            found = {pid for pid, parent in parents.items() if parent in found}
        return ours - {self._process.pid}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def cpu_s_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_kb(pid: int, what: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line.split()[1] for line in text.splitlines() if line.startswith(f"{what}:")]
    return int(lines[0]) if lines else 0


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
