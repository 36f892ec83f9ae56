"""One row, found by an index, as lightly as the driver allows.

SQLAlchemy writes the statement.  SQLite answers it in microseconds, and SQLAlchemy would take ten
times as long to ask, so there the driver is asked directly.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Engine, Select
from sqlalchemy.dialects import sqlite

from graticule.db.engine import read, sqlite_reader

_SQLITE: Final = sqlite.dialect(paramstyle="named")


class Lookup:
    """A prepared statement that finds at most one row.  Its parameters are plain values, no lists.

    On SQLite it does not count as waiting (`domain.waiting`), because readers block nobody and
    nobody blocks them.  Where something does get in the way, `read` waits for it.
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._sqlite = str(statement.compile(dialect=_SQLITE))
        self._row: Callable[..., Any] = _row_type(statement)

    def __call__(self, engine: Engine, **values: str | int | None) -> Any:
        """The row, its columns as attributes, or None.  It is what was committed last, anywhere.

        Raises:
            Unavailable: the database does not answer.
        """
        reader = sqlite_reader(engine)
        if reader is not None:
            with suppress(sqlite3.Error):
                rows = reader.rows(self._sqlite, values)
                return self._row(*rows[0]) if rows else None
        with read(engine) as conn:
            return conn.execute(self._statement, values).one_or_none()


def _row_type(statement: Select[Any]) -> Callable[..., Any]:
    # Typed rows would need a class for every statement; SQLAlchemy's have no types either.
    return namedtuple("_row_type", statement.selected_columns.keys())  # noqa: PYI024
