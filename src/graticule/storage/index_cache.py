"""Index files on this machine's disk, where all worker processes map the same pages.

A cache and nothing else: a file's name stands for its content for ever, and whatever is missing is
fetched again.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

CACHED_BYTES_MAX: Final = 8 * 1024 * 1024 * 1024
_UNFINISHED: Final = ".part"


class IndexCache:
    """Of two processes that write one name, the last one wins; both wrote the same."""

    def __init__(self, folder: Path, *, bytes_max: int = CACHED_BYTES_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max

    def find(self, name: str) -> Path | None:
        """The file of that name, if it is here."""
        path = self._folder / name
        try:
            os.utime(path)  # used now: the files that were not go first
        except OSError:
            return None
        return path

    def keep(self, name: str, write: Callable[[Path], None]) -> Path:
        """Have `write` fill a file of that name; until it has, nobody sees it.

        Raises:
            OSError: the disk is full, or not for us to write.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / name
        part = path.with_name(f"{name}.{os.getpid()}-{threading.get_ident()}{_UNFINISHED}")
        try:
            write(part)
            part.replace(path)
        finally:
            with suppress(OSError):
                part.unlink()
        self._make_room(but_not=path)
        return path

    def drop(self, name: str) -> None:
        """Forget a file; who has it mapped may go on reading."""
        with suppress(OSError):
            (self._folder / name).unlink()

    def _make_room(self, *, but_not: Path) -> None:
        files = []
        for path in self._folder.iterdir():
            with suppress(OSError):  # another process removed it
                stat = path.stat()
                files.append((stat.st_mtime_ns, stat.st_size, path))
        size = sum(length for _, length, _ in files)
        for _, length, path in sorted(files):
            if size <= self._bytes_max:
                return
            if path != but_not and path.suffix != _UNFINISHED:
                with suppress(OSError):
                    path.unlink()
                    size -= length
