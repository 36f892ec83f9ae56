"""Boxes that no footer tells: read from the geometry column itself, and nothing else of the file.

Runs over the same callable as `parquet.inspect`, and like that only where pyarrow may end the
process without harm.  Memory is bounded whatever the file: pages are read as a stream.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from graticule.discovery.inspection import (
    BoxSource,
    Counts,
    CrsSource,
    FileInspection,
    GeometryInspection,
)
from graticule.domain.errors import CatalogError, UnreadableFile
from graticule.spatial.bounding_box import UNKNOWN, BoxStatus, FileBox, combine
from graticule.spatial.crs import CRS84, UNKNOWN_CRS, Crs, agreed
from graticule.storage.arrow_types import Leaf, read_schema
from graticule.storage.geometry_pages import add_pages
from graticule.storage.geometry_values import Form, GeometryValues, form_of
from graticule.storage.parquet import ReadRange, read_footer
from graticule.storage.parquet_boxes import checked_crs, declared_box_note
from graticule.storage.parquet_columns import ColumnFile, RangeFile
from graticule.storage.parquet_geometry import CANDIDATE
from graticule.storage.parquet_pages import UnusualPages

COMPUTE_BUDGET_BYTES: Final = 256 * 1024 * 1024
"""Geometry bytes, uncompressed, that are read of one file by default."""

BATCH_BYTES: Final = 1024 * 1024
"""What is decoded and looked at in one go: small enough to stay in the processor's cache, and large
enough for calls to take no time beside the work."""
BATCH_ROWS_MIN: Final = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """The geometry column of a table, as a file calls it; the table's word on its edges counts."""

    name: str
    edges: str
    first_group: int = 0
    """Whatever is before was read."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is known after some row groups were read; None as `next_group` means all of them."""

    inspection: FileInspection
    next_group: int | None
    spent_bytes: int


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
    geometry: dict[str, GeometryInspection] = dict(inspection.geometry)
    with _opened(read, size_bytes) as file:
        for name in open_columns:
            reading = _Reading(file, name, geometry[name], budget_bytes)
            column = reading.run()
            budget_bytes -= reading.spent_bytes
            if column is None:
                del geometry[name]
            else:
                geometry[name] = column
    found = replace(inspection, geometry=geometry)
    return replace(found, primary_geometry=inspection.primary_geometry or _primary(found))


def compute_part(
    read: ReadRange,
    size_bytes: int,
    inspection: FileInspection,
    wanted: Wanted,
    *,
    budget_bytes: int,
) -> Part:
    """Read the row groups of one column that nothing is known about, from `first_group` on and at
    least one of them, until the budget is spent.  Part after part they add up to the whole.

    Raises:
        UnreadableFile: the file is corrupt behind its footer, or its column holds no geometries.
    """
    with _opened(read, size_bytes) as file:
        leaf = file.leaves.get(wanted.name)
        if leaf is None or leaf.repeated or leaf.type not in {"binary", "string"}:
            raise UnreadableFile(f"its column `{wanted.name}` is neither bytes nor text")
        column = _as_wanted(inspection, wanted, leaf)
        reading = _Reading(file, wanted.name, column, budget_bytes, wanted.first_group)
        found = reading.run()
    if found is None:
        raise UnreadableFile(f"the values of its column `{wanted.name}` are no geometries")
    following = reading.next_group if reading.next_group < len(column.row_group_boxes) else None
    return Part(replace(inspection, geometry={wanted.name: found}), following, reading.spent_bytes)


def _as_wanted(inspection: FileInspection, wanted: Wanted, leaf: Leaf) -> GeometryInspection:
    """What the file says of a column that the table knows to be geometries.

    Boxes from a footer that takes edges for something else do not bound the table's.
    """
    column = inspection.geometry.get(wanted.name)
    encoding = CANDIDATE if leaf.type == "string" else Form.WKB
    if column is None:
        groups = (UNKNOWN,) * inspection.row_group_count
        return GeometryInspection(
            encoding=encoding,
            crs=UNKNOWN_CRS,
            edges=wanted.edges,
            types=(),
            file_box=combine(groups),
            row_group_boxes=groups,
            source=BoxSource.NONE,
        )
    if column.encoding == CANDIDATE:
        column = replace(column, encoding=encoding)
    if column.edges != wanted.edges:
        groups = (UNKNOWN,) * inspection.row_group_count
        column = replace(
            column, edges=wanted.edges, file_box=combine(groups), row_group_boxes=groups
        )
    return column


