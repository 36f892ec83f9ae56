"""The connection with which this process writes to an SQLite file, one transaction at a time.

SQLite has one writer.  Its own wait for the lock polls and is unfair, so threads of a process queue
here.  And as there is one of them, its connection stays open: to take one from the pool and put it
back took longer than a transaction.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


class SqliteWriter:
    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._kept: Connection | None = None

    @contextmanager
    def connection(self, opened: Callable[[], Connection]) -> Iterator[Connection]:
        """The connection, nobody else's while the block lasts; `opened` when there is none."""
        with self._turn:
            kept, self._kept = self._kept, None
            conn = opened() if kept is None else kept
            is_sound = False
            try:
                yield conn
                is_sound = True
            except DBAPIError:
                raise  # who knows whether it is the file, or the connection
            except BaseException:
                is_sound = conn.get_transaction() is None  # it was rolled back
                raise
            finally:
                if is_sound:
                    self._kept = conn
                else:
                    conn.close()

    def close(self) -> None:
        """Let go of the file, until it is to be written again."""
        with self._turn:
            if self._kept is not None:
                self._kept.close()
                self._kept = None
