"""Runs `spark-submit` for a scan: what a cluster is sent, and how it is told which scan.

Nothing of Graticule has to be installed on the cluster: it is sent the modules that inspect.  The
scan's token is in a file that only its owner reads; neither a command line nor a setting has it.
"""

import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import graticule
from graticule.cli.failures import CommandFailure, ExitCode

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

SPARK_SUBMIT: Final = "spark-submit"
SENT: Final = ("discovery", "domain", "planning", "scaleout", "spatial", "storage")
"""Folders of the package that the executors import from."""

STOP_TIMEOUT_S: Final = 30
LOG_LINES_TOLD: Final = 20

_MODULES: Final = "graticule.zip"
_PASS: Final = "pass.json"
_JOB: Final = "spark.py"
_OURS: Final = "GRATICULE_"
_MODE: Final = "spark.submit.deployMode"


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    program: str
    master: str
    conf: Sequence[str]


def make_bundle(
    api: "ManagementApi", scan_path: str, folder: Path, options: SubmitOptions
) -> list[str]:
    """Put what Spark needs into a folder; returns the command that runs it.

    It is for this scan: the folder has its token, which ends with it.

    Raises:
        CommandFailure: the driver is to run in the cluster, where the folder is not.
    """
    _refuse_cluster_mode(options.conf)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = api.post(f"{scan_path}/token")["token"]
    passed = folder / _PASS
    passed.unlink(missing_ok=True)
    with os.fdopen(os.open(passed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": api.url, "token": token}, file)
    package = Path(graticule.__file__).parent
    with zipfile.ZipFile(folder / _MODULES, "w", zipfile.ZIP_DEFLATED) as modules:
        modules.write(package / "__init__.py", "graticule/__init__.py")
        for name in SENT:
            for path in sorted((package / name).rglob("*.py")):
                modules.write(path, str(Path("graticule") / path.relative_to(package)))
    shutil.copyfile(package / "scaleout" / _JOB, folder / _JOB)
    return [
        options.program,
        *(["--master", options.master] if options.master else []),
        # Said, since the defaults of a Spark may say otherwise.
        *("--deploy-mode", "client"),
        *(part for setting in options.conf for part in ("--conf", setting)),
        *("--py-files", str(folder / _MODULES)),
        str(folder / _JOB),
        str(passed),
    ]


def _refuse_cluster_mode(conf: Sequence[str]) -> None:
    """A driver in the cluster would need the token there: in a staging folder others can read."""
    modes = [value for name, _, value in (each.partition("=") for each in conf) if name == _MODE]
    if any(mode.strip().lower() != "client" for mode in modes):
        raise CommandFailure(
            f"`{_MODE}={modes[-1]}` is not supported: the driver holds the scan's token and runs "
            "where the command does; only executors run in the cluster",
            remedy="Leave the setting out. To have the driver near the cluster, run this command "
            "on a machine or in a pod there.",
            exit_code=ExitCode.USAGE,
        )


@contextmanager
def submitted(
    api: "ManagementApi", scan_path: str, options: SubmitOptions
) -> Iterator[Callable[[], str | None]]:
    """Run the Spark job; what it yields says why the job failed, once it has.

    When the block ends the job does as well.
    """
    program = shutil.which(options.program)
    if program is None:
        raise CommandFailure(
            f"`{options.program}` is not on the path; say where it is with `--spark-submit`, or "
            "have the command printed with `graticule scan spark … --bundle FOLDER`",
            exit_code=ExitCode.USAGE,
        )
    with tempfile.TemporaryDirectory(prefix="graticule-scan-") as name:
        folder = Path(name)
        command = make_bundle(api, scan_path, folder, options)
        log = folder / "spark.log"
        with log.open("wb") as output:
            # What the command line acts with is no business of a cluster's.
            environment = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
            process = subprocess.Popen(  # noqa: S603 - the program that was asked for
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )
        try:
            yield lambda: _failure(process, log)
        finally:
            _stop(process)


def _failure(process: "subprocess.Popen[bytes]", log: Path) -> str | None:
    if not process.poll():
        return None
    lines = log.read_text("utf-8", "replace").splitlines()[-LOG_LINES_TOLD:]
    return "\n".join([*lines, f"The Spark job failed with status {process.returncode}."])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
