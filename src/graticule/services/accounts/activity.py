"""When credentials were last used: gathered in memory, written now and then.

A write per request would cost more than what the request does.  A process that dies takes at most
`FLUSH_EVERY_MS` of it along.
"""

import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from graticule.db import api_keys as api_keys_db
from graticule.db import sessions as sessions_db
from graticule.db.engine import write

FLUSH_EVERY_MS: Final = 60_000
"""At most one write per credential and process in this time."""
NOTED_MAX: Final = 100_000


class Activity:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._keys: dict[str, int] = {}
        self._sessions: dict[str, int] = {}

    def key_used(self, key_id: str, *, known_ms: int | None) -> None:
        """Note that a key is in use; `known_ms` is what the database says already."""
        self._note(self._keys, key_id, known_ms)

    def session_seen(self, session_id: str, *, known_ms: int) -> None:
        """Note that a session is in use, as above."""
        self._note(self._sessions, session_id, known_ms)

    def _note(self, noted: dict[str, int], one: str, known_ms: int | None) -> None:
        now_ms = self._now_ms()
        if known_ms is not None and now_ms - known_ms < FLUSH_EVERY_MS:
            return
        with self._lock:
            if len(noted) < NOTED_MAX:
                noted[one] = now_ms

    def flush(self) -> None:
        """Write what was noted; what cannot be written now stays noted."""
        with self._lock:
            keys, sessions = dict(self._keys), dict(self._sessions)
        if not keys and not sessions:
            return
        with write(self._engine) as conn:
            if keys:
                api_keys_db.record_use(conn, keys)
            if sessions:
                sessions_db.record_use(conn, sessions)
        with self._lock:
            for noted, written in ((self._keys, keys), (self._sessions, sessions)):
                for one, at_ms in written.items():
                    if noted.get(one) == at_ms:
                        del noted[one]
