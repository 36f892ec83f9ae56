"""What the tests of `tests/engines` claim about engines, and the page that those claims make.

A claim stands on a test: `@proves` and `@lacks` put it there, and the test passes only if it holds.
The page is made of the claims and nothing else, so it says what the tests say.
"""

import importlib
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., object])

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "engines.md"
SUITES = ROOT / "tests" / "engines"
MORE_SUITES = ROOT / "tests" / "clients"
"""Claims stand here as well, on tests that are there for more than them."""
BEGIN, END = "<!-- made by the tests: begin -->", "<!-- made by the tests: end -->"


class Capability(StrEnum):
    """The columns of the matrix; each is one thing that somebody wants to do."""

    CONNECT = "connects with the printed text alone"
    NAMES = "`catalog.database.table`"
    LIST = "lists"
    CREATE = "creates"
    WRITE = "writes"
    READ = "reads"
    TIME_TRAVEL = "time travel"
    SCHEMA = "schema evolution"
    ROW_DELETES = "deletes rows"
    TRANSACTIONS = "changes several tables at once"
    VIEWS = "views"
    WINDOW = "map window skips files"
    SPATIAL = "spatial SQL"
    VENDED = "vended credentials"
    OUTLIVES = "works on when a credential ends"
    NEW_CATALOG = "a catalog made meanwhile"
    CONCURRENT = "writes beside others"
    DROP = "drops"


@dataclass(frozen=True, slots=True)
class Engine:
    """One column of the matrix.  `text` is the name that `graticule connect` knows it by."""

    name: str
    version: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """`figure`: what was measured, which the test asserts.  `limit`: why not, None if it works."""

    engine: Engine
    capability: Capability
    test: str
    figure: str | None = None
    limit: str | None = None
    issue: str | None = None
    instead: str | None = None


_claims: dict[Claim, None] = {}
"""Each once, however often its module is imported."""


def proves(
    engine: Engine, *capabilities: Capability, figure: str | None = None
) -> Callable[[Test], Test]:
    """The test passes only if the engine does all this; `figure` is asserted by it too."""

    def decorate(test: Test) -> Test:
        for capability in capabilities:
            _state(Claim(engine, capability, _name(test), figure=figure))
        return pytest.mark.client(test)

    return decorate


def lacks(
    engine: Engine,
    capability: Capability,
    limit: str,
    *,
    issue: str | None = None,
    instead: str | None = None,
) -> Callable[[Test], Test]:
    """The test passes only if the engine cannot: a release that can will fail it.

    `issue` is the upstream thread, `instead` what we do about it or what the user can.
    """

    def decorate(test: Test) -> Test:
        claim = Claim(engine, capability, _name(test), limit=limit, issue=issue, instead=instead)
        _state(claim)
        return pytest.mark.client(test)

    return decorate


def _name(test: Callable[..., object]) -> str:
    return f"{test.__module__.rpartition('.')[2]}::{test.__qualname__}"


def _state(claim: Claim) -> None:
    _claims[claim] = None


def declared() -> list[Claim]:
    """The claims of all suites, run or not, in an order of their own."""
    for path in sorted([*SUITES.rglob("test_*.py"), *MORE_SUITES.glob("test_*.py")]):
        module = ".".join(path.relative_to(ROOT / "tests").with_suffix("").parts)
        importlib.import_module(module)
    return sorted(
        _claims,
        key=lambda c: (
            *(c.engine.name.lower(), list(Capability).index(c.capability), c.test),
            *(c.limit or "", c.figure or ""),
        ),
    )


def pinned(package: str, environment: str | None = None) -> str:
    """The version that a package is pinned to, in an environment of engines or in our own."""
    if environment is not None:
        lines = (SUITES / "environments" / f"{environment}.txt").read_text().splitlines()
    else:
        groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
        lines = [line for group in groups.values() for line in group if isinstance(line, str)]
    pattern = re.compile(rf"{re.escape(package)}(?:\[[^\]]*\])?==([^\s;#*]+?)(?:\.\*)?(?:\s|;|#|$)")
    found = {match[1] for line in lines if (match := pattern.match(line))}
    assert len(found) == 1, f"`{package}` is pinned to {sorted(found) or 'nothing'}"
    return found.pop()


# The page.


def rendered(claims: Iterable[Claim]) -> str:
    """The generated part of the page."""
    by_engine: dict[Engine, list[Claim]] = {}
    for claim in claims:
        by_engine.setdefault(claim.engine, []).append(claim)
    return "\n\n".join([_matrix(by_engine), *(_details(e, c) for e, c in by_engine.items())])


def _matrix(by_engine: dict[Engine, list[Claim]]) -> str:
    engines = list(by_engine)
    lines = [
        ["", *(f"{engine.name} {engine.version}" for engine in engines)],
        ["---"] * (len(engines) + 1),
    ]
    for capability in Capability:
        cells = [_cell([c for c in by_engine[e] if c.capability is capability]) for e in engines]
        lines.append([capability.value, *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(claims: Sequence[Claim]) -> str:
    if not claims:
        return ""
    works, fails = (any(c.limit is None for c in claims), any(c.limit for c in claims))
    return "in part" if works and fails else "yes" if works else "no"


def _details(engine: Engine, claims: Sequence[Claim]) -> str:
    lines = [f"### {engine.name} {engine.version}"]
    if engine.text is not None:
        lines += ["", f"`graticule connect {engine.text}`"]
    figures = dict.fromkeys((c.capability.value, c.figure) for c in claims if c.figure)
    if figures:
        lines += ["", *(f"- {what}: {figure}" for what, figure in figures)]
    limits = [claim for claim in claims if claim.limit]
    if limits:
        lines += ["", "| limit | upstream | what helps |", "|---|---|---|"]
        lines += [
            f"| {claim.limit} | {_linked(claim.issue)} | {claim.instead or ''} |"
            for claim in limits
        ]
    return "\n".join(lines)


def _linked(issue: str | None) -> str:
    if issue is None:
        return ""
    short = re.sub(
        r"https://github\.com/([^/]+/[^/]+)/(?:issues|pull|discussions)/(\d+).*", r"\1#\2", issue
    )
    return f"[{short}]({issue})"


def page_with(part: str) -> str:
    """The page as it stands, with its generated part replaced."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{rest.split(END)[1]}"
