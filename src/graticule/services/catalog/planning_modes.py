"""Who plans a table's scans, as its catalog or the table itself says: the client, or this server.

Offered to clients, which decide; those that are known to fail on the offer are told nothing.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import metadata
from graticule.services.catalog.table_loading import LoadedTable

PLANNING_MODE: Final = "scan-planning-mode"
"""Property of a catalog or a table; also what clients call it."""
MODES: Final = frozenset({"server", "client"})
REMEMBERED_MAX: Final = 50_000

_NAMED: Final = f'"{PLANNING_MODE}"'.encode()
_FAILING: Final = re.compile(r"sail/", re.IGNORECASE)
"""Sail 0.7 refuses any table that the server might plan."""


class PlanningModes:
    """Looks into a table's document once: what a metadata location stands for never changes."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: OrderedDict[str, str | None] = OrderedDict()

    def of_table(self, loaded: LoadedTable, *, user_agent: str | None) -> str | None:
        """What to tell a client that loads the table; None is nothing."""
        if _fails(user_agent):
            return None
        at = loaded.metadata_location
        if at is None:
            return _mode_in(loaded.document)
        with self._guard:
            if at in self._known:
                return self._known[at]
        mode = _mode_in(loaded.document)
        with self._guard:
            self._known[at] = mode
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return mode


def of_catalog(properties: Mapping[str, str], *, user_agent: str | None) -> str | None:
    """What to tell a client that asks for the catalog's configuration; None is nothing."""
    return None if _fails(user_agent) else properties.get(PLANNING_MODE)


def check_mode(properties: Mapping[str, str]) -> None:
    """Raises InvalidRequest if the properties name a mode that is none."""
    mode = properties.get(PLANNING_MODE)
    if mode is not None and mode not in MODES:
        raise InvalidRequest(f"`{PLANNING_MODE}` must be `server` or `client`, not `{mode[:50]}`")


def _fails(user_agent: str | None) -> bool:
    return user_agent is not None and _FAILING.match(user_agent) is not None


def _mode_in(document: bytes) -> str | None:
    if _NAMED not in document:
        return None
    mode = metadata.properties(metadata.decode(document)).get(PLANNING_MODE)
    # A word that is none would make Java refuse the table.
    return mode if mode in MODES else None
