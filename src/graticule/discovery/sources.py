"""What a reader of a table must be let read: as few folders as hold its files and nobody else's.

Pure.  A folder that holds other data as well is never among them as long as there is another way.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

SOURCES_MAX: Final = 40
"""No policy has room for more; then one folder around all says what was meant."""


class Landscape:
    """All data files of a bucket, each with an owner: whatever is no proposed table is nobody's."""

    def __init__(self, owned: Iterable[tuple[str, str]]) -> None:
        pairs = sorted(owned)
        self._keys = [key for key, _ in pairs]
        self._owners = [owner for _, owner in pairs]

    def sources_of(self, owner: str, root: str, keys: Sequence[str]) -> tuple[str, ...]:
        """Folders and files that hold the `keys` of the owner, sorted; the root if too many."""
        if not root.endswith("/") and root:
            return (root,)
        found = self._cover(owner, root, sorted(keys), SOURCES_MAX)
        return tuple(found) if len(found) <= SOURCES_MAX else (root,)

    def _cover(self, owner: str, folder: str, keys: Sequence[str], room: int) -> list[str]:
        if self._is_owned(owner, folder):
            return [folder]
        found: list[str] = []
        position = 0
        while position < len(keys) and len(found) <= room:
            end = keys[position].find("/", len(folder))
            if end < 0:
                found.append(keys[position])
                position += 1
                continue
            below = keys[position][: end + 1]
            last = position
            while last < len(keys) and keys[last].startswith(below):
                last += 1
            found += self._cover(owner, below, keys[position:last], room - len(found))
            position = last
        return found

    def _is_owned(self, owner: str, folder: str) -> bool:
        start = bisect_left(self._keys, folder)
        for position in range(start, len(self._keys)):
            if not self._keys[position].startswith(folder):
                return True
            if self._owners[position] != owner:
                return False
        return True
