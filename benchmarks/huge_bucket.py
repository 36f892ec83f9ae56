"""A store that says it holds very many objects: answers listings and ranged reads, keeps nothing.

Run as a program it prints its port.  Keys are made from their number, so a page costs as much at
the end of the bucket as at its beginning.  The first objects are Parquet files, all of them the
same bytes, in folders as a `Layout` says; the others are pictures.
"""

import argparse
import io
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE_KEYS = 1000
FILES_PER_FOLDER = 1000
FILES_PER_SMALL_FOLDER = 10
PICTURES_PER_FOLDER = 5000
DAYS_PER_REGION = 100
FIRST_DAY = date(2025, 1, 1)
LETTERS = "bcdfghjklmnpqrstvwxz"
WORD_LETTERS = 5

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lake</Name>'
    "<Prefix></Prefix><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>"
)
_ROW = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-31T12:00:00.000Z</LastModified>"
    "<ETag>&quot;{etag:032x}&quot;</ETag><Size>{size}</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    objects = files = 0
    layout = Layout.NUMBERED
    data = b""

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        if "list-type" in query:
            self._answer(200, self._page(int(query.get("continuation-token", ["0"])[0])))
            return
        first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
        self._answer(206, self.data[int(first) : int(last) + 1])

    def _page(self, start: int) -> bytes:
        end = min(start + PAGE_KEYS, self.objects)
        rows = "".join(
            _ROW.format(
                key=key_of(number, self.files, self.layout),
                etag=number,
                size=len(self.data) if number < self.files else 1_000_000 + number,
            )
            for number in range(start, end)
        )
        following = f"<NextContinuationToken>{end}</NextContinuationToken>"
        more = end < self.objects
        return (
            f"{_HEAD}<KeyCount>{end - start}</KeyCount>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
            f"{following if more else ''}{rows}</ListBucketResult>"
        ).encode()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def huge_bucket(
    file: Path, *, objects: int, files: int, layout: Layout = Layout.NUMBERED
) -> Iterator[str]:
    """The endpoint of a bucket of which `files` objects are copies of `file`."""
    command = [sys.executable, __file__, str(file), str(objects), str(files), layout]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


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
    _Handler.wbufsize = io.DEFAULT_BUFFER_SIZE
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
