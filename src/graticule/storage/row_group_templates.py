"""Row groups of Parquet footers that are written like one seen before.  Pure.

A footer of a hundred column chunks is some thousands of fields, of which pyarrow makes hundreds of
objects.  Files of one table differ in their numbers and bounds, not in which fields there are: so
the bytes of one row group become an expression in which only those are open, and it reads the same
from the others in a tenth of the time.  What it does not match is written otherwise, if only by
one field, and somebody else has to read it: no field is ever taken for another.

Spec: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import Final, NamedTuple

from graticule.storage import thrift_compact as thrift
from graticule.storage.thrift_compact import Type

BOUND_BYTES: Final = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8}
"""How long a minimum is, by the physical type; of other types it may have any length."""

_Path = tuple[int, ...]
"""The ids of the fields around a value and its own; elements of a list have none."""

_COLUMNS: Final = 1
_DATA: Final = (_COLUMNS, 3)
_STATISTICS: Final = (*_DATA, 12)
_PLACE: Final = (*_DATA, 17)

ROWS: Final = (3,)
VALUES: Final = (*_DATA, 5)
SIZE: Final = (*_DATA, 7)
DATA_START: Final = (*_DATA, 9)
DICTIONARY_START: Final = (*_DATA, 11)
NULLS: Final = (*_STATISTICS, 3)
MAXIMUM: Final = (*_STATISTICS, 5)
MINIMUM: Final = (*_STATISTICS, 6)
PLACE_RANGES: Final = tuple((*_PLACE, 1, number) for number in range(1, 9))
"""From west to east, from south to north, then of heights and of measures."""
PLACE_TYPES: Final = (*_PLACE, 2)

_TAKEN: Final = frozenset({ROWS, VALUES, SIZE, NULLS, MAXIMUM, MINIMUM, PLACE_TYPES, *PLACE_RANGES})
_TAKEN_OF_FIRST: Final = frozenset({DATA_START, DICTIONARY_START})
_BOUNDS: Final = frozenset({(*_STATISTICS, number) for number in (1, 2, 5, 6)})
_OPEN: Final = (
    frozenset({(number,) for number in (2, 5, 6, 7)})
    | {(_COLUMNS, number) for number in (2, 4, 5, 6, 7)}
    | {(*_DATA, number) for number in (6, 14, 15)}
    | {(*_STATISTICS, 4), (*_DATA, 13, 3), (*_DATA, 16, 1), (*_DATA, 16, 2), (*_DATA, 16, 3)}
    | _TAKEN
    | _TAKEN_OF_FIRST
)
"""Numbers that may differ between files; all others say how a column is written."""
_UNREADABLE: Final = frozenset({(_COLUMNS, 1), (_COLUMNS, 8), (_COLUMNS, 9)})
"""The column lies in another file, or is encrypted."""

_NUMBER: Final = rb"[\x80-\xff]{0,8}+[\x00-\x7f]"
"""One byte less than the longest: what would have to be cut off to 64 bits does not match."""
_BOOLEANS: Final = frozenset({Type.TRUE, Type.FALSE})

Slot = tuple[int, _Path, int]
"""Of which column, what, and which of several; columns count from 0."""


Reader = Callable[[Sequence[bytes | None]], Sequence[bytes | None]]


class TemplateError(ValueError):
    """The row group holds what no expression is made for."""


class _Segment(NamedTuple):
    """A part of a row group that one expression matches.  Behind it lie bytes of any length, but
    for the last one.
    """

    expression: re.Pattern[bytes]
    is_taken: bool
    """Whether those bytes are asked for."""


@dataclass(frozen=True, slots=True)
class Template:
    """Reads row groups that have the same fields as the one it was made from."""

    segments: Sequence[_Segment]
    slots: Mapping[Slot, int]
    """Where in what is read something stands."""

    def read(self, footer: bytes, at: int) -> tuple[list[bytes], int] | None:
        """What is taken from the row group that begins here, and where it ends."""
        found: list[bytes] = []
        last = len(self.segments) - 1
        for number, (expression, is_taken) in enumerate(self.segments):
            matched = expression.match(footer, at)
            if matched is None:
                return None
            found += matched.groups()
            at = matched.end()
            if number < last:
                value, at = thrift.binary(footer, at)
                if is_taken:
                    found.append(value)
        return found, at

    def reader(self, slots: Sequence[Slot]) -> Reader:
        """Puts what `read` gives in the order of these; the last item is for what is not there."""
        reader: Reader = itemgetter(*(self.slots.get(slot, -1) for slot in slots))
        return reader


def template_of(footer: bytes, at: int, bound_bytes: Sequence[int | None]) -> Template:
    """Of the row group that begins here, with the length of a minimum of each of its columns.

    Raises:
        TemplateError: it holds something unusual.
        IndexError, ValueError: it is damaged.
    """
    made = _Template(footer, bound_bytes)
    made.add_struct(at, ())
    return made.finished()


class _Template:
    """A template as it is made, field by field."""

    def __init__(self, footer: bytes, bound_bytes: Sequence[int | None]) -> None:
        self._footer = footer
        self._bound_bytes = bound_bytes
        self._column = 0
        self._pieces: list[bytes] = []
        self._segments: list[_Segment] = []
        self._slots: dict[Slot, int] = {}

    def finished(self) -> Template:
        self._end_segment(is_taken=False)
        return Template(self._segments, self._slots)

    def add_struct(self, at: int, path: _Path) -> int:
        """Answers where the struct ends."""
        for field in thrift.fields(self._footer, at):
            own = (*path, field.id)
            if own in _UNREADABLE:
                raise TemplateError("a column that is not in the file, or encrypted")
            header = self._footer[at : field.start]
            if field.type in _BOOLEANS:
                values = (header[:-1] + bytes([header[-1] & 0xF0 | each]) for each in _BOOLEANS)
                self._pieces.append(b"(?>%s)" % b"|".join(map(re.escape, values)))
            else:
                self._pieces.append(re.escape(header))
                self._add(field.type, field.start, field.end, own)
            at = field.end
        self._pieces.append(b"\x00")
        return at + 1

    def _add(self, type_: int, at: int, end: int, path: _Path) -> None:
        is_number = type_ in {Type.I16, Type.I32, Type.I64}
        if type_ == Type.STRUCT:
            self.add_struct(at, path)
        elif type_ == Type.LIST and path != (4,):  # the order of rows is that of the table
            self._add_list(at, path)
        elif type_ == Type.BINARY and path in _BOUNDS:
            self._add_bound(path)
        elif type_ == Type.DOUBLE and path in _OPEN:
            self._pieces.append(self._taken(path, b".{%d}" % thrift.DOUBLE_BYTES))
        elif is_number and path in _OPEN:
            self._pieces.append(self._taken(path, _NUMBER))
        else:
            self._pieces.append(re.escape(self._footer[at:end]))

    def _add_list(self, at: int, path: _Path) -> None:
        count, element, first = thrift.list_header(self._footer, at)
        self._pieces.append(re.escape(self._footer[at:first]))
        at = first
        for number in range(count):
            if path == (_COLUMNS,):
                self._column = number
            if element == Type.STRUCT:
                at = self.add_struct(at, path)
            elif element in {Type.I32, Type.I64, Type.BINARY}:
                is_text = element == Type.BINARY
                end = (thrift.binary if is_text else thrift.varint)(self._footer, at)[1]
                self._add(element, at, end, path)
                at = end
            else:
                raise TemplateError(f"a list of type {element}")

    def _add_bound(self, path: _Path) -> None:
        size = self._bound_bytes[self._column]
        if size is None:
            is_taken = path in _TAKEN
            self._end_segment(is_taken=is_taken)
            if is_taken:
                self._take(path)
        else:
            self._pieces.append(re.escape(bytes([size])))
            self._pieces.append(self._taken(path, b".{%d}" % size))

    def _taken(self, path: _Path, expression: bytes) -> bytes:
        if path in _TAKEN or (path in _TAKEN_OF_FIRST and not self._column):
            self._take(path)
            return b"(%s)" % expression
        return expression

    def _take(self, path: _Path) -> None:
        column = self._column if path[0] == _COLUMNS else 0
        number = next(n for n in count() if (column, path, n) not in self._slots)
        self._slots[column, path, number] = len(self._slots)

    def _end_segment(self, *, is_taken: bool) -> None:
        expression = re.compile(b"".join(self._pieces), re.DOTALL)
        self._segments.append(_Segment(expression, is_taken))
        self._pieces = []
