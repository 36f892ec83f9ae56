"""Inspect Parquet files by their footers, and read geometry columns where footers know nothing.

Works over a callable that reads byte ranges, so it neither knows nor cares where files are.
Whatever is wrong with a file is an `UnreadableFile`; what is wrong with the store passes through.

One exception: pyarrow ends the process over some footers that contradict themselves.  For files of
strangers use `inspection_workers`, which runs the same functions where that does no harm.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graticule.discovery.inspection import BoxSource, FileInspection, GeometryInspection
from graticule.domain.errors import CatalogError, UnreadableFile
from graticule.planning.row_group import RowGroupSpan
from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoxStatus, FileBox, combine
from graticule.spatial.geoparquet import GEO_KEY, Broken, GeoMetadata, parse_geo
from graticule.spatial.wkb import box_of_wkb
from graticule.storage.arrow_types import Leaf, read_schema
from graticule.storage.parquet_boxes import BoxReader, checked_crs
from graticule.storage.parquet_metrics import collect

ReadRange = Callable[[int, int], bytes]
"""`read(offset, length)` returns exactly that many bytes of one version of one file."""

TAIL_BYTES: Final = 64 * 1024
"""Read first, in one request: most footers fit."""

FOOTER_BYTES_MAX: Final = 64 * 1024 * 1024
COMPUTE_BUDGET_BYTES: Final = 256 * 1024 * 1024
"""Geometry bytes, uncompressed, that `compute_boxes` reads of one file by default."""

BATCH_ROWS: Final = 64 * 1024

_MAGIC: Final = b"PAR1"
_ENCRYPTED_MAGIC: Final = b"PARE"
_TRAILER_BYTES: Final = 8
_FILE_BYTES_MIN: Final = len(_MAGIC) + _TRAILER_BYTES


def inspect(read: ReadRange, size_bytes: int) -> FileInspection:
    """Everything the footer tells, in one read of 64 KiB, or two when the footer is larger.

    Raises:
        UnreadableFile: not a Parquet file, cut short, encrypted, or corrupt.
    """
    return inspect_footer(read_footer(read, size_bytes), size_bytes)


def read_tail(read: ReadRange, size_bytes: int) -> bytes:
    """The end of the file, in which most footers are.

    Raises:
        UnreadableFile: too short for a Parquet file, or shorter than it should be.
    """
    if size_bytes < _FILE_BYTES_MIN:
        raise UnreadableFile(f"{size_bytes} bytes are too few for a Parquet file")
    tail_bytes = min(size_bytes, TAIL_BYTES)
    tail = read(size_bytes - tail_bytes, tail_bytes)
    if len(tail) != tail_bytes:
        raise UnreadableFile(f"{len(tail)} bytes were read where {tail_bytes} should be")
    return tail


def read_footer(read: ReadRange, size_bytes: int) -> pq.FileMetaData:
    """Fetch and parse the footer.

    Raises:
        UnreadableFile: not a Parquet file, cut short, encrypted, or corrupt.
    """
    tail = read_tail(read, size_bytes)
    if tail.endswith(_ENCRYPTED_MAGIC):
        raise UnreadableFile("the footer is encrypted")
    if not tail.endswith(_MAGIC):
        raise UnreadableFile("it does not end like a Parquet file")
    footer_bytes = int.from_bytes(tail[-_TRAILER_BYTES : -len(_MAGIC)], "little")
    needed = footer_bytes + _TRAILER_BYTES
    if needed + len(_MAGIC) > size_bytes:
        raise UnreadableFile(f"its footer claims {footer_bytes} bytes of {size_bytes}")
    if footer_bytes > FOOTER_BYTES_MAX:
        raise UnreadableFile(
            f"its footer has {footer_bytes} bytes; at most {FOOTER_BYTES_MAX} are read"
        )
    if needed > len(tail):
        tail = read(size_bytes - needed, needed)
        if len(tail) != needed:
            raise UnreadableFile(f"{len(tail)} bytes were read where {needed} should be")
    try:
        # The magic in front makes pyarrow accept the footer as a file without any data.
        return pq.read_metadata(pa.BufferReader(_MAGIC + tail[-needed:]))
    except Exception as error:
        raise UnreadableFile(f"its footer is corrupt: {error}") from error


def inspect_footer(metadata: pq.FileMetaData, size_bytes: int) -> FileInspection:
    """The pure part of `inspect`.

    Raises:
        UnreadableFile: the footer contradicts itself or the size of the file.
    """
    try:
        return _inspect(metadata, size_bytes)
    except CatalogError:
        raise
    # A footer that parses may still hold anything: to the caller all of it is one thing.
    except Exception as error:
        raise UnreadableFile(f"its footer cannot be understood: {error!r}") from error


def _inspect(metadata: pq.FileMetaData, size_bytes: int) -> FileInspection:
    schema = read_schema(metadata)
    names = [field["name"] for field in schema.fields]
    if len(set(names)) != len(names):
        raise UnreadableFile("two of its columns have the same name")
    key_values = metadata.metadata or {}
    geo = parse_geo(key_values.get(GEO_KEY.encode()))
    notes = [geo.reason] if isinstance(geo, Broken) else []
    row_groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    # pyarrow aborts the process when a column is asked for that a row group does not have.
    if any(row_group.num_columns != metadata.num_columns for row_group in row_groups):
        raise UnreadableFile("its row groups do not have the columns of its schema")
    boxes = BoxReader(
        row_groups,
        schema,
        geo if isinstance(geo, GeoMetadata) else None,
        _texts(key_values),
    )
    collected = collect(row_groups, schema.leaves, keep=boxes.needed_statistics)
    geometry = boxes.inspect(collected.statistics)
    spans = _spans(metadata, row_groups, collected.group_bytes, size_bytes)
    return FileInspection(
        rows=metadata.num_rows,
        row_groups=spans,
        split_offsets=_split_offsets(spans),
        fields=schema.fields,
        metrics=collected.metrics,
        geometry=geometry,
        primary_geometry=boxes.primary(),
        positions=None if geometry else boxes.positions(collected.statistics),
        created_by=metadata.created_by or "",
        unsupported_columns=schema.unsupported,
        notes=tuple(notes),
        field_ids=schema.field_ids,
    )


def _texts(key_values: dict[bytes, bytes]) -> dict[str, str]:
    """Entries that a CRS may point at; the schema that Arrow leaves behind is none."""
    return {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in key_values.items()
        if key not in {b"ARROW:schema", GEO_KEY.encode()}
    }


def _spans(
    metadata: pq.FileMetaData,
    row_groups: Sequence[pq.RowGroupMetaData],
    group_bytes: Sequence[int],
    size_bytes: int,
) -> tuple[RowGroupSpan, ...]:
    """Where row groups begin, and what they take; one without columns begins nowhere, at 0."""
    spans = []
    data_end = size_bytes - metadata.serialized_size - _TRAILER_BYTES
    for index, row_group in enumerate(row_groups):
        start = 0
        if row_group.num_columns:
            chunk = row_group.column(0)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            if start + chunk.total_compressed_size > data_end:
                raise UnreadableFile(f"row group {index} lies beyond the end of the data")
        spans.append(RowGroupSpan(start, group_bytes[index], row_group.num_rows))
    rows = sum(span.rows for span in spans)
    if rows != metadata.num_rows:
        raise UnreadableFile(f"it claims {metadata.num_rows} rows but its row groups hold {rows}")
    return tuple(spans)


def _split_offsets(spans: Sequence[RowGroupSpan]) -> tuple[int, ...]:
    """Where row groups begin; empty when the offsets are of no use to readers."""
    offsets = [span.offset for span in spans]
    is_ascending = all(a < b for a, b in pairwise(offsets))
    return tuple(offsets) if is_ascending and all(offsets) else ()


# Reading geometries.


def compute_boxes(
    read: ReadRange,
    size_bytes: int,
    inspection: FileInspection,
    *,
    budget_bytes: int = COMPUTE_BUDGET_BYTES,
) -> FileInspection:
    """Read the geometries of the row groups that the footer knows nothing about.

    Columns are taken in turn, the primary one first; once `budget_bytes` are spent (uncompressed)
    what is left stays unknown.  Candidates whose bytes turn out to be WKB become geometries, the
    others stop being candidates.  Spherical edges are left alone: vertices do not bound them.

    Raises:
        UnreadableFile: the file is corrupt behind its footer.
    """
    open_columns = [name for name, column in inspection.geometry.items() if _is_open(column)]
    if not open_columns:
        return inspection
    open_columns.sort(key=lambda name: name != inspection.primary_geometry)
    metadata = read_footer(read, size_bytes)
    try:
        leaves = {leaf.path: leaf for leaf in read_schema(metadata).leaves}
        source = pa.PythonFile(_RangeFile(read, size_bytes), mode="r")
        file = pq.ParquetFile(source, metadata=metadata)
        geometry: dict[str, GeometryInspection] = dict(inspection.geometry)
        for name in open_columns:
            column, spent = _compute_column(file, leaves[name], geometry[name], budget_bytes)
            budget_bytes -= spent
            if column is None:
                del geometry[name]
            else:
                geometry[name] = column
    except CatalogError:
        raise
    # Data pages are as foreign as footers.
    except Exception as error:
        raise UnreadableFile(f"its geometries cannot be read: {error}") from error
    primary = inspection.primary_geometry
    if primary is None:
        primary = next((name for name, column in geometry.items() if column.is_geometry), None)
    return replace(inspection, geometry=geometry, primary_geometry=primary)


def _is_open(column: GeometryInspection) -> bool:
    has_unknown = any(box.status is BoxStatus.UNKNOWN for box in column.row_group_boxes)
    return (
        column.encoding in {"WKB", "EWKB", "candidate"} and has_unknown and column.edges == "planar"
    )


def _compute_column(
    file: pq.ParquetFile, leaf: Leaf, column: GeometryInspection, budget_bytes: int
) -> tuple[GeometryInspection | None, int]:
    """The column with what could be computed, and the bytes it took; None if it is no geometry."""
    boxes = list(column.row_group_boxes)
    encoding = column.encoding
    spent = 0
    for group, box in enumerate(boxes):
        if box.status is not BoxStatus.UNKNOWN:
            continue
        chunk = file.metadata.row_group(group).column(leaf.ordinal)
        cost = max(chunk.total_uncompressed_size, chunk.total_compressed_size)
        if spent + cost > budget_bytes:
            continue
        spent += cost
        boxes[group], is_extended = _box_of_row_group(file, leaf, group)
        if boxes[group].status is BoxStatus.UNKNOWN and column.encoding == "candidate":
            return None, spent
        if is_extended:
            encoding = "EWKB"
    if encoding == "candidate" and all(
        box.status in {BoxStatus.EXACT, BoxStatus.EMPTY} for box in boxes
    ):
        encoding = "WKB"
    file_box = combine(boxes)
    notes = list(column.notes)
    crs = checked_crs(column.crs, file_box, boxes, notes)
    is_known = file_box.status is not BoxStatus.UNKNOWN
    return (
        replace(
            column,
            encoding=encoding,
            crs=crs,
            file_box=file_box,
            row_group_boxes=tuple(boxes),
            source=BoxSource.COMPUTED if is_known else BoxSource.NONE,
            notes=tuple(notes),
        ),
        spent,
    )


def _box_of_row_group(file: pq.ParquetFile, leaf: Leaf, group: int) -> tuple[FileBox, bool]:
    parts: list[FileBox] = []
    is_extended = False
    batches = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[leaf.parquet_path])
    for batch in batches:
        array = batch.column(0)
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        array = array.cast(pa.large_binary())
        box, extended = _box_of_array(array)
        is_extended = is_extended or extended
        if box.status is BoxStatus.UNKNOWN:
            return UNKNOWN, is_extended
        parts.append(box)
    return combine(parts), is_extended


_EWKB_FLAGS: Final = 0xE0000000


def _box_of_array(array: Any) -> tuple[FileBox, bool]:
    """The box of a large_binary array, and whether its first value is EWKB."""
    if len(array) == array.null_count:
        return EMPTY, False
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    valid = None
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
    first = array[0 if valid is None else int(np.argmax(valid))].as_py()
    little = first[:1] == b"\x01"
    kind = int.from_bytes(first[1:5], "little" if little else "big")
    return box_of_wkb(offsets, data, valid=valid), bool(kind & _EWKB_FLAGS)


class _RangeFile(io.RawIOBase):
    """What pyarrow needs of a file, over range reads.  Every read is one request."""

    def __init__(self, read: ReadRange, size_bytes: int) -> None:
        super().__init__()
        self._read = read
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self._size_bytes

    def read(self, size: int = -1) -> bytes:
        left = max(self._size_bytes - self._position, 0)
        length = left if size is None or size < 0 else min(size, left)
        if not length:
            return b""
        data = self._read(self._position, length)
        self._position += len(data)
        return data


def accept_declared_boxes(inspection: FileInspection) -> FileInspection:
    """Believe the `bbox` of the GeoParquet metadata where nothing better is known.

    The last resort, for files too large to read: an edit may have made such a box wrong.  It holds
    for the file only, never for a row group, and only if a writer signed the file.
    """
    geometry = {
        name: replace(column, file_box=column.declared_box, source=BoxSource.METADATA)
        if column.declared_box is not None
        and column.source is BoxSource.NONE
        and column.edges == "planar"
        and column.crs.is_lonlat == checked_crs(column.crs, column.declared_box, (), []).is_lonlat
        and inspection.created_by
        else column
        for name, column in inspection.geometry.items()
    }
    return replace(inspection, geometry=geometry)
