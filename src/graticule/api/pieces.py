"""Answers made of several pieces, of which a metadata document may be one and long.

Long ones go out piece by piece: putting ten megabytes together would only copy them.
"""

from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from graticule.domain.spliced import SHORT_BYTES, Piece, Spliced


def in_pieces(pieces: Iterable[Piece], status: int) -> Response:
    whole = Spliced(pieces)
    return Response(bytes(whole), status) if len(whole) < SHORT_BYTES else _Pieces(whole, status)


class _Pieces(Response):
    def __init__(self, whole: Spliced, status: int) -> None:
        self._pieces = whole.pieces
        super().__init__(None, status, {"content-length": str(len(whole))})

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        if scope["method"] != "HEAD":
            for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
