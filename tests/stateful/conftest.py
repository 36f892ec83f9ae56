"""The server that state machines drive."""

from collections.abc import Iterator

import pytest

from support.database import ENGINES, SQLITE
from support.server import LiveServer, serving


@pytest.fixture(scope="module", params=ENGINES)
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server on an empty database of each engine."""
    store = request.getfixturevalue("seaweedfs")
    folder = tmp_path_factory.mktemp("machine")
    if request.param == SQLITE:
        with serving(folder, store) as running:
            yield running
        return
    postgres = request.getfixturevalue("postgres")
    template = request.getfixturevalue("migrated_postgres")
    with (
        postgres.database(template=template) as url,
        serving(folder, store, database_url=url) as running,
    ):
        yield running
