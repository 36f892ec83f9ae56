"""Runs an engine as its user would: the text that `graticule connect` prints, then statements.

Each run is a process of its own, in an empty folder, with an environment that has the credential
and nothing else that could help: what the text does not say, the engine does not know.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from graticule.cli.main import app
from support.engines import require
from support.server import LiveCatalog

ROOT = Path(__file__).parents[2]
RUN_TIMEOUT_S = 300
RESULT = "RESULT "
"""What a script puts before the JSON that the test wants."""

_TELL = f"""
import json

def result(value):
    print({RESULT!r} + json.dumps(value, default=str), flush=True)
"""


def python_of(environment: str) -> Path:
    """The Python of `.venv-<environment>`; without one the test is skipped, in CI it fails."""
    folder = ROOT / f".venv-{environment}"
    require(
        (folder / ".ready").exists(),
        f"needs the engines of {folder.name}; get them with `make {folder.name}/.ready`",
    )
    return folder / "bin" / "python"


def connect_text(catalog: LiveCatalog, engine: str, *options: str, alias: str = "places") -> str:
    """What `graticule connect ENGINE` prints on its standard output, for this catalog."""
    variables = {
        "GRATICULE_URL": catalog.server.url,
        "GRATICULE_CREDENTIAL": catalog.server.key.credential,
        "GRATICULE_TOKEN": "",
    }
    told = CliRunner().invoke(
        app, ["connect", engine, catalog.name, "--as", alias, *options], env=variables
    )
    assert told.exit_code == 0, told.output
    for secret in (catalog.server.key.credential, catalog.server.key.credential.partition(":")[2]):
        assert secret not in told.output
    return told.stdout


@dataclass(frozen=True)
class Ran:
    """How a run ended.  No secret is in its output: that was looked at."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def result(self) -> Any:
        """What the script said after `RESULT `, as JSON; the last one counts."""
        assert self.returncode == 0, self.told
        said = [line for line in self.stdout.splitlines() if line.startswith(RESULT)]
        assert said, self.told
        return json.loads(said[-1].removeprefix(RESULT))

    @property
    def told(self) -> str:
        return f"{self.stdout}\n{self.stderr}"


class EngineRunner:
    """Runs programs in `folder` for one server, and looks at what they print."""

    def __init__(self, folder: Path, credential: str, secrets: Iterable[str]) -> None:
        self._folder = folder
        self._credential = credential
        self._secrets = secrets
        """Grows: the secrets that were given out meanwhile."""

    @property
    def folder(self) -> Path:
        return self._folder

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "GRATICULE_CREDENTIAL": self._credential,
            # Of the machine, not of the catalog: nobody here answers for instance metadata.
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def run(
        self,
        command: Sequence[str | Path],
        *,
        stdin: str = "",
        variables: Mapping[str, str] | None = None,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> Ran:
        ended = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            cwd=self._folder,
            env=self.environment(**(variables or {})),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        ran = Ran(ended.returncode, ended.stdout, ended.stderr)
        self.assert_silent_about_secrets(ran.told)
        return ran

    def python(self, environment: str, text: str, statements: str, **options: Any) -> Ran:
        """Run a Python script of the environment: the printed text, then the statements.

        `result(value)` is there for the statements, to tell the test something.
        """
        script = self._folder / "script.py"
        script.write_text(f"{text}\n{_TELL}\n{statements}", "utf-8")
        return self.run([python_of(environment), script], **options)

    def assert_silent_about_secrets(self, text: str) -> None:
        """No secret of ours or of the store is in what an engine printed or logged."""
        own = self._credential.partition(":")[2]
        found = [secret[:4] + "…" for secret in {own, *self._secrets} if secret in text]
        assert found == [], f"secrets that begin with {found} were printed"


def install_duckdb_extensions(environment: str, home: Path) -> None:
    """Put the signed extensions of PyPI where DuckDB keeps those that it has installed."""
    packages = python_of(environment).parents[1] / "lib"
    for binary in packages.glob("python*/site-packages/duckdb_extension_*/**/*.duckdb_extension"):
        version = re.search(r"/(v\d[^/]*)/", str(binary))
        assert version is not None
        target = home / ".duckdb" / "extensions" / version[1] / "linux_amd64"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(binary, target / binary.name)
