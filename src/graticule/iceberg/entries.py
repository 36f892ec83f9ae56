"""A long array of a metadata document, kept as its JSON text until somebody looks inside.

A table may have ten thousand snapshots, and a commit adds one.  So the text of the others is passed
on as it is, instead of being read and written again.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, overload

import msgspec

from graticule.domain.errors import InvalidRequest
from graticule.domain.spliced import SHORT_BYTES
from graticule.iceberg import json_text

Json = dict[str, Any]

_SPACE: Final = b" \t\n\r"
_CLOSING: Final = ord("]")
_TEXTS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class _Numbered(msgspec.Struct):
    """All that is read of a snapshot to know which ones there are."""

    snapshot_id: int = msgspec.field(name="snapshot-id")


_NUMBERED: Final = msgspec.json.Decoder(list[_Numbered])


class Entries(Sequence[Json]):
    """An array of objects.  Never changed, and safe to share; what it remembers follows from it.

    Reading raises InvalidRequest where the text is not what an array of objects may be.
    """

    __slots__ = ("_ids", "_items", "_last", "_pieces")

    def __init__(self, *pieces: memoryview | bytes) -> None:
        """`pieces` together are JSON, the first begins with `[` and the last ends with `]`."""
        self._pieces = pieces
        self._items: list[Json] | None = None
        self._last: Json | None = None
        self._ids: frozenset[int] | None = None

    @property
    def pieces(self) -> Sequence[memoryview | bytes]:
        """The text, to be put together by whoever writes it."""
        return self._pieces

    def is_found_in(self, text: memoryview) -> None:
        """The same text, put together within a longer one: the pieces are not needed any more."""
        self._pieces = (text,)

    def followed_by(self, items: Sequence[Json]) -> "Entries":
        """These entries, and then `items`."""
        if not items:
            return self
        *before, end = self._pieces
        opening = b"," if self else b""
        added = opening + b",".join(json_text.write(item) for item in items) + b"]"
        begin = memoryview(end)[:-1]
        # What was added lately is short, and would be a piece for every commit.
        latest = (begin, added) if len(begin) >= SHORT_BYTES else (bytes(begin) + added,)
        longer = Entries(*before, *latest)
        longer._last = items[-1]
        if self._items is not None:
            longer._items = [*self._items, *items]
        if self._ids is not None:
            longer._ids = self._ids | {item["snapshot-id"] for item in items}
        return longer

    def snapshot_ids(self) -> AbstractSet[int]:
        if self._ids is None:
            try:
                numbered = _NUMBERED.decode(self._text())
            except msgspec.MsgspecError as error:
                raise _unreadable(error) from error
            self._ids = frozenset(entry.snapshot_id for entry in numbered)
        return self._ids

    def __bool__(self) -> bool:
        if len(self._pieces) > 1:
            return True
        [text] = self._pieces
        return next(byte for byte in text[1:] if byte not in _SPACE) != _CLOSING

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[Json]:
        return iter(self._read())

    @overload
    def __getitem__(self, at: int) -> Json: ...
    @overload
    def __getitem__(self, at: slice) -> list[Json]: ...
    def __getitem__(self, at: int | slice) -> Json | list[Json]:
        if at == -1 and self._items is None:
            return self._read_last()
        return self._read()[at]

    def __eq__(self, other: object) -> bool:
        return self._read() == (other._read() if isinstance(other, Entries) else other)

    __hash__ = None  # type: ignore[assignment]

    def _text(self) -> memoryview | bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def _read(self) -> list[Json]:
        if self._items is None:
            self._items = json_text.read(bytes(self._text()))
        return self._items

    def _read_last(self) -> Json:
        if self._last is None:
            try:
                texts = _TEXTS.decode(self._text())
            except msgspec.MsgspecError as error:
                raise _unreadable(error) from error
            self._last = json_text.read(bytes(texts[-1]))
        return self._last


def followed_by(entries: Sequence[Json], items: Sequence[Json]) -> Sequence[Json]:
    """The entries of an array, and then `items`."""
    return entries.followed_by(items) if isinstance(entries, Entries) else [*entries, *items]


def snapshot_ids(entries: Sequence[Json]) -> AbstractSet[int]:
    """The `snapshot-id` of every entry, which all of them have."""
    if isinstance(entries, Entries):
        return entries.snapshot_ids()
    return {entry["snapshot-id"] for entry in entries}


def _unreadable(error: Exception) -> InvalidRequest:
    return InvalidRequest(f"the metadata file has a list that cannot be read: {error}")
