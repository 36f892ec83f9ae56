"""Footers that are written like those before them, read without pyarrow.

Files of a table share their schema and how their columns are written.  Once a few of them came,
the next are read by expressions made from one (`row_group_templates`); pyarrow reads whatever does
not match, so it alone says what is corrupt.  What is read is the same: a shape is only used after
it has read the file that it was made from as pyarrow did.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from graticule.storage import thrift_compact as thrift
from graticule.storage.arrow_types import FileSchema, Leaf
from graticule.storage.row_group_templates import (
    BOUND_BYTES,
    DATA_START,
    DICTIONARY_START,
    MAXIMUM,
    MINIMUM,
    NULLS,
    PLACE_RANGES,
    PLACE_TYPES,
    ROWS,
    SIZE,
    VALUES,
    Reader,
    Slot,
    Template,
    TemplateError,
    template_of,
)
from graticule.storage.row_groups import Chunks, Footer, PlaceStatistics
from graticule.storage.thrift_compact import Type

LEARNT_AFTER_FILES: Final = 8
"""Of one schema, in a row: making expressions takes as long as reading some files does."""
COLUMNS_MAX: Final = 300
SHAPES_MAX: Final = 8
TEMPLATES_MAX: Final = 8
NUMBERS_REMEMBERED: Final = 16 * 1024
KEY_VALUES_REMEMBERED_BYTES_MAX: Final = 64 * 1024
PLACE_TYPES_MAX: Final = 8
STRUCTS_REMEMBERED: Final = 256

_VERSION, _SCHEMA, _ROWS, _ROW_GROUPS, _KEY_VALUES, _CREATED_BY, _ORDERS = range(1, 8)
_FIELDS: Final = (_VERSION, _SCHEMA, _ROWS, _ROW_GROUPS, _KEY_VALUES, _CREATED_BY, _ORDERS)
_ARROW_SCHEMA: Final = b"ARROW:schema"
_TYPE_DEFINED_ORDER: Final = b"\x1c\x00\x00"
_BEHIND_ROW_GROUPS: Final = bytes([1 << 4 | Type.LIST])

_ORDERED: Final = frozenset(
    {
        *("NONE", "STRING", "ENUM", "DECIMAL", "DATE", "TIME", "TIMESTAMP"),
        *("INT", "JSON", "BSON", "UUID"),
    }
)
"""Logical types whose statistics pyarrow believes; geospatial types have theirs elsewhere."""

_DISBELIEVED: Final = re.compile(
    rb"\s*(?:$|parquet-cpp(?!-)|parquet-mr(?! version 1\.\d\d))", re.IGNORECASE
)
"""Writers whose early versions sorted wrongly: for what of theirs is true, ask pyarrow."""

_FORMATS: Final = {"BOOLEAN": "?", "INT32": "i", "INT64": "q", "FLOAT": "f", "DOUBLE": "d"}
_DOUBLE: Final = struct.Struct("<d")


class FamiliarFooters:
    """Remembers shapes.  Safe to share between threads, which may learn the same twice."""

    def __init__(self) -> None:
        self._shapes: tuple[_Shape, ...] = ()
        self._last: tuple[FileSchema | None, int] = (None, 0)

    def read(self, footer: bytes) -> Footer | None:
        """What a footer says; None if it is not of a shape that is known.

        `footer` is without what stands behind it in the file.
        """
        for shape in self._shapes:
            if footer.startswith(shape.head):
                try:
                    return shape.read(footer)
                except (IndexError, ValueError):
                    return None
        return None

    def learn(
        self,
        footer: bytes,
        read: Footer,
        is_right: Callable[[Footer], bool],
    ) -> None:
        """Take notice of a file that pyarrow has read.

        `is_right` says whether what the new shape reads from it is the same.
        """
        schema = read.schema
        last, files = self._last
        files = files + 1 if schema is last else 1
        self._last = schema, files
        if files % LEARNT_AFTER_FILES or files > LEARNT_AFTER_FILES * TEMPLATES_MAX:
            return
        try:
            known = next((each for each in self._shapes if footer.startswith(each.head)), None)
            shape = _shape_of(footer, schema, read.created_by, known)
            found = None if shape is None else shape.read(footer)
        except (IndexError, ValueError):
            return
        if shape is not None and found is not None and is_right(found):
            others = tuple(each for each in self._shapes if each.head != shape.head)
            self._shapes = (shape, *others)[:SHAPES_MAX]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What footers share: all before the number of rows, all behind the key-value metadata, and
    how row groups are written, which may be in several ways.
    """

    head: bytes
    tail: bytes
    arrow_schema: bytes | None
    schema: FileSchema
    created_by: str
    templates: tuple[tuple[Template, Reader], ...]

    def read(self, footer: bytes) -> Footer | None:
        """What it says; None if it is written otherwise.

        Raises:
            IndexError, ValueError: it is none of these footers.
        """
        if not footer.endswith(self.tail):
            return None
        rows, at = thrift.varint(footer, len(self.head))
        if footer[at] != _BEHIND_ROW_GROUPS[0]:
            return None
        count, element, at = thrift.list_header(footer, at + 1)
        if element != Type.STRUCT and count:
            return None
        groups: list[Sequence[bytes | None]] = []
        for _ in range(count):
            found = self._read_group(footer, at)
            if found is None:
                return None
            taken, at = found
            groups.append(taken)
        key_values = _key_values(footer[at : len(footer) - len(self.tail)])
        if key_values.get(_ARROW_SCHEMA) != self.arrow_schema:
            return None
        return Footer(
            self.schema,
            thrift.signed(rows),
            PlainRowGroups(self.schema.leaves, groups),
            key_values,
            self.created_by,
        )

    def _read_group(self, footer: bytes, at: int) -> tuple[Sequence[bytes | None], int] | None:
        for template, reader in self.templates:
            found = template.read(footer, at)
            if found is not None:
                return reader([*found[0], None]), found[1]
        return None


