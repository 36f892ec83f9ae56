"""When credentials were last used: gathered in memory, written now and then.

A write per request would cost more than what the request does.  A process that dies takes at most
`FLUSH_EVERY_MS` of it along.
"""

import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from graticule.db import api_keys as api_keys_db
from graticule.db.engine import write

FLUSH_EVERY_MS: Final = 60_000
"""At most one write per key and process in this time."""
NOTED_MAX: Final = 100_000


class Activity:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._keys: dict[str, int] = {}

    def key_used(self, key_id: str, *, known_ms: int | None) -> None:
        """Note that a key is in use; `known_ms` is what the database says already."""
        now_ms = self._now_ms()
        if known_ms is not None and now_ms - known_ms < FLUSH_EVERY_MS:
            return
        with self._lock:
            if len(self._keys) < NOTED_MAX:
                self._keys[key_id] = now_ms

    def flush(self) -> None:
        """Write what was noted; what cannot be written now is noted again."""
        with self._lock:
            keys, self._keys = self._keys, {}
        if not keys:
            return
        try:
            with write(self._engine) as conn:
                api_keys_db.record_use(conn, keys)
        except Exception:
            with self._lock:
                self._keys = keys | self._keys
            raise
