"""The pages of a column of one row group, taken apart: how many nulls, and the bytes of the rest.

For flat columns of bytes as most writers write them; whatever is unusual, or contradicts itself, is
left to pyarrow.  What comes out was checked: never more than is claimed, never beyond the limits.
Spec: https://github.com/apache/parquet-format
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from graticule.storage import thrift_compact as thrift
from graticule.storage.hybrid_runs import Malformed, count_ones
from graticule.storage.thrift_compact import Type

Struct = dict[int, Any]
"""The booleans, numbers of four bytes and structs of a header, by the numbers of their fields."""
Bytes = npt.NDArray[np.uint8]

PAGE_BYTES_MAX: Final = 32 * 1024 * 1024
HEADER_BYTES_MAX: Final = 16 * 1024
PAGE_VALUES_MIN: Final = 500
"""Pages of fewer values, and of fewer bytes than the next limit, take longer than pyarrow does."""
SMALL_PAGE_BYTES: Final = 16 * 1024
LENGTH_BYTES: Final = 4

_DAMAGES: Final = (Malformed, ValueError, IndexError, OSError, pa.ArrowException, zlib.error)
"""What thrift, levels and codecs raise over damaged bytes."""

_DATA, _INDEX, _DICTIONARY, _DATA_V2 = range(4)
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8


class UnusualPages(Exception):
    """They are to be read by somebody else, who knows better or says what is wrong with them."""


class Encoding(Enum):
    PLAIN = "plain"
    DICTIONARY = "dictionary"
    """The values that indices point at, written as plain values are."""
    INDICES = "indices"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group, as the footer describes it."""

    begins: int
    size_bytes: int
    values: int
    """With nulls."""
    codec: str
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class Page:
    """`count` values that are not null, in `data`."""

    encoding: Encoding
    data: Bytes
    count: int
    nulls: int = 0


def read_pages(chunk: Chunk, read: Callable[[int, int], bytes], step: int) -> Iterator[Page]:
    """The pages of a chunk, fetched at least `step` bytes at a time.

    Raises:
        UnusualPages: at any time; what came until then is not to be used either.
    """
    if chunk.codec not in _CODECS:
        raise UnusualPages(f"compressed by {chunk.codec}")
    stretch = _Stretch(read, chunk, step)
    left = chunk.values
    while left > 0:
        try:
            page, values = _next_page(stretch, chunk)
        except _DAMAGES as error:
            raise UnusualPages(str(error)) from error
        if page is None:
            continue
        left -= values
        is_small = values < PAGE_VALUES_MIN and len(page.data) < SMALL_PAGE_BYTES
        if left < 0 or (left and is_small and page.encoding is not Encoding.DICTIONARY):
            raise UnusualPages("more values than the footer says, or small pages")
        yield page


def values_of_one_length(page: Page) -> Bytes | None:
    """Plain values as the rows of a table, nothing copied; None if they differ in length."""
    data, count = page.data, page.count
    if not count:
        return np.zeros((0, 1), np.uint8) if not len(data) else None
    each = len(data) // count
    if each <= LENGTH_BYTES or each * count != len(data):
        return None
    rows = data.reshape(count, each)
    lengths = rows[:, :LENGTH_BYTES].view("<u4")[:, 0]
    return rows[:, LENGTH_BYTES:] if bool((lengths == each - LENGTH_BYTES).all()) else None


class _Stretch:
    """The bytes of a chunk, which are fetched when they are needed."""

    def __init__(self, read: Callable[[int, int], bytes], chunk: Chunk, step: int) -> None:
        self._read = read
        self._next = chunk.begins
        self._end = chunk.begins + chunk.size_bytes
        self._step = step
        self._data = memoryview(b"")

    def peek(self, count: int) -> memoryview:
        """The next bytes: at least so many, unless the chunk ends before."""
        missing = min(count - len(self._data), self._end - self._next)
        if missing > 0:
            size = min(max(self._step, missing), self._end - self._next)
            more = self._read(self._next, size)
            if len(more) != size:
                raise UnusualPages("the file ends within a chunk")
            self._next += size
            self._data = memoryview(b"".join([self._data, more]) if self._data else more)
        return self._data

    def take(self, count: int) -> memoryview:
        """The next bytes, and goes on behind them."""
        data = self.peek(count)
        if len(data) < count:
            raise UnusualPages("a page ends behind its chunk")
        self._data = data[count:]
        return data[:count]


