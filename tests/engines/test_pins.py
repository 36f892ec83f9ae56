"""The environments of the engines: what is asked for, and the pins that were made of it."""

import re
from pathlib import Path

import pytest

from support.engine_matrix import SUITES

ENVIRONMENTS = SUITES / "environments"


def requirements(path: Path) -> dict[str, set[str]]:
    """The versions of each package that a list names; other than exact ones fail the test."""
    found: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pin = re.fullmatch(r"([a-z0-9-]+)==([0-9.]+)(?: ; .+)?", line)
        assert pin is not None, f"{path.name}: {line}"
        found.setdefault(pin[1], set()).add(pin[2])
    return found


@pytest.mark.parametrize("name", sorted(path.stem for path in ENVIRONMENTS.glob("*.in")))
def test_an_environment_is_pinned_whole(name):
    """Each package that is asked for, and whatever came with it: `make engine-pins` writes it."""
    asked = requirements(ENVIRONMENTS / f"{name}.in")
    pinned = requirements(ENVIRONMENTS / f"{name}.txt")
    assert {package: pinned.get(package) for package in asked} == asked
    assert len(pinned) > len(asked)


def test_every_list_has_its_pins_and_every_pins_a_list():
    asked, pinned = ({p.stem for p in ENVIRONMENTS.glob(f"*.{kind}")} for kind in ("in", "txt"))
    assert asked == pinned
