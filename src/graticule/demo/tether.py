"""Starts a program that ends when this process ends, however it ends."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

STOP_TIMEOUT_S: Final = 10.0

# Our end of the pipe closes when we die, even by SIGKILL; then `cat` ends and the program is told
# to stop.  A parent-death signal would follow the thread that started it instead of the process.
_TETHER: Final = """
exec 3<&0
"$@" </dev/null 3<&- & program=$!
{ cat <&3 >/dev/null; kill "$program"; } 2>/dev/null &
wait "$program"
"""


class Tethered:
    """A running program, with its output in `log`, in a process group of its own."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _TETHER, "tethered", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """End the program, by force if it does not end within `STOP_TIMEOUT_S`; nothing else."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # the shell, the program, and no others
            self._process.wait()
