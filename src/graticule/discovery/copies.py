"""Files that lie in the bucket twice: reported, since their rows would be counted twice.  Pure.

Files without rows are all alike, and harmless.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from graticule.discovery.assembly import Draft
from graticule.discovery.grouping import StoredObject

_MARK_BYTES: Final = 8


def _mark(stored: StoredObject) -> int:
    text = f"{stored.size_bytes}\0{stored.etag}".encode()
    return int.from_bytes(blake2b(text, digest_size=_MARK_BYTES).digest(), "little")


@dataclass(slots=True)
class _Twins:
    """Files of one content: the first and the last of each draft."""

    first: dict[int, str] = field(default_factory=dict)
    last: dict[int, str] = field(default_factory=dict)

    def add(self, draft: int, key: str) -> None:
        self.first.setdefault(draft, key)
        self.last[draft] = key


class Copies:
    """Twelve bytes for each file: a mark of its ETag and size, and its draft."""

    def __init__(self) -> None:
        self._marks = array("Q")
        self._drafts = array("i")

    def add(self, stored: StoredObject, draft: int) -> None:
        """A file with rows, in the order of keys."""
        if stored.etag:
            self._marks.append(_mark(stored))
            self._drafts.append(draft)

    def note(self, drafts: Sequence[Draft], files: Iterable[tuple[StoredObject, int]]) -> None:
        """Lower the confidence in drafts that hold a file whose ETag and size another one has.

        `files` are all that were added; they are gone through only if there are copies.
        """
        counts, examples = self._found()
        if not counts:
            return
        twins: dict[int, _Twins] = {mark: _Twins() for mark in examples.values()}
        for stored, draft in files:
            if stored.etag and (same := twins.get(_mark(stored))) is not None:
                same.add(draft, stored.key)
        for number, pairs in sorted(counts.items()):
            same = twins[examples[number]]
            key = same.last.get(number, "")
            other = next((each for home, each in same.first.items() if home != number), None)
            other = same.first.get(number, "") if other is None else other
            count = "1 file is a copy" if pairs == 1 else f"{pairs} files are copies"
            drafts[number].lower(f"{count} of another, such as `{key}` of `{other}`")

    def _found(self) -> tuple[dict[int, int], dict[int, int]]:
        """By draft: how many files are copies, and the mark of one of them."""
        marks: npt.NDArray[np.uint64] = np.frombuffer(self._marks, np.uint64)
        ordered = np.sort(marks)
        several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(several):
            return {}, {}
        positions = np.flatnonzero(np.isin(marks, several))
        marks, drafts = marks[positions], np.frombuffer(self._drafts, np.int32)[positions]
        order = np.argsort(marks, kind="stable")
        ordered, of_ordered = marks[order], drafts[order]
        is_first = np.append(True, ordered[1:] != ordered[:-1])
        starts = np.flatnonzero(is_first)
        mixed = np.minimum.reduceat(of_ordered, starts) != np.maximum.reduceat(of_ordered, starts)
        # The first of several in one draft is no copy: the others are copies of it.
        is_copy = np.empty(len(marks), bool)
        is_copy[order] = mixed[np.cumsum(is_first) - 1] | ~is_first
        marks, drafts = marks[is_copy], drafts[is_copy]
        numbers, counts = np.unique(drafts, return_counts=True)
        last = dict(zip(drafts.tolist(), marks.tolist(), strict=True))
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True)), last