def _next_page(stretch: _Stretch, chunk: Chunk) -> tuple[Page | None, int]:
    """A page, and how many values of the column, with nulls, it stands for; None for what holds
    none of either.
    """
    header, header_bytes = _struct_at(bytes(stretch.peek(HEADER_BYTES_MAX)[:HEADER_BYTES_MAX]), 0)
    stretch.take(header_bytes)
    kind, size, packed_size = (_number(header, number) for number in (1, 2, 3))
    if max(size, packed_size) > PAGE_BYTES_MAX:
        raise UnusualPages("a large page")
    packed = stretch.take(packed_size)
    checksum = header.get(4)
    if isinstance(checksum, int) and zlib.crc32(packed) != checksum & 0xFFFFFFFF:
        raise UnusualPages("a page differs from its checksum")
    if kind == _INDEX:
        return None, 0
    if kind == _DICTIONARY:
        about = _struct(header, 7)
        if _number(about, 2) not in {_PLAIN, _PLAIN_DICTIONARY}:
            raise UnusualPages("a dictionary that is not plain")
        data = _decompressed(packed, chunk.codec, size)
        return Page(Encoding.DICTIONARY, data, _number(about, 1)), 0
    if kind == _DATA:
        return _data_page(_struct(header, 5), _decompressed(packed, chunk.codec, size), chunk)
    if kind == _DATA_V2:
        return _data_page_v2(_struct(header, 8), packed, size, chunk)
    raise UnusualPages(f"a page of kind {kind}")


def _struct_at(data: bytes, at: int, *, depth: int = 0) -> tuple[Struct, int]:
    """A struct, and where it ends; statistics, which lie deeper than headers, are left out."""
    found: Struct = {}
    end = at
    for field in thrift.fields(data, at):
        end = field.end
        if field.type in {Type.TRUE, Type.FALSE}:
            found[field.id] = field.type == Type.TRUE
        elif field.type == Type.I32:
            found[field.id] = thrift.integer(data, field.start)
        elif field.type == Type.STRUCT and not depth:
            found[field.id], _ = _struct_at(data, field.start, depth=1)
    return found, end + 1


def _data_page(about: Struct, data: Bytes, chunk: Chunk) -> tuple[Page, int]:
    values, encoding = _number(about, 1), _encoding(_number(about, 2))
    count = values
    if chunk.is_nullable:
        if _number(about, 3) != _RLE:
            raise UnusualPages("levels that are not run lengths")
        ends = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES].tobytes(), "little")
        if ends > len(data):
            raise UnusualPages("levels that are longer than their page")
        count = count_ones(data[LENGTH_BYTES:ends], values)
        data = data[ends:]
    return Page(encoding, data, count, values - count), values


def _data_page_v2(about: Struct, packed: memoryview, size: int, chunk: Chunk) -> tuple[Page, int]:
    values, encoding = _number(about, 1), _encoding(_number(about, 4))
    levels = _number(about, 5)
    if _number(about, 6) or levels > min(size, len(packed)) or (levels and not chunk.is_nullable):
        raise UnusualPages("levels of a nested column, or longer than their page")
    count = (
        count_ones(np.frombuffer(packed[:levels], np.uint8), values)
        if chunk.is_nullable
        else values
    )
    if values - count != _number(about, 2) or _number(about, 3) != values:
        raise UnusualPages("a page that miscounts its nulls or rows")
    codec = chunk.codec if about.get(7, True) else "UNCOMPRESSED"
    if len(packed) == levels:  # nothing but nulls is not even compressed
        codec = "UNCOMPRESSED"
    data = _decompressed(packed[levels:], codec, size - levels)
    return Page(encoding, data, count, values - count), values


def _encoding(number: int) -> Encoding:
    if number == _PLAIN:
        return Encoding.PLAIN
    if number in {_PLAIN_DICTIONARY, _RLE_DICTIONARY}:
        return Encoding.INDICES
    raise UnusualPages(f"values of encoding {number}")


def _number(struct: Struct, field: int) -> int:
    number = struct.get(field)
    if not isinstance(number, int) or number < 0:
        raise UnusualPages(f"a page without a field {field}")
    return number


def _struct(struct: Struct, field: int) -> Struct:
    found = struct.get(field)
    if not isinstance(found, dict):
        raise UnusualPages(f"a page without a field {field}")
    return found


def _decompressed(packed: memoryview, codec: str, size: int) -> Bytes:
    unpack = _CODECS[codec]
    data = packed if unpack is None else unpack(packed, size)
    if len(data) != size:
        raise UnusualPages("a page that is not as large as it says")
    return np.frombuffer(data, np.uint8)


def _zstd(packed: memoryview, size: int) -> Any:
    return _ZSTD.decompress(packed, size)


def _snappy(packed: memoryview, size: int) -> Any:
    # pyarrow's answer has the size that was asked for, also if less came out.
    claimed, _ = thrift.varint(bytes(packed[: thrift.VARINT_BYTES_MAX]), 0)
    return _SNAPPY.decompress(packed, size) if claimed == size else b""


def _gzip(packed: memoryview, size: int) -> Any:
    one = zlib.decompressobj(zlib.MAX_WBITS | 32)
    data = one.decompress(packed, size + 1)
    return data if one.eof and not one.unused_data else b""


_ZSTD: Final = pa.Codec("zstd")
_SNAPPY: Final = pa.Codec("snappy")
_CODECS: Final[dict[str, Callable[[memoryview, int], Any] | None]] = {
    "ZSTD": _zstd,
    "SNAPPY": _snappy,
    "GZIP": _gzip,
    "UNCOMPRESSED": None,
}
"""Those that do not say how much comes out, as pyarrow has them (Brotli, LZ4), are not here."""
