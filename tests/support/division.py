"""How `make test` divides the tests among processes: whole files, those that take long first.

Each process has a store and databases of its own.  A file's tests stay together, and so do all of
the engines: what they share starts once, and no two JVMs compete for memory.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = "tests/engines/"
LONG = (
    TOGETHER,
    "tests/clients/",
    "tests/faults/",
    "tests/stateful/",
    "tests/test_demo.py",
    "tests/api/",
)
"""Begun first, so that no process is left with one of them at the end."""


class WholeFiles(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER if file.startswith(TOGETHER) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # by time, as below, and not by how many tests there are
    return WholeFiles(config, log)


def pytest_collection_modifyitems(items):
    def rank(item):
        found = (at for at, start in enumerate(LONG) if item.nodeid.startswith(start))
        return next(found, len(LONG))

    items.sort(key=rank)
