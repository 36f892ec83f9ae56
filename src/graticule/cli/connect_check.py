"""Tries the text of an engine: runs that very text and a short listing, with the engine here.

The credential reaches the engine in its environment only, and nothing else of ours does.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graticule.cli.failures import CommandFailure, ExitCode
from graticule.services.engines.engine_text import CREDENTIAL_VARIABLE, EngineText

TIMEOUT_S: Final = 300.0
"""Spark fetches its packages at the first start."""
_TAIL_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class _Call:
    """A program, its arguments, and what it reads."""

    arguments: Sequence[str]
    stdin: str | None = None
    variables: Mapping[str, str] | None = None


def try_text(text: EngineText, *, credential: str, python: str | None) -> list[str]:
    """What the engine lists.

    Raises:
        CommandFailure: the engine is not here, or did not get through.
    """
    prepare = _PREPARE.get(text.runs_with or "")
    if prepare is None or text.check is None:
        raise CommandFailure(
            f"{text.title} cannot be tried from here",
            remedy=f"Put the text into {text.file or 'it'}, and list the schemas there.",
        )
    with tempfile.TemporaryDirectory(prefix="graticule-connect-") as folder:
        call = prepare(text, Path(folder), python or sys.executable)
        environment = {**os.environ, **(call.variables or {}), CREDENTIAL_VARIABLE: credential}
        try:
            ended = subprocess.run(  # noqa: S603 - what the caller asked to try
                call.arguments,
                input=call.stdin or "",
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailure(
                f"{text.title} said nothing for {TIMEOUT_S:.0f} s", exit_code=ExitCode.CHECK_FAILED
            ) from error
    if ended.returncode != 0:
        told = "\n".join((ended.stderr or ended.stdout).splitlines()[-_TAIL_LINES:])
        raise CommandFailure(
            f"{text.title} did not get through:\n{_without(credential, told)}",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return [line for line in ended.stdout.splitlines() if line]


def _without(credential: str, text: str) -> str:
    """Engines may show what they were given."""
    for secret in (credential, credential.partition(":")[2]):
        text = text.replace(secret, "…")
    return text


def _python(text: EngineText, folder: Path, python: str) -> _Call:
    probe = f"import {', '.join(text.modules)}"
    found = subprocess.run(  # noqa: S603 - our own words
        [python, "-c", probe], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        raise _missing(text, f"{python} does not have {', '.join(text.modules)}")
    script = folder / "connect.py"
    script.write_text(f"{text.text}\n{text.check}", "utf-8")
    return _Call([python, str(script)])


def _duckdb(text: EngineText, _folder: Path, _python: str) -> _Call:
    program = _program(text, "duckdb")
    return _Call([program, "-bail", "-list", "-noheader"], f"{text.text}\n{text.check}")


def _node(text: EngineText, folder: Path, _python: str) -> _Call:
    program = _program(text, "node")
    # Modules are looked for from the script's folder upwards, and the caller's are wanted.
    here = Path.cwd() / "node_modules"
    absent = [name for name in text.modules if not (here / name).is_dir()]
    if absent:
        raise _missing(text, f"{here} does not have {', '.join(absent)}")
    (folder / "node_modules").symlink_to(here)
    script = folder / "connect.mjs"
    script.write_text(f"{text.text}\n{text.check}", "utf-8")
    return _Call([program, str(script)])


def _spark_submit(text: EngineText, folder: Path, _python: str) -> _Call:
    program = _program(text, "spark-submit")
    (folder / "job.py").write_text(text.check or "", "utf-8")
    if text.file is None:
        return _Call(["/bin/sh", "-ec", text.text])
    (folder / Path(text.file).name).write_text(text.text, "utf-8")
    return _Call([program, "job.py"], variables={"SPARK_CONF_DIR": str(folder)})


def _program(text: EngineText, name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise _missing(text, f"there is no `{name}` on the PATH")
    return found


def _missing(text: EngineText, what: str) -> CommandFailure:
    return CommandFailure(
        f"{text.title} is not here: {what}",
        remedy=f"Get it with: {text.install}" if text.install else None,
        exit_code=ExitCode.NOT_FOUND,
    )


_PREPARE: Final[Mapping[str, Callable[[EngineText, Path, str], _Call]]] = {
    "python": _python,
    "duckdb": _duckdb,
    "node": _node,
    "spark-submit": _spark_submit,
}
