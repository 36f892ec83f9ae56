"""One column of an open Parquet file, row group after row group: as pages, or as Arrow arrays.

Nothing but that column is fetched, and never more than `CHUNK_BYTES_MAX` of it at once.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from graticule.storage.arrow_types import Leaf
from graticule.storage.parquet import ReadRange
from graticule.storage.parquet_pages import Chunk, Page, UnusualPages, read_pages

CHUNK_BYTES_MAX: Final = 32 * 1024 * 1024
"""Columns of a row group up to this size are fetched in one request."""
STREAM_BYTES: Final = 8 * 1024 * 1024
"""What is fetched at a time of larger ones."""


class RangeFile(io.RawIOBase):
    """What pyarrow needs of a file, over range reads.  Every read is one request, unless what was
    read last has all of it.
    """

    def __init__(self, read: ReadRange, size_bytes: int) -> None:
        super().__init__()
        self.size_bytes = size_bytes
        self._read = read
        self._position = 0
        self._last_at = 0
        self._last = b""

    def fetch(self, offset: int, length: int) -> bytes:
        start = offset - self._last_at
        if not 0 <= start <= start + length <= len(self._last):
            self._last = b""  # not both at once
            self._last_at, self._last, start = offset, self._read(offset, length), 0
        return self._last[start : start + length]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self.size_bytes

    def read(self, size: int = -1) -> bytes:
        left = max(self.size_bytes - self._position, 0)
        length = left if size is None or size < 0 else min(size, left)
        if not length:
            return b""
        data = self.fetch(self._position, length)
        self._position += len(data)
        return data


@dataclass(frozen=True, slots=True)
class ColumnFile:
    """An open file, its footer, and its columns by path."""

    source: RangeFile
    metadata: pq.FileMetaData
    leaves: Mapping[str, Leaf]

    def chunk(self, leaf: Leaf, group: int) -> pq.ColumnChunkMetaData:
        return self.metadata.row_group(group).column(leaf.ordinal)

    def batches(self, leaf: Leaf, group: int, rows: int) -> Iterator[Any]:
        """A column of a row group: in one request, or as a stream if it is large."""
        file = pq.ParquetFile(
            pa.PythonFile(self.source, mode="r"),
            metadata=self.metadata,
            buffer_size=STREAM_BYTES if self._is_large(leaf, group) else 0,
            page_checksum_verification=True,
        )
        for batch in file.iter_batches(
            rows, row_groups=[group], columns=[leaf.parquet_path], use_threads=False
        ):
            yield batch.column(0)

    def pages(self, leaf: Leaf, group: int) -> Iterator[Page]:
        """The same, for those who can do without arrays.

        Raises:
            UnusualPages: only `batches` can tell what is in it, or what is wrong with it.
        """
        chunk, column = self.chunk(leaf, group), self.metadata.schema.column(leaf.ordinal)
        begins = chunk.data_page_offset
        if chunk.has_dictionary_page and 0 < (chunk.dictionary_page_offset or 0) < begins:
            begins = chunk.dictionary_page_offset
        size_bytes, values = chunk.total_compressed_size, chunk.num_values
        if (
            not 0 < begins <= begins + size_bytes <= self.source.size_bytes
            or values != self.metadata.row_group(group).num_rows
            or column.physical_type != "BYTE_ARRAY"
            or column.max_repetition_level > 0
            or column.max_definition_level > 1
        ):
            raise UnusualPages("a column that is nested, or contradicts itself")
        described = Chunk(
            begins, size_bytes, values, chunk.compression, column.max_definition_level > 0
        )
        step = STREAM_BYTES if self._is_large(leaf, group) else size_bytes
        return read_pages(described, self.source.fetch, step)

    def _is_large(self, leaf: Leaf, group: int) -> bool:
        size_bytes: int = self.chunk(leaf, group).total_compressed_size
        return size_bytes > CHUNK_BYTES_MAX