def _key_values(field: bytes) -> Mapping[bytes, bytes]:
    """What the key-value metadata say, which many files share to the last byte.

    Raises:
        IndexError, ValueError: it is something else.
    """
    if len(field) > KEY_VALUES_REMEMBERED_BYTES_MAX:
        return _read_key_values.__wrapped__(field)
    return _read_key_values(field)


@lru_cache(SHAPES_MAX)
def _read_key_values(field: bytes) -> Mapping[bytes, bytes]:
    """Of the whole field, with its header.

    Raises:
        IndexError, ValueError: it is something else.
    """
    if not field:
        return {}
    if field[:1] != _BEHIND_ROW_GROUPS:
        raise ValueError("something else")
    count, element, at = thrift.list_header(field, 1)
    if element != Type.STRUCT:
        raise ValueError("something else")
    found: dict[bytes, bytes] = {}
    for _ in range(count):
        pair = {}
        end = at
        for each in thrift.fields(field, at):
            if each.type != Type.BINARY:
                raise ValueError("something else")
            pair[each.id] = thrift.binary(field, each.start)[0]
            end = each.end
        if pair.keys() - {1, 2} or 1 not in pair:
            raise ValueError("something else")
        # Of several values for one key pyarrow knows the first.
        found.setdefault(pair[1], pair.get(2, b""))
        at = end + 1
    if at != len(field):
        raise ValueError("something else")
    return found


def _shape_of(
    footer: bytes, schema: FileSchema, created_by: str, known: _Shape | None
) -> _Shape | None:
    """The shape of this footer, which has read all that the known one has; None if there is none.

    Raises:
        TemplateError: its row groups hold something unusual.
    """
    leaves = schema.leaves
    if not 0 < len(leaves) <= COLUMNS_MAX or _DISBELIEVED.match(created_by.encode()):
        return None
    if not all(leaf.is_geospatial or _is_ordered(leaf) for leaf in leaves):
        return None
    fields = {field.id: field for field in thrift.fields(footer, 0)}
    ids = tuple(fields)
    if ids not in {_FIELDS, tuple(each for each in _FIELDS if each != _KEY_VALUES)}:
        return None
    orders = thrift.list_header(footer, fields[_ORDERS].start)
    if footer[orders[2] :] != _TYPE_DEFINED_ORDER * len(leaves) + b"\x00":
        return None
    head = footer[: fields[_ROWS].start]
    behind = fields.get(_KEY_VALUES, fields[_ROW_GROUPS])
    tail = footer[behind.end :]
    arrow_schema = _key_values(footer[fields[_ROW_GROUPS].end : behind.end]).get(_ARROW_SCHEMA)
    templates = []
    if known is not None and known.tail == tail and known.arrow_schema == arrow_schema:
        templates = list(known.templates)
    count, _, at = thrift.list_header(footer, fields[_ROW_GROUPS].start)
    bound_bytes = [BOUND_BYTES.get(leaf.physical) for leaf in leaves]
    slots = _slots(leaves)
    required: set[Slot] = {(0, ROWS, 0), (0, DATA_START, 0)}
    required |= {(leaf.ordinal, what, 0) for leaf in leaves for what in (SIZE, VALUES)}
    for _ in range(count):
        if not any(template.read(footer, at) for template, _ in templates):
            made = template_of(footer, at, bound_bytes)
            if not made.slots.keys() >= required:
                raise TemplateError("a number is missing")
            templates.insert(0, (made, made.reader(slots)))
        at = thrift.end_of_struct(footer, at)
    if not templates or len(templates) > TEMPLATES_MAX:
        raise TemplateError("every row group is written in another way")
    return _Shape(head, tail, arrow_schema, schema, created_by, tuple(templates))


def _is_ordered(leaf: Leaf) -> bool:
    return leaf.logical in _ORDERED and leaf.physical != "INT96"


