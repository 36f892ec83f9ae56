"""A store that says it holds very many objects: answers listings and ranged reads, keeps nothing.

Run as a program it prints its port.  Keys are made from their number, so a page costs as much at
the end of the bucket as at its beginning.  The first objects are Parquet files, all of them the
same bytes, in folders as a `Layout` says; the others are pictures.
"""

import argparse
from contextlib import AbstractContextManager
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.made_up_store import PAGE_KEYS, Handler, page_of, row_of, running, serve

FILES_PER_FOLDER = 1000
FILES_PER_SMALL_FOLDER = 10
PICTURES_PER_FOLDER = 5000
DAYS_PER_REGION = 100
FIRST_DAY = date(2025, 1, 1)
LETTERS = "bcdfghjklmnpqrstvwxz"
WORD_LETTERS = 5


class Layout(StrEnum):
    """Where the data files lie."""

    NUMBERED = "numbered"
    """In folders with numbers, a thousand in each: one table."""
    HIVE = "hive"
    """In folders of a region and a day, a thousand in each: one partitioned table."""
    TABLES = "tables"
    """In folders with names, a thousand in each: tables, if their columns differ."""
    SMALL_TABLES = "small tables"
    """In folders with names, ten in each."""


def key_of(number: int, files: int, layout: Layout = Layout.NUMBERED) -> str:
    """The keys of all files first: the order of numbers is that of keys."""
    if number < files:
        folder = _folder(table_of(number, layout), layout)
        return f"data/{folder}/part-{number:07}-4f1c2b7e-77aa-4d0e-9e1f.c000.snappy.parquet"
    folder, picture = divmod(number - files, PICTURES_PER_FOLDER)
    return f"pictures/{folder:05}/scene-{picture:06}-2026-01-31T12-00-00.jpg"


def table_of(number: int, layout: Layout) -> int:
    """The number of the folder that a file lies in."""
    small = layout is Layout.SMALL_TABLES
    return number // (FILES_PER_SMALL_FOLDER if small else FILES_PER_FOLDER)


def _folder(number: int, layout: Layout) -> str:
    if layout is Layout.NUMBERED:
        return f"table_{number:05}"
    if layout is Layout.HIVE:
        region, day = divmod(number, DAYS_PER_REGION)
        return f"region={region:04}/day={FIRST_DAY + timedelta(day)}"
    return word_of(number)


def word_of(number: int) -> str:
    """A word of its own for each number, in the order of numbers."""
    letters = ""
    for _ in range(WORD_LETTERS):
        number, letter = divmod(number, len(LETTERS))
        letters = LETTERS[letter] + letters
    return letters


class _Handler(Handler):
    objects = files = 0
    layout = Layout.NUMBERED
    data = b""

    def do_GET(self) -> None:  # noqa: N802 - as `http.server` looks for it
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        if "list-type" in query:
            self.answer(200, self._page(int(query.get("continuation-token", ["0"])[0])))
            return
        first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
        self.answer(206, self.data[int(first) : int(last) + 1])

    def _page(self, start: int) -> bytes:
        end = min(start + PAGE_KEYS, self.objects)
        rows = [
            row_of(
                key_of(number, self.files, self.layout),
                etag=f"{number:032x}",
                size=len(self.data) if number < self.files else 1_000_000 + number,
            )
            for number in range(start, end)
        ]
        return page_of(rows, following=end if end < self.objects else None)


def huge_bucket(
    file: Path, *, objects: int, files: int, layout: Layout = Layout.NUMBERED
) -> AbstractContextManager[str]:
    """The endpoint of a bucket of which `files` objects are copies of `file`."""
    return running("benchmarks.huge_bucket", file, objects, files, layout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("objects", type=int)
    parser.add_argument("files", type=int)
    parser.add_argument("layout", type=Layout)
    asked = parser.parse_args()
    _Handler.data = asked.file.read_bytes()
    _Handler.objects, _Handler.files = asked.objects, asked.files
    _Handler.layout = asked.layout
    serve(_Handler)


if __name__ == "__main__":
    main()
