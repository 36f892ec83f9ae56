"""Manifest entries on their way from one order to another, on disk once they are many.

Nothing here outlives the process.
"""

import pickle
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from operator import attrgetter
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from graticule.planning.files import DataFileEntry

MEMORY_BYTES: Final = 2 * 1024 * 1024
"""Of entries, and of files: each goes to disk beyond that."""
FILES_AT_ONCE: Final = 500

# A tuple of what an entry consists of takes a quarter of the time that the entry itself does.
_values: Final = attrgetter(*(field.name for field in fields(DataFileEntry)))


class SpilledFile(NamedTuple):
    """The file of an entry."""

    path: str
    etag: str
    size_bytes: int


class EntrySpill:
    """Entries: added one after the other, read in any order; and their files, in that of adding."""

    def __init__(self) -> None:
        self._entries = SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - `with`
        self._ends = array("Q", [0])
        self._files = SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - `with`
        self._gathered: list[tuple[str, str, int]] = []
        self.size_bytes = 0
        """Of all files together."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entries.close()
        self._files.close()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, etag: str, entry: DataFileEntry) -> None:
        """An entry, with the ETag of its file."""
        data = pickle.dumps(_values(entry), pickle.HIGHEST_PROTOCOL)
        self._entries.write(data)
        self._ends.append(self._ends[-1] + len(data))
        self.size_bytes += entry.size_bytes
        self._gathered.append((entry.path, etag, entry.size_bytes))
        if len(self._gathered) >= FILES_AT_ONCE:
            self._spill_files()

    def entries(self, positions: Iterable[int]) -> Iterator[DataFileEntry]:
        """Entries by the order in which they were added; none is added any more."""
        for position in positions:
            start, end = self._ends[position : position + 2]
            self._entries.seek(start)
            # What is read is what this object has written, to a file that has no name.
            yield DataFileEntry(*pickle.loads(self._entries.read(end - start)))  # noqa: S301

    def files(self) -> Iterator[SpilledFile]:
        """The files of all entries, in the order in which these were added."""
        self._spill_files()
        self._files.seek(0)
        with suppress(EOFError):
            while True:
                some: list[tuple[Any, ...]] = pickle.load(self._files)  # noqa: S301
                yield from (SpilledFile(*file) for file in some)

    def _spill_files(self) -> None:
        if self._gathered:
            pickle.dump(self._gathered, self._files, pickle.HIGHEST_PROTOCOL)
            self._gathered = []