_OF_A_GROUP: Final[tuple[Slot, ...]] = (
    (0, ROWS, 0),
    (0, SIZE, 0),
    (0, DATA_START, 0),
    (0, DICTIONARY_START, 0),
)
_OF_A_COLUMN: Final = (SIZE, VALUES, NULLS, MINIMUM, MAXIMUM)


def _slots(leaves: Sequence[Leaf]) -> list[Slot]:
    """What is read of a row group, in order: of itself, of each column, and of places."""
    slots = [*_OF_A_GROUP]
    for leaf in leaves:
        slots += [(leaf.ordinal, what, 0) for what in _OF_A_COLUMN]
    for leaf in leaves:
        if leaf.is_geospatial:
            slots += [(leaf.ordinal, what, 0) for what in PLACE_RANGES]
            slots += [(leaf.ordinal, PLACE_TYPES, number) for number in range(PLACE_TYPES_MAX)]
    return slots


class PlainRowGroups:
    """Row groups as shapes read them, a number or a bound at a time as it is asked for."""

    def __init__(self, leaves: Sequence[Leaf], groups: Sequence[Sequence[bytes | None]]) -> None:
        """`groups` have what `_slots` says, in that order."""
        self._count = len(groups)
        self._places = [leaf.ordinal for leaf in leaves if leaf.is_geospatial]
        self._column_count = len(leaves)
        self._taken: list[Sequence[bytes | None]] = list(zip(*groups, strict=True))
        if not groups:
            self._taken = [()] * len(_slots(leaves))
        self.rows = _numbers(self._taken[0])
        self._no_nulls, self._zeros = (b"\x00",) * self._count, [0] * self._count

    @property
    def starts(self) -> list[tuple[int, int]]:
        sizes, data = map(_numbers, self._taken[1:3])
        dictionaries = _numbers_or_none(self._taken[3])
        return [
            (min(start, dictionary) if dictionary else start, size)
            for size, start, dictionary in zip(sizes, data, dictionaries, strict=True)
        ]

    def sizes(self, leaf: Leaf) -> list[int]:
        return _numbers(self._taken[self._first_of(leaf)])

    def chunks(self, leaf: Leaf, *, with_bounds: bool) -> Chunks:
        at = self._first_of(leaf)
        sizes, values, nulls, lows, highs = self._taken[at : at + len(_OF_A_COLUMN)]
        if leaf.is_geospatial:  # whose other statistics have no meaning
            nulls = lows = highs = (None,) * self._count
        return Chunks(
            _numbers(sizes),
            self.rows if values == self._taken[0] else _numbers(values),
            self._zeros if nulls == self._no_nulls else _numbers_or_none(nulls),
            _bounds(lows, leaf.physical) if with_bounds else (),
            _bounds(highs, leaf.physical) if with_bounds else (),
        )

    def place(self, leaf: Leaf, group: int) -> PlaceStatistics | None:
        width = len(PLACE_RANGES) + PLACE_TYPES_MAX
        at = len(_OF_A_GROUP) + self._column_count * len(_OF_A_COLUMN)
        at += self._places.index(leaf.ordinal) * width
        found = [column[group] for column in self._taken[at : at + width]]
        ranges = found[: len(PLACE_RANGES)]
        types = [each for each in found[len(PLACE_RANGES) :] if each is not None]
        if not types and not any(ranges):
            return None
        return PlaceStatistics(
            _numbers(types),
            *(None if each is None else _DOUBLE.unpack(each)[0] for each in ranges),
        )

    def _first_of(self, leaf: Leaf) -> int:
        return len(_OF_A_GROUP) + leaf.ordinal * len(_OF_A_COLUMN)


@lru_cache(NUMBERS_REMEMBERED)
def _number(raw: bytes) -> int:
    return thrift.integer(raw, 0)


def _numbers(taken: Sequence[bytes | None]) -> list[int]:
    """Of what no template lacks."""
    return list(map(_number, cast(Sequence[bytes], taken)))


def _numbers_or_none(taken: Sequence[bytes | None]) -> Sequence[int | None]:
    if None not in taken:
        return _numbers(taken)
    return [None if each is None else _number(each) for each in taken]


def _bounds(taken: Sequence[bytes | None], physical: str) -> Sequence[Any]:
    """As pyarrow gives them: numbers, or the bytes themselves."""
    format_ = _FORMATS.get(physical)
    if format_ is None:
        return taken
    there = [each for each in taken if each is not None] if None in taken else taken
    found = _struct(len(there), format_).unpack(b"".join(cast(Sequence[bytes], there)))
    if len(there) == len(taken):
        return found
    rest = iter(found)
    return [None if each is None else next(rest) for each in taken]


@lru_cache(STRUCTS_REMEMBERED)
def _struct(count: int, format_: str) -> struct.Struct:
    return struct.Struct(f"<{count}{format_}")
