"""Boxes that no footer tells: read from the geometry column itself, and nothing else of the file.

Runs over the same callable as `parquet.inspect`, and like that only where pyarrow may end the
process without harm.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from graticule.discovery.inspection import (
    BoxSource,
    Counts,
    CrsSource,
    FileInspection,
    GeometryInspection,
)
from graticule.domain.errors import CatalogError, UnreadableFile
from graticule.spatial.bounding_box import BoxStatus, FileBox, combine
from graticule.spatial.crs import CRS84, UNKNOWN_CRS, Crs, agreed
from graticule.storage.arrow_types import Leaf, read_schema
from graticule.storage.geometry_values import Form, GeometryValues, form_of
from graticule.storage.parquet import ReadRange, read_footer
from graticule.storage.parquet_boxes import checked_crs, declared_box_note
from graticule.storage.parquet_geometry import CANDIDATE

COMPUTE_BUDGET_BYTES: Final = 256 * 1024 * 1024
"""Geometry bytes, uncompressed, that are read of one file by default."""

BATCH_BYTES: Final = 2 * 1024 * 1024
"""What is decoded and looked at in one go: small enough to stay in the processor's cache."""
BATCH_ROWS_MIN: Final = 1024
BATCH_ROWS_MAX: Final = 64 * 1024


