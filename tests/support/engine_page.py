"""Writes the page about engines when `make test-engines` ends: the claims that held, no others."""

import os

import pytest

from support.engine_matrix import PAGE, declared, page_with, rendered

_failed: set[str] = set()
_passed: set[str] = set()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    name = f"{item.module.__name__.rpartition('.')[2]}::{item.originalname}"
    if report.when == "call" and report.passed:
        _passed.add(name)
    elif not report.passed:
        _failed.add(name)


def pytest_sessionfinish() -> None:
    if os.environ.get("GRATICULE_WRITE_ENGINES_PAGE") == "1":
        held = _passed - _failed
        PAGE.write_text(page_with(rendered(c for c in declared() if c.test in held)))
