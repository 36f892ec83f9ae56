"""Thrift's compact protocol, as far as Parquet footers need it.  Pure.

Spec: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.  Bytes that
end too soon raise `IndexError`, and what the protocol does not have `ValueError`.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple


class Type(IntEnum):
    """Of a field, as its header has it; of booleans it is the value as well."""

    TRUE = 1
    FALSE = 2
    BYTE = 3
    I16 = 4
    I32 = 5
    I64 = 6
    DOUBLE = 7
    BINARY = 8
    LIST = 9
    SET = 10
    STRUCT = 12


DOUBLE_BYTES: Final = 8
VARINT_BYTES_MAX: Final = 10
DEPTH_MAX: Final = 32

_MORE: Final = 0x80
_LONG_LIST: Final = 15
_BOOLEANS: Final = frozenset({Type.TRUE, Type.FALSE})
_INTEGERS: Final = frozenset({Type.I16, Type.I32, Type.I64})


class Field(NamedTuple):
    """One field of a struct; its value is from `start` up to `end`."""

    id: int
    type: int
    start: int
    end: int


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number, and where it ends."""
    value = 0
    for shift in range(0, 7 * VARINT_BYTES_MAX, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < _MORE:
            return value, at
    raise ValueError("a number is too long")


def signed(value: int) -> int:
    """A number that was written in zigzag."""
    return (value >> 1) ^ -(value & 1)


def integer(data: bytes, at: int) -> int:
    """The signed number at a place."""
    return signed(varint(data, at)[0])


def binary(data: bytes, at: int) -> tuple[bytes, int]:
    """A string of bytes, and where it ends."""
    length, at = varint(data, at)
    end = at + length
    if end > len(data):
        raise IndexError("a string reaches beyond the end")
    return data[at:end], end


def list_header(data: bytes, at: int) -> tuple[int, int, int]:
    """The number of elements, their type, and where the first begins."""
    header = data[at]
    count, at = header >> 4, at + 1
    if count == _LONG_LIST:
        count, at = varint(data, at)
    return count, header & 0x0F, at


def fields(data: bytes, at: int, *, depth: int = 0) -> Iterator[Field]:
    """The fields of a struct that begins here; it ends one byte behind the last of them."""
    if depth > DEPTH_MAX:
        raise ValueError("structs lie too deep in each other")
    number = 0
    while header := data[at]:
        at += 1
        if header >> 4:
            number += header >> 4
        else:
            value, at = varint(data, at)
            number = signed(value)
        end = _skip(data, at, header & 0x0F, depth)
        yield Field(number, header & 0x0F, at, end)
        at = end


def end_of_struct(data: bytes, at: int, *, depth: int = 0) -> int:
    """Where the struct ends that begins here."""
    end = at
    for field in fields(data, at, depth=depth):
        end = field.end
    return end + 1


def _skip(data: bytes, at: int, type_: int, depth: int) -> int:
    if type_ in _BOOLEANS:
        return at
    if type_ in _INTEGERS:
        return varint(data, at)[1]
    if type_ == Type.BINARY:
        return binary(data, at)[1]
    if type_ == Type.DOUBLE:
        return at + DOUBLE_BYTES
    if type_ == Type.BYTE:
        return at + 1
    if type_ == Type.STRUCT:
        return end_of_struct(data, at, depth=depth + 1)
    if type_ in {Type.LIST, Type.SET}:
        count, element, at = list_header(data, at)
        if count > len(data) - at:
            raise IndexError("a list reaches beyond the end")
        for _ in range(count):
            # A boolean is a byte in a list, where it has no header of its own.
            at = at + 1 if element in _BOOLEANS else _skip(data, at, element, depth + 1)
        return at
    raise ValueError(f"no field is of type {type_}")
