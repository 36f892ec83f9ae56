"""Which files areas leave, remembered for a while: the pages of an answer search the index once."""

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from graticule.planning.file_matches import Matches, match_files
from graticule.planning.index import FileIndex
from graticule.planning.ragged import narrowed
from graticule.spatial.search_area import PlacedArea

MATCHES_CACHED_BYTES_MAX: Final = 32 * 1024 * 1024
"""Eight answers about a million files that leave none of them out."""
_ENTRY_BYTES: Final = 1_000

_Key = tuple[int, PlacedArea | None]


@dataclass(frozen=True, slots=True)
class _Kept:
    """Of an index that is not kept alive for this."""

    index: "weakref.ref[FileIndex]"
    matches: Matches

    @property
    def size_bytes(self) -> int:
        return self.matches.kept.nbytes + _ENTRY_BYTES


class AreaMatches:
    def __init__(self, *, bytes_max: int = MATCHES_CACHED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._guard = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._bytes = 0

    def of(self, index: FileIndex, area: PlacedArea | None) -> Matches:
        """The files that an area may touch; all of them without an area."""
        key = (id(index), area)
        with self._guard:
            known = self._kept.get(key)
            if known is not None and known.index() is index:
                self._kept.move_to_end(key)
                return known.matches
        matches = match_files(index, area)
        kept = _Kept(weakref.ref(index), replace(matches, kept=narrowed(matches.kept)))
        with self._guard:
            self._drop(key)
            if kept.size_bytes <= self._bytes_max:
                self._kept[key] = kept
                self._bytes += kept.size_bytes
            while self._bytes > self._bytes_max:
                self._drop(next(iter(self._kept)))
        return kept.matches

    def _drop(self, key: _Key) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped.size_bytes
