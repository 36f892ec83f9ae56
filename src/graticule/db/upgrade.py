"""Bring a database to the schema this release needs, or refuse to use one that is not there.

The migrations are inside the package, so the installed wheel can run them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from graticule.db.engine import read, serialise_on, write
from graticule.domain.errors import Unavailable

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class SchemaOutdated(Unavailable):
    """The database's schema is not the one this release works with."""


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The revision a database is at, None when empty, and the one this release needs."""

    current: str | None
    needed: str

    @property
    def is_current(self) -> bool:
        return self.current == self.needed


def upgrade(engine: Engine) -> SchemaStatus:
    """Migrate to the newest revision, all of it or nothing.  Replicas that start at once queue."""
    with write(engine) as conn:
        serialise_on(conn, "graticule schema upgrade")
        if not _status(conn).is_current:
            command.upgrade(configuration(conn), "head")
        return _status(conn)


def status(engine: Engine) -> SchemaStatus:
    with read(engine) as conn:
        return _status(conn)


def check_current(engine: Engine) -> None:
    """Refuse a database at another revision.

    Raises:
        SchemaOutdated: the message names the command to run.
    """
    found = status(engine)
    if not found.is_current:
        raise SchemaOutdated(
            f"the database is at revision `{found.current or 'none'}` and this release needs "
            f"`{found.needed}`; run `graticule database upgrade`"
        )


def configuration(conn: Connection | None = None) -> Config:
    """Alembic's configuration without a file; `migrations/env.py` uses the connection in it."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = conn
    return config


def _status(conn: Connection) -> SchemaStatus:
    needed = ScriptDirectory.from_config(configuration()).get_current_head()
    if needed is None:
        raise RuntimeError("the package holds no migrations")
    return SchemaStatus(MigrationContext.configure(conn).get_current_revision(), needed)
