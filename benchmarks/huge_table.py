"""A store that says it holds one table of very many files, and keeps what is written beside them.

Files are made up from their numbers: keys in order, all of them the same bytes.  Which numbers
there are may be changed while it runs, by a request for `/_files?first=…&end=…`.  Run as a program
it prints its port.
"""

import argparse
import io
import re
import socketserver
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

PAGE_KEYS = 1000
BUCKET = "lake"
FOLDER = "roads/"
MODIFIED = "Sat, 31 Jan 2026 12:00:00 GMT"

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lake</Name>'
    "<Prefix></Prefix><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>"
)
_ROW = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-31T12:00:00.000Z</LastModified>"
    "<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)
_NUMBER = re.compile(rf"{FOLDER}part-(\d{{8}})-4f1c2b7e-77aa-4d0e-9e1f\.c000\.snappy\.parquet")


def key_of(number: int) -> str:
    return f"{FOLDER}part-{number:08}-4f1c2b7e-77aa-4d0e-9e1f.c000.snappy.parquet"


def etag_of(number: int) -> str:
    return f"{number:032x}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    first = end = 0
    data = b""
    kept: dict[str, bytes] = {}  # noqa: RUF012 - one store

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        if asked.path == "/_files":
            type(self).first, type(self).end = int(query["first"][0]), int(query["end"][0])
            self._answer(200)
        elif "list-type" in query:
            self._answer(200, self._page(query))
        else:
            self._object(with_body=True)

    def do_HEAD(self) -> None:
        self._object(with_body=False)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self._key in self.kept and self.headers.get("if-none-match") == "*":
            self._answer(412)
            return
        self.kept[self._key] = body
        self._answer(200, etag=f"{len(body):032x}")

    def do_POST(self) -> None:
        """The only one that is needed: delete several."""
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        for key in re.findall("<Key>([^<]*)</Key>", body):
            self.kept.pop(unquote(key), None)
        self._answer(200, b"<DeleteResult></DeleteResult>")

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
            self._answer(404)
            return
        asked = self.headers.get("range")
        status = 200
        if asked is not None:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            data, status = data[int(first) : int(last) + 1], 206
        self._answer(status, data, etag=etag, with_body=with_body)

    def _page(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        if FOLDER.startswith(prefix) or prefix.startswith(FOLDER):
            start = int(query.get("continuation-token", [str(self.first)])[0])
            until = min(start + PAGE_KEYS, self.end)
            more = until < self.end
            rows = "".join(
                _ROW.format(key=key_of(number), etag=etag_of(number), size=len(self.data))
                for number in range(start, until)
            )
            count = until - start
        else:
            kept = sorted(key for key in self.kept if key.startswith(prefix))
            rows = "".join(
                _ROW.format(key=quote(key), etag="0" * 32, size=len(self.kept[key])) for key in kept
            )
            count, until, more = len(kept), 0, False
        following = f"<NextContinuationToken>{until}</NextContinuationToken>"
        return (
            f"{_HEAD}<KeyCount>{count}</KeyCount>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
            f"{following if more else ''}{rows}</ListBucketResult>"
        ).encode()

    def _answer(
        self, status: int, body: bytes = b"", *, etag: str | None = None, with_body: bool = True
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", MODIFIED)
        if etag is not None:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def huge_table(file: Path, *, files: int) -> Iterator[str]:
    """The endpoint of a store whose table has so many copies of `file`."""
    command = [sys.executable, __file__, str(file), str(files)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def now_holds(endpoint: str, *, first: int, end: int) -> None:
    """From now on the table's files are those of these numbers."""
    urllib.request.urlopen(f"{endpoint}/_files?first={first}&end={end}").close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("files", type=int)
    asked = parser.parse_args()
    _Handler.data, _Handler.end = asked.file.read_bytes(), asked.files
    _Handler.wbufsize = io.DEFAULT_BUFFER_SIZE
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
