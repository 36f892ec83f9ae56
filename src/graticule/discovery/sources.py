"""What a reader of a table must be let read: as few folders as hold its files and nobody else's.

Pure.  A folder that holds other data as well is never among them as long as there is another way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

SOURCES_MAX: Final = 40
"""No policy has room for more; then one folder around all says what was meant."""


@dataclass(slots=True)
class _Folder:
    """What was found in a folder so far: which files and folders cover those of each owner."""

    path: str
    covers: dict[int, list[str]] = field(default_factory=dict)

    def add(self, owner: int, covers: list[str]) -> None:
        known = self.covers.setdefault(owner, [])
        # One more than there is room for says that there are too many.
        known.extend(covers[: SOURCES_MAX + 1 - len(known)])

    def closed(self) -> Mapping[int, list[str]]:
        if len(self.covers) == 1:
            return {owner: [self.path] for owner in self.covers}
        return self.covers


class Landscape:
    """All data files of a bucket, each with an owner: whatever is no proposed table is nobody's.

    Files are added in the order of keys, and what is kept of them is what covers them.
    """

    def __init__(self) -> None:
        self._open = [_Folder("")]

    def add(self, key: str, owner: int) -> None:
        while not key.startswith(self._open[-1].path):
            self._close()
        folder = self._open[-1]
        end = key.find("/", len(folder.path))
        while end >= 0:
            folder = _Folder(key[: end + 1])
            self._open.append(folder)
            end = key.find("/", end + 1)
        folder.add(owner, [key])

    def covers(self) -> Mapping[int, list[str]]:
        """What covers the files of each owner, sorted.  Nothing can be added any more."""
        while len(self._open) > 1:
            self._close()
        return self._open[0].closed()

    def _close(self) -> None:
        closed = self._open.pop()
        for owner, covers in closed.closed().items():
            self._open[-1].add(owner, covers)


def sources_below(root: str, covers: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The covers of a table that is all in its root; the root itself if they are too many.

    Also False if there are files of others among them.
    """
    if root and not root.endswith("/"):
        return (root,), True
    if any(root.startswith(cover) for cover in covers):
        return (root,), True
    return (tuple(covers), True) if len(covers) <= SOURCES_MAX else ((root,), False)
