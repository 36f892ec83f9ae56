"""What stores have in common that say they hold very many objects: a page, a server, a process."""

import io
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

PAGE_KEYS = 1000
MODIFIED = "Sat, 31 Jan 2026 12:00:00 GMT"

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lake</Name>'
    f"<Prefix></Prefix><MaxKeys>{PAGE_KEYS}</MaxKeys><EncodingType>url</EncodingType>"
)


def row_of(key: str, *, etag: str, size: int) -> str:
    """An object in a listing; the key as it is in a URL."""
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-01-31T12:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def page_of(rows: list[str], *, following: int | None) -> bytes:
    """A page of a listing; `following` is where the next begins, None if this is the last."""
    more = following is not None
    token = f"<NextContinuationToken>{following}</NextContinuationToken>" if more else ""
    return (
        f"{_HEAD}<KeyCount>{len(rows)}</KeyCount>"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        f"{token}{''.join(rows)}</ListBucketResult>"
    ).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers one request after the other on a connection, and tells nobody."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = io.DEFAULT_BUFFER_SIZE

    def answer(
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


def serve(handler: type[Handler]) -> None:
    """Print the port, and answer until the process is ended."""
    with _Server(("127.0.0.1", 0), handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


@contextmanager
def running(module: str, *arguments: object) -> Iterator[str]:
    """The endpoint of a store that is a program."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
