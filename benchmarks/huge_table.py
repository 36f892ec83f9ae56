"""A store that says it holds one table of very many files, and keeps what is written beside them.

Files are made up from their numbers: keys in order, all of them the same bytes.  Which numbers
there are may be changed while it runs, by a request for `/_files?first=…&end=…`.  Run as a program
it prints its port.
"""

import argparse
import re
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from benchmarks.made_up_store import PAGE_KEYS, Handler, page_of, row_of, running, serve

BUCKET = "lake"
FOLDER = "roads/"

_NUMBER = re.compile(rf"{FOLDER}part-(\d{{8}})-4f1c2b7e-77aa-4d0e-9e1f\.c000\.snappy\.parquet")


def key_of(number: int) -> str:
    return f"{FOLDER}part-{number:08}-4f1c2b7e-77aa-4d0e-9e1f.c000.snappy.parquet"


def etag_of(number: int) -> str:
    return f"{number:032x}"


class _Handler(Handler):
    first = end = 0
    data = b""
    kept: dict[str, bytes] = {}  # noqa: RUF012 - one store

    def do_GET(self) -> None:  # noqa: N802 - as `http.server` looks for it
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        if asked.path == "/_files":
            type(self).first, type(self).end = int(query["first"][0]), int(query["end"][0])
            self.answer(200)
        elif "list-type" in query:
            self.answer(200, self._page(query))
        else:
            self._object(with_body=True)

    def do_HEAD(self) -> None:  # noqa: N802 - as `http.server` looks for it
        self._object(with_body=False)

    def do_PUT(self) -> None:  # noqa: N802 - as `http.server` looks for it
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self._key in self.kept and self.headers.get("if-none-match") == "*":
            self.answer(412)
            return
        self.kept[self._key] = body
        self.answer(200, etag=f"{len(body):032x}")

    def do_POST(self) -> None:  # noqa: N802 - as `http.server` looks for it
        """The only one that is needed: delete several."""
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        for key in re.findall("<Key>([^<]*)</Key>", body):
            self.kept.pop(unquote(key), None)
        self.answer(200, b"<DeleteResult></DeleteResult>")

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")

    def _object(self, *, with_body: bool) -> None:
        found = _NUMBER.fullmatch(self._key)
        if found is None:
            data, etag = self.kept.get(self._key), None
        else:
            number = int(found[1])
            data = self.data if self.first <= number < self.end else None
            etag = etag_of(number)
        if data is None:
            self.answer(404)
            return
        asked = self.headers.get("range")
        status = 200
        if asked is not None:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            data, status = data[int(first) : int(last) + 1], 206
        self.answer(status, data, etag=etag, with_body=with_body)

    def _page(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        if FOLDER.startswith(prefix) or prefix.startswith(FOLDER):
            start = int(query.get("continuation-token", [str(self.first)])[0])
            until = min(start + PAGE_KEYS, self.end)
            rows = [
                row_of(key_of(number), etag=etag_of(number), size=len(self.data))
                for number in range(start, until)
            ]
            return page_of(rows, following=until if until < self.end else None)
        kept = sorted(key for key in self.kept if key.startswith(prefix))
        rows = [row_of(quote(key), etag="0" * 32, size=len(self.kept[key])) for key in kept]
        return page_of(rows, following=None)


def huge_table(file: Path, *, files: int) -> AbstractContextManager[str]:
    """The endpoint of a store whose table has so many copies of `file`."""
    return running("benchmarks.huge_table", file, files)


def now_holds(endpoint: str, *, first: int, end: int) -> None:
    """From now on the table's files are those of these numbers."""
    urllib.request.urlopen(f"{endpoint}/_files?first={first}&end={end}").close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("files", type=int)
    asked = parser.parse_args()
    _Handler.data, _Handler.end = asked.file.read_bytes(), asked.files
    serve(_Handler)


if __name__ == "__main__":
    main()
