"""A bare connection to an SQLite file that runs single statements, and only reads.

No transaction outlives its statement, so every one sees all that any process committed before it.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from typing import Any


class SqliteReader:
    """Opened when first used.  Safe to share between threads: statements take microseconds."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def rows(self, sql: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """All rows of a statement that finds few: an unfinished one would hold on to the past.

        Raises:
            sqlite3.Error: for instance when the file is locked, which is not waited for.
        """
        with self._guard:
            if self._connection is None:
                self._connection = self._open()
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Let go of the file, until it is asked for again."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._file, timeout=0, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only = ON")
        return connection
