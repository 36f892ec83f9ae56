"""Manifest entries on their way from one order to another, on disk once they are many.

Nothing here outlives the process.
"""

import pickle
from array import array
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Final, Self

from graticule.planning.files import DataFileEntry

MEMORY_BYTES: Final = 16 * 1024 * 1024

Spilled = tuple[str, DataFileEntry]


class EntrySpill:
    """Entries, each with the ETag of its file: added one after the other, read in any order."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - closed by `with`
        self._ends = array("Q", [0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, etag: str, entry: DataFileEntry) -> None:
        data = pickle.dumps((etag, entry), pickle.HIGHEST_PROTOCOL)
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def read(self, positions: Iterable[int]) -> Iterator[Spilled]:
        """Entries by the order in which they were added; none is added any more."""
        for position in positions:
            start, end = self._ends[position : position + 2]
            self._file.seek(start)
            # What is read is what this object has written, to a file that has no name.
            spilled: Spilled = pickle.loads(self._file.read(end - start))  # noqa: S301
            yield spilled
