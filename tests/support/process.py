"""`graticule serve` as a process of its own, for tests that stop or kill it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

GRATICULE = Path(sys.executable).with_name("graticule")
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30


class Serving:
    """A server process and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self.output: list[str] = []
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        self.output.extend(self.process.stdout)

    @property
    def printed(self) -> str:
        return "".join(self.output)

    @property
    def credential(self) -> str:
        """Of the first admin: the first start shows it."""
        found = re.search(r"GRATICULE_CREDENTIAL=(\S+)", self.printed)
        assert found is not None, self.printed
        return found[1]

    def kill(self) -> None:
        """As the power goes, for all its processes: nothing is said goodbye to."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.printed
            try:
                if httpx2.get(f"{self.url}/ready").status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"not ready after {START_TIMEOUT_S} s:\n{self.printed}")


@contextmanager
def serve(folder: Path, *, port: int | None = None, **environment: str) -> Iterator[Serving]:
    """A server on its own data folder; stopped, unless it was killed, when the block ends."""
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    process = subprocess.Popen(
        [GRATICULE, "serve", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            "GRATICULE_DATA_DIR": str(folder),
            "GRATICULE_WORKERS": "1",  # starts sooner; for tests that are not about several
            "PATH": "",
            **environment,
        },
        start_new_session=True,  # with its workers one group, to be killed as a whole
    )
    running = Serving(process, f"http://127.0.0.1:{port}")
    try:
        running.wait_until_ready()
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=STOP_TIMEOUT_S)
