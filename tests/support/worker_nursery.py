"""Processes that are `graticule worker`, made quickly: by a parent that has loaded everything.

Run as a program, it makes a worker for each line it reads, and prints its process id.  Each is the
first of a group of its own, to be killed with all that it has started.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_TIMEOUT_S = 30


class Worker:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def kill(self) -> None:
        """As the power goes: nothing is said goodbye to."""
        os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.is_running():
            assert time.monotonic() < deadline, "the worker does not stop"
            time.sleep(0.02)

    def is_running(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()


class Nursery:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self) -> Worker:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Worker(int(self._process.stdout.readline()))


@contextmanager
def nursery(folder: Path, **environment: str) -> Iterator[Nursery]:
    """Workers on a data folder; those that still run are killed when the block ends."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "workers.log").open("w"),
        text=True,
        env={"GRATICULE_DATA_DIR": str(folder), "PATH": "", **environment},
    )
    started: list[Worker] = []
    making = Nursery(process)
    make = making.start

    def start() -> Worker:
        started.append(make())
        return started[-1]

    making.start = start
    try:
        yield making
    finally:
        for worker in started:
            with suppress(ProcessLookupError):
                worker.kill()
        process.stdin.close()
        process.wait(STOP_TIMEOUT_S)
        process.stdout.close()


def main() -> None:
    import graticule.cli.environment  # noqa: PLC0415
    import graticule.logs  # noqa: PLC0415
    import graticule.wiring  # noqa: F401, PLC0415
    from graticule.cli.worker import worker  # noqa: PLC0415

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            os.dup2(2, 1)
            worker()
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
