"""Databases for tests: every test that asks for `database` runs on SQLite and on PostgreSQL.

The schema is migrated once per engine and copied for each test, which is much faster.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from graticule.db.engine import create_engine
from graticule.db.upgrade import upgrade
from support.postgres import Postgres

SQLITE = "sqlite"
POSTGRES = "postgres"
ENGINES = [SQLITE, pytest.param(POSTGRES, marks=pytest.mark.postgres)]


@contextmanager
def opened(url: str, *, pool_connections: int = 16) -> Iterator[Engine]:
    engine = create_engine(url, pool_connections=pool_connections)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the current schema, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "template.db"
    with opened(f"sqlite:///{file}") as engine:
        upgrade(engine)
        with engine.connect() as conn:  # everything into the one file
            conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture
def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite database with the current schema: for tests that are not about SQL."""
    file = tmp_path / "graticule.db"
    shutil.copyfile(migrated_sqlite, file)
    with opened(f"sqlite:///{file}") as engine:
        yield engine


@pytest.fixture(params=ENGINES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table."""
    if request.param == SQLITE:
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        cluster: Postgres = request.getfixturevalue("postgres")
        with cluster.database() as url:
            yield url


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> Iterator[str]:
    """The name of a database with the current schema, to be copied; nobody is connected to it."""
    with postgres.database() as url:
        with opened(url) as engine:
            upgrade(engine)
        yield url.rpartition("/")[2]


@pytest.fixture
def postgres_database(postgres: Postgres, migrated_postgres: str) -> Iterator[Engine]:
    """An empty PostgreSQL database with the current schema: for what only it can do."""
    with postgres.database(template=migrated_postgres) as url, opened(url) as engine:
        yield engine


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest) -> Engine:
    """An empty database with the current schema, once on each engine."""
    engine: Engine = request.getfixturevalue(f"{request.param}_database")
    return engine
