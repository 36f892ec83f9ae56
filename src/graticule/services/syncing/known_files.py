"""What is known of a table's files, gone through in the order of keys and never all in memory.

Mostly it is in the database.  Of a table about which nothing was written down it is in manifests.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol

from sqlalchemy import Engine

from graticule.db import inventories as inventories_db
from graticule.db.engine import read
from graticule.db.inventories import Inventory
from graticule.discovery.diff import FileState, KnownFile

FILES_AT_ONCE: Final = 5000

Version = tuple[str, str, int]
"""Key, ETag and size."""


class KnownFiles(Protocol):
    revision: int
    """Of what is written down; 0 where nothing is."""

    def between(self, after: str, until: str | None) -> Iterator[KnownFile]:
        """Those behind a key, up to and with another, by key."""

    def are(self, after: str, until: str, versions: Sequence[Version]) -> bool:
        """True if just these are known in between, and each in this version."""

    def among(self, keys: Sequence[str]) -> Mapping[str, KnownFile]:
        """Those of these keys that are known."""

    def count(self) -> int: ...

    def count_taken(self) -> int:
        """How many of them the table reads."""


class InventoryFiles:
    """As the database has them.  Another sync may change them meanwhile, and the revision."""

    def __init__(self, engine: Engine, inventory: Inventory) -> None:
        self.revision = inventory.revision
        self._engine = engine
        self._id = inventory.id

    def between(self, after: str, until: str | None) -> Iterator[KnownFile]:
        while True:
            with read(self._engine) as conn:
                some = inventories_db.between(conn, self._id, after, until, limit=FILES_AT_ONCE)
            yield from some
            if len(some) < FILES_AT_ONCE:
                return
            after = some[-1].key

    def are(self, after: str, until: str, versions: Sequence[Version]) -> bool:
        with read(self._engine) as conn:
            return versions == inventories_db.versions_between(
                conn, self._id, after, until, limit=len(versions) + 1
            )

    def among(self, keys: Sequence[str]) -> Mapping[str, KnownFile]:
        with read(self._engine) as conn:
            return inventories_db.among(conn, self._id, keys)

    def count(self) -> int:
        with read(self._engine) as conn:
            return inventories_db.count(conn, self._id)

    def count_taken(self) -> int:
        with read(self._engine) as conn:
            return inventories_db.count(conn, self._id, FileState.TAKEN)


class ManifestFiles:
    """As manifests have them, which say nothing of ETags: all in memory, once for each table."""

    revision = 0

    def __init__(self, files: Iterator[KnownFile]) -> None:
        self._files = {file.key: file for file in sorted(files, key=lambda file: file.key)}
        self._keys = list(self._files)

    def between(self, after: str, until: str | None) -> Iterator[KnownFile]:
        start = bisect_right(self._keys, after)
        end = None if until is None else bisect_right(self._keys, until)
        return islice(self._files.values(), start, end)

    def are(self, after: str, until: str, versions: Sequence[Version]) -> bool:  # noqa: ARG002
        return False

    def among(self, keys: Sequence[str]) -> Mapping[str, KnownFile]:
        return {key: self._files[key] for key in keys if key in self._files}

    def count(self) -> int:
        return len(self._files)

    count_taken = count
