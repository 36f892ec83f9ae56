"""Code in Markdown pages, and what runs the blocks that say `run`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELLS = frozenset({"sh", "shell", "bash"})
RUN = "run"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Snippet:
    page: Path
    language: str
    words: frozenset[str]
    """What the fence says after the language."""
    code: str

    @property
    def name(self) -> str:
        return self.page.relative_to(ROOT).as_posix()


def snippets(text: str, page: Path) -> Iterator[Snippet]:
    for fence in _FENCE.finditer(text):
        language, *words = fence["info"].split() or [""]
        yield Snippet(page, language, frozenset(words), fence["code"])


def snippets_of(page: Path) -> list[Snippet]:
    return list(snippets(page.read_text(), page))


def inline_code(text: str) -> list[str]:
    """What stands in single backquotes, outside of fences."""
    return _SPAN.findall(_FENCE.sub("", text))


def run(
    blocks: list[Snippet],
    *,
    placeholders: Mapping[str, str],
    variables: Mapping[str, str],
    folder: Path,
) -> None:
    """Run the blocks of one page that say so, in order; Python blocks share their names.

    `placeholders` are replaced in the code; `variables` are the environment of shell blocks.
    """
    names: dict[str, object] = {}
    for block in blocks:
        if RUN not in block.words:
            continue
        code = block.code
        for placeholder, value in placeholders.items():
            code = code.replace(placeholder, value)
        if block.language == "python":
            exec(compile(code, block.name, "exec"), names)
        elif block.language in SHELLS:
            _shell(code, variables, folder)
        else:
            raise ValueError(f"{block.name}: nothing runs `{block.language}` blocks")


def _shell(code: str, variables: Mapping[str, str], folder: Path) -> None:
    """As a reader would, with the commands of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        env={**os.environ, **variables, "PATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