@contextmanager
def _opened(read: ReadRange, size_bytes: int) -> Iterator[ColumnFile]:
    metadata = read_footer(read, size_bytes)
    try:
        leaves = {leaf.path: leaf for leaf in read_schema(metadata).leaves}
        yield ColumnFile(RangeFile(read, size_bytes), metadata, leaves)
    except CatalogError:
        raise
    # Data pages are as foreign as footers.
    except Exception as error:
        raise UnreadableFile(f"its geometries cannot be read: {error}") from error


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
    """One column of one file, from `first_group` on."""

    file: ColumnFile
    name: str
    column: GeometryInspection
    budget_bytes: int
    first_group: int | None = None
    """None reads whatever the budget allows, wherever it is."""
    next_group: int = 0
    spent_bytes: int = 0
    form: Form | None = None
    read: dict[int, GeometryValues] = field(default_factory=dict)
    are_alike: bool = True
    """False once a row group had to be read the slow way: the next one would have to as well."""
    leaf: Leaf = field(init=False)

    def __post_init__(self) -> None:
        self.leaf = self.file.leaves[self.name]
        if self.column.encoding != CANDIDATE:
            texts = {Form.WKT, Form.GEOJSON, Form.HEX_WKB} & {self.column.encoding}
            self.form = Form(next(iter(texts), Form.WKB))

    def run(self) -> GeometryInspection | None:
        """The column with what could be read; None if it is no geometry after all."""
        boxes = list(self.column.row_group_boxes)
        self.next_group = self.first_group or 0
        for group in range(self.next_group, len(boxes)):
            if boxes[group].status is BoxStatus.UNKNOWN:
                if not self._can_pay(group):
                    if self.first_group is not None:
                        break
                    continue
                values = self._row_group(group)
                if values is None:
                    return None
                self.read[group] = values
                boxes[group] = values.file_box()
            self.next_group = group + 1
        is_part = self.first_group is not None
        if self.form is None and self.leaf.type == "string" and not is_part:
            return None  # nothing but nulls: any text column looks like that
        return self._told(boxes) if self.read else self.column

    def _can_pay(self, group: int) -> bool:
        chunk = self.file.chunk(self.leaf, group)
        cost = max(chunk.total_uncompressed_size, chunk.total_compressed_size)
        is_first = self.first_group is not None and not self.read
        if self.spent_bytes + cost > self.budget_bytes and not is_first:
            return False
        self.spent_bytes += cost
        return True

    def _row_group(self, group: int) -> GeometryValues | None:
        if self.form is Form.WKB and self.are_alike:
            values = GeometryValues(Form.WKB, self.column.edges)
            try:
                add_pages(values, self.file.pages(self.leaf, group))
            except UnusualPages:
                self.are_alike = False
            else:
                return values
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
        chunk = self.file.chunk(self.leaf, group)
        bytes_each = max(chunk.total_uncompressed_size // max(chunk.num_values, 1), 1)
        rows = max(BATCH_BYTES // bytes_each, BATCH_ROWS_MIN)
        for values in self.file.batches(self.leaf, group, rows):
            array = values.storage if isinstance(values, pa.ExtensionArray) else values
            yield array if array.type in _PLAIN else array.cast(_plain(array.type))

    def _told(self, boxes: Sequence[FileBox]) -> GeometryInspection:
        column, values = self.column, list(self.read.values())
        file_box = combine(boxes)
        notes = list(column.notes)
        bad = sum(one.bad for one in values)
        if bad:
            notes.append(f"{bad} or more values are no geometries that can be bounded")
        first = self.first_group or 0
        count = (self.next_group if self.first_group is not None else len(boxes)) - first
        is_counted = len(self.read) == count and not bad
        if first:  # whoever read the others has counted them, or could not
            is_counted = is_counted and column.counts.empties is not None
        crs, crs_source = self._crs(notes, is_whole=is_counted)
        checked = checked_crs(crs, file_box, boxes, notes)
        notes += declared_box_note(column.declared_box, file_box)
        encoding = str(self.form or (Form.WKB if self.leaf.type == "binary" else column.encoding))
        if encoding == Form.WKB and any(one.is_extended for one in values):
            encoding = "EWKB"
        is_known = file_box.status is not BoxStatus.UNKNOWN
        types, counts = (column.types, column.counts) if not first else ((), Counts())
        if is_counted:
            met = set[str]().union(*(one.types for one in values))
            types = tuple(sorted(met.union(column.types if first else ())))
            counts = _sum(values, column.counts if first else Counts(0, 0))
        return replace(
            column,
            encoding=encoding,
            crs=checked,
            crs_source=CrsSource.DISPUTED if checked != crs else crs_source,
            types=types,
            counts=counts,
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
        if source is CrsSource.DISPUTED or not (srids - {0} or source is CrsSource.EWKB):
            return declared, source
        named = {Crs(f"EPSG:{srid}") if srid else UNKNOWN_CRS for srid in srids}
        if self.first_group and source is CrsSource.NONE:
            named.add(UNKNOWN_CRS)  # the values before named none
        if source is CrsSource.EWKB:
            named.add(declared)
        if len(named) > 1:
            notes.append("its geometries name different reference systems")
            return UNKNOWN_CRS, CrsSource.DISPUTED
        (own,) = named
        if source is CrsSource.NONE:
            # Of a part, the one that the next part has to name as well.
            is_sure = is_whole or self.first_group is not None
            return (own, CrsSource.EWKB) if is_sure else (declared, source)
        both = agreed(declared, own)
        if not both.is_known:
            notes.append(f"its geometries are in {own}, although the file says {declared}")
            return UNKNOWN_CRS, CrsSource.DISPUTED
        return both, source


def _sum(values: Sequence[GeometryValues], before: Counts) -> Counts:
    nulls = (before.nulls or 0) + sum(one.nulls for one in values)
    return Counts(nulls, (before.empties or 0) + sum(one.empties for one in values))


_PLAIN: Final = (pa.binary(), pa.large_binary(), pa.string(), pa.large_string())


def _plain(type_: Any) -> Any:
    """What views, dictionaries and fixed widths are read as."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return pa.large_string() if type_ in {*_PLAIN[2:], pa.string_view()} else pa.large_binary()
