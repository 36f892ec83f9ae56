"""Answers made of several pieces, of which a metadata document may be one and long.

Long ones go out piece by piece: putting ten megabytes together would only copy them.
"""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

JOINED_BYTES_MAX: Final = 64 * 1024


def in_pieces(pieces: Sequence[bytes], status: int) -> Response:
    size = sum(map(len, pieces))
    if size <= JOINED_BYTES_MAX:
        return Response(b"".join(pieces), status)
    return _Pieces(pieces, status, size_bytes=size)


class _Pieces(Response):
    def __init__(self, pieces: Sequence[bytes], status: int, *, size_bytes: int) -> None:
        self._pieces = pieces
        super().__init__(None, status, {"content-length": str(size_bytes)})

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        if scope["method"] != "HEAD":
            for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
