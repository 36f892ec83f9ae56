"""Bytes in pieces, put together only for those who need them in one.

A commit to a table with a long history adds a few lines to megabytes, which are written, answered
and remembered as they are.
"""

from collections.abc import Iterable, Sequence
from typing import Final

Piece = bytes | memoryview

SHORT_BYTES: Final = 64 * 1024
"""Shorter pieces are joined with their neighbours: each has to be sent by itself."""


class Spliced:
    """Never changed, and safe to share."""

    __slots__ = ("_pieces", "_size")

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces: Sequence[Piece] = _joined_where_short(pieces)
        self._size = sum(map(len, self._pieces))

    @property
    def pieces(self) -> Sequence[Piece]:
        return self._pieces

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        if len(self._pieces) == 1 and isinstance(self._pieces[0], bytes):
            return self._pieces[0]
        whole = b"".join(self._pieces)
        self._pieces = (whole,)
        return whole


Content = bytes | Spliced


def pieces_of(content: Content) -> Sequence[Piece]:
    return content.pieces if isinstance(content, Spliced) else (content,)


def _joined_where_short(pieces: Iterable[Piece]) -> Sequence[Piece]:
    joined: list[Piece] = []
    short: list[Piece] = []
    for piece in pieces:
        if len(piece) < SHORT_BYTES:
            short.append(piece)
            continue
        if short:
            joined.append(b"".join(short))
            short = []
        joined.append(piece)
    if short:
        joined.append(b"".join(short))
    return joined
