"""Logs in tests: warnings and worse, on the terminal and never among what a command prints."""

import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from graticule import logs


@pytest.fixture(scope="session", autouse=True)
def quiet_logs() -> None:
    logs.configure(log_format="console", level="warning", stream=sys.__stderr__)


@pytest.fixture
def logs_restored() -> Iterator[None]:
    """For tests that set up logging themselves, or call what does."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