def compute_boxes(
    read: ReadRange,
    size_bytes: int,
    inspection: FileInspection,
    *,
    budget_bytes: int = COMPUTE_BUDGET_BYTES,
) -> FileInspection:
    """Read the geometries of the row groups that the footer knows nothing about.

    Columns are taken in turn, the primary one first; once `budget_bytes` are spent (uncompressed)
    what is left stays unknown.  Candidates whose values turn out to be geometries become some, the
    others stop being candidates.

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
            reading = _Reading(file, leaves[name], geometry[name], budget_bytes)
            column = reading.run()
            budget_bytes -= reading.spent_bytes
            if column is None:
                del geometry[name]
            else:
                geometry[name] = column
    except CatalogError:
        raise
    # Data pages are as foreign as footers.
    except Exception as error:
        raise UnreadableFile(f"its geometries cannot be read: {error}") from error
    found = replace(inspection, geometry=geometry)
    return replace(found, primary_geometry=inspection.primary_geometry or _primary(found))


def _is_open(column: GeometryInspection) -> bool:
    has_unknown = any(box.status is BoxStatus.UNKNOWN for box in column.row_group_boxes)
    return column.encoding in {"WKB", "EWKB", CANDIDATE} and has_unknown


def _primary(inspection: FileInspection) -> str | None:
    """What reading has made of candidates: geometries, else text unless there are positions."""
    columns = inspection.geometry.items()
    found = [name for name, column in columns if column.is_geometry]
    if not found and inspection.positions is None:
        found = [name for name, column in columns if column.encoding in set(Form)]
    return next(iter(found), None)


@dataclass(slots=True)
class _Reading:
    """One column of one file."""

    file: pq.ParquetFile
    leaf: Leaf
    column: GeometryInspection
    budget_bytes: int
    spent_bytes: int = 0
    form: Form | None = None
    read: dict[int, GeometryValues] = field(default_factory=dict)

    def run(self) -> GeometryInspection | None:
        """The column with what could be read; None if it is no geometry after all."""
        if self.column.encoding != CANDIDATE:
            self.form = Form.WKB
        boxes = list(self.column.row_group_boxes)
        for group, box in enumerate(boxes):
            if box.status is not BoxStatus.UNKNOWN or not self._can_pay(group):
                continue
            values = self._row_group(group)
            if values is None:
                return None
            self.read[group] = values
            boxes[group] = values.file_box()
        if self.form is None and self.leaf.type == "string":
            return None  # nothing but nulls: any text column looks like that
        return self._told(boxes) if self.read else self.column

    def _can_pay(self, group: int) -> bool:
        chunk = self.file.metadata.row_group(group).column(self.leaf.ordinal)
        cost = max(chunk.total_uncompressed_size, chunk.total_compressed_size)
        if self.spent_bytes + cost > self.budget_bytes:
            return False
        self.spent_bytes += cost
        return True

    def _row_group(self, group: int) -> GeometryValues | None:
        values = GeometryValues(self.form or Form.WKB, self.column.edges)
        for array in self._arrays(group):
            if self.form is None and array.null_count < len(array):
                self.form = form_of(array)
                if self.form is None:
                    return None
                values.form = self.form
            values.add(array)
        return values

    def _arrays(self, group: int) -> Iterator[Any]:
        chunk = self.file.metadata.row_group(group).column(self.leaf.ordinal)
        bytes_each = max(chunk.total_uncompressed_size // max(chunk.num_values, 1), 1)
        rows = min(max(BATCH_BYTES // bytes_each, BATCH_ROWS_MIN), BATCH_ROWS_MAX)
        for batch in self.file.iter_batches(
            rows, row_groups=[group], columns=[self.leaf.parquet_path], use_threads=False
        ):
            array = batch.column(0)
            if isinstance(array, pa.ExtensionArray):
                array = array.storage
            yield array if array.type in _PLAIN else array.cast(_plain(array.type))

    def _told(self, boxes: Sequence[FileBox]) -> GeometryInspection:
        column, values = self.column, list(self.read.values())
        file_box = combine(boxes)
        notes = list(column.notes)
        bad = sum(one.bad for one in values)
        if bad:
            notes.append(f"{bad} or more values are no geometries that can be bounded")
        is_whole = len(self.read) == len(boxes) and not bad
        crs, crs_source = self._crs(notes, is_whole=is_whole)
        checked = checked_crs(crs, file_box, boxes, notes)
        notes += declared_box_note(column.declared_box, file_box)
        encoding = str(self.form or Form.WKB)
        if encoding == Form.WKB and any(one.is_extended for one in values):
            encoding = "EWKB"
        is_known = file_box.status is not BoxStatus.UNKNOWN
        return replace(
            column,
            encoding=encoding,
            crs=checked,
            crs_source=CrsSource.DISPUTED if checked != crs else crs_source,
            types=tuple(sorted(set[str]().union(*(one.types for one in values))))
            if is_whole
            else column.types,
            counts=_sum(values) if is_whole else column.counts,
            file_box=file_box,
            row_group_boxes=tuple(boxes),
            source=BoxSource.COMPUTED if is_known else BoxSource.NONE,
            notes=tuple(notes),
        )

    def _crs(self, notes: list[str], *, is_whole: bool) -> tuple[Crs, CrsSource]:
        """The declared one, unless the values name another; without one, theirs."""
        declared, source = self.column.crs, self.column.crs_source
        if source is CrsSource.NONE and self.form is Form.GEOJSON:
            return CRS84, CrsSource.FORMAT
        srids = set[int]().union(*(one.srids for one in self.read.values()))
        if source is CrsSource.DISPUTED or not srids - {0}:
            return declared, source
        named = {Crs(f"EPSG:{srid}") if srid else UNKNOWN_CRS for srid in srids}
        if len(named) > 1:
            notes.append("its geometries name different reference systems")
            return UNKNOWN_CRS, CrsSource.DISPUTED
        (own,) = named
        if source is CrsSource.NONE:
            return (own, CrsSource.EWKB) if is_whole else (declared, source)
        both = agreed(declared, own)
        if not both.is_known:
            notes.append(f"its geometries are in {own}, although the file says {declared}")
            return UNKNOWN_CRS, CrsSource.DISPUTED
        return both, source


def _sum(values: Sequence[GeometryValues]) -> Counts:
    return Counts(sum(one.nulls for one in values), sum(one.empties for one in values))


_PLAIN: Final = (pa.binary(), pa.large_binary(), pa.string(), pa.large_string())


def _plain(type_: Any) -> Any:
    """What views, dictionaries and fixed widths are read as."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return pa.large_string() if type_ in {*_PLAIN[2:], pa.string_view()} else pa.large_binary()


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
