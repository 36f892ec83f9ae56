"""A change of few rows inside a transaction, as lightly as the driver allows.

As with a `Lookup`, SQLAlchemy writes the statement, and SQLite's driver is handed it directly: a
commit to a table is two of these, and SQLAlchemy takes longer to pass them on than SQLite to run.
"""

import sqlite3
from typing import Any, Final

from sqlalchemy import Connection, Delete, Insert, Update
from sqlalchemy.dialects import sqlite

from graticule.db.engine import driver_failure, is_sqlite

_SQLITE: Final = sqlite.dialect(paramstyle="named")


class Change:
    """A prepared statement.  Its parameters are plain values, no lists."""

    def __init__(self, statement: Insert | Update | Delete) -> None:
        self._statement = statement
        compiled = statement.compile(dialect=_SQLITE)
        self._sqlite = str(compiled)
        self._constants = {
            name: value for name, value in compiled.params.items() if value is not None
        }

    def __call__(self, conn: Connection, **values: str | int | bytes | None) -> int:
        """How many rows it changed, within the transaction of `conn`.

        Raises:
            DBAPIError: as SQLAlchemy raises it; a subclass for broken constraints.
        """
        if not is_sqlite(conn):
            return conn.execute(self._statement, values).rowcount
        driver: Any = conn.connection.dbapi_connection
        try:
            changed: int = driver.execute(self._sqlite, {**self._constants, **values}).rowcount
        except sqlite3.Error as error:
            raise driver_failure(self._sqlite, error, conn) from error
        return changed
