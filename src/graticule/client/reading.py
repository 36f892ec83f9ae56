"""Read rows of listed files as the table's columns: deleted rows left out, in the table's schema.

PyIceberg knows field ids, name mappings, promotions of types and stores; what it lacks is reading
some row groups of a file, so the files themselves are read here.
"""

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import from_json
from pyiceberg.exceptions import ResolveError
from pyiceberg.io import load_file_io
from pyiceberg.io.pyarrow import _to_requested_schema, pyarrow_to_schema, schema_to_pyarrow
from pyiceberg.schema import Schema, prune_columns
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import ListType, MapType, NestedField, PrimitiveType

from graticule.client.deleted_rows import DeletedRows
from graticule.client.errors import ClientError
from graticule.client.listing import FileListing, ListedFile
from graticule.spatial.row_matches import RowFilter

Json = dict[str, Any]

FILES_AT_ONCE: Final = min(8, 2 * (os.cpu_count() or 1))
READ_WHOLE_BYTES_MAX: Final = 256 * 1024
"""So few bytes cost less in one request than a footer and some row groups in several."""
_GEOSPATIAL: Final = re.compile(r"(geometry|geography)\s*(\(.*\))?", re.IGNORECASE)
_TYPED: Final = frozenset({"type", "fields", "element", "key", "value"})
"""Members of a schema that are, or hold, types."""
_POINT_TYPE: Final = 1
_POINT: Final = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


class RowReader:
    """Reads the files of one listing; `schema` is that of the rows."""

    def __init__(
        self,
        loaded: Json,
        listing: FileListing,
        *,
        columns: Sequence[str] | None,
        is_time_travel: bool,
        catalog_uri: str,
        token: str | None,
    ) -> None:
        """`loaded` is the answer of loadTable.

        Raises:
            ClientError: a column that the table does not have.
        """
        self._listing = listing
        self._metadata = TableMetadataUtil.parse_obj(_readable(loaded["metadata"]))
        properties = {"uri": catalog_uri, **_storage(loaded)}
        if token is not None:
            properties["token"] = token
        self._io = load_file_io(properties, loaded["metadata"]["location"])
        table = self._metadata.schema()
        schema = _schema_of(self._metadata, listing.snapshot_id) if is_time_travel else table
        self._table_schema = schema
        self._place = _place_names(listing, table, schema)
        every = [field.name for field in schema.fields]
        self._names = list(columns) if columns is not None else every
        unknown = [name for name in self._names if name not in every]
        if unknown:
            raise ClientError(f"the table has no column `{unknown[0]}`; it has {', '.join(every)}")
        self._projected = schema.select(*self._names, *self._place)
        arrow = schema_to_pyarrow(schema, include_field_ids=False)
        self.schema: pa.Schema = pa.schema([arrow.field(name) for name in self._names])
        self._deleted = DeletedRows(self._io, self._parquet, self._with_ids)

    def batches(self, row_filter: RowFilter) -> Iterator[pa.RecordBatch]:
        """The rows that the filter keeps, file after file; some files are read ahead.

        Raises:
            ClientError: a file is in a format or has deletes that cannot be read.
        """
        waiting: deque[Future[list[pa.RecordBatch]]] = deque()
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            for file in self._listing.files:
                waiting.append(pool.submit(self._read, file, row_filter))
                if len(waiting) > FILES_AT_ONCE:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    def _read(self, file: ListedFile, row_filter: RowFilter) -> list[pa.RecordBatch]:
        if file.row_groups == ():
            return []
        deleted = self._deleted.of(file)
        needed = self._projected
        if deleted.equality_ids:
            needed = self._with_ids(deleted.equality_ids | set(needed.field_ids))
        found = []
        for start, batch in self._parquet(file.data_file, needed, file.row_groups):
            kept = deleted.kept(batch, start, needed)
            rows = batch if kept is None else batch.filter(pa.array(kept))
            rows = rows.filter(pa.array(self._in_area(rows, row_filter)))
            if rows.num_rows:
                table = pa.Table.from_batches([rows.select(self._names)]).cast(self.schema)
                found += table.to_batches()
        return found

    def _in_area(self, rows: pa.RecordBatch, row_filter: RowFilter) -> npt.NDArray[np.bool_]:
        if len(self._place) == 2:
            x, y = (_floats(rows[name]) for name in self._place)
            return row_filter.of_positions(x, y)
        geometries = rows[self._place[0]]
        points = _points(geometries)
        if points is not None:
            return row_filter.of_positions(*points)
        return row_filter.of_wkb(geometries.to_numpy(zero_copy_only=False))

    def _parquet(
        self, data_file: Mapping[str, Any], needed: Schema, row_groups: Sequence[int] | None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches in the schema `needed`, each with the place in the file of its first row."""
        path = data_file["file-path"]
        if data_file["file-format"].lower() != "parquet":
            raise ClientError(f"`{path}` is no Parquet file, and others are not read")
        with self._io.new_input(path).open() as source:
            is_small = data_file["file-size-in-bytes"] <= READ_WHOLE_BYTES_MAX
            whole = pa.BufferReader(source.read()) if is_small else source
            file = pq.ParquetFile(whole, pre_buffer=True)
            physical = _plain(file.schema_arrow)
            schema = self._file_schema(physical)
            projected = prune_columns(schema, _leaf_ids(needed), select_full_types=False)
            names = [field.name for field in projected.columns]
            if not names:
                return  # then all that is needed is null, and null lies nowhere
            constants = self._constants(data_file, needed, schema)
            count = file.metadata.num_row_groups
            starts = np.cumsum(
                [0, *(file.metadata.row_group(at).num_rows for at in range(count))]
            ).tolist()
            for group in range(count) if row_groups is None else row_groups:
                start = starts[group]
                for batch in _batches(file, group, names):
                    yield start, self._requested(batch, needed, projected, constants, path)
                    start += batch.num_rows

    def _requested(
        self,
        batch: pa.RecordBatch,
        needed: Schema,
        projected: Schema,
        constants: dict[int, Any],
        path: str,
    ) -> pa.RecordBatch:
        try:
            return _to_requested_schema(
                needed,
                projected,
                batch,
                downcast_ns_timestamp_to_us=self._metadata.format_version <= 2,
                projected_missing_fields=constants,
                allow_timestamp_tz_mismatch=True,
            )
        except (ResolveError, ValueError) as error:
            raise ClientError(f"`{path}` does not fit the table's schema: {error}") from error

    def _file_schema(self, physical: pa.Schema) -> Schema:
        """The file's columns with the table's field ids; what the table does not know is left."""
        mapping = self._metadata.name_mapping()
        if mapping is not None and not _has_ids(physical):
            known = {name for field in mapping for name in field.names}
            physical = pa.schema([field for field in physical if field.name in known])
        return pyarrow_to_schema(
            physical,
            mapping,
            downcast_ns_timestamp_to_us=self._metadata.format_version <= 2,
            format_version=self._metadata.format_version,
        )

    def _constants(
        self, data_file: Mapping[str, Any], needed: Schema, schema: Schema
    ) -> dict[int, Any]:
        """Values of columns that are in no file but in its partition, by field id."""
        spec = self._metadata.specs().get(data_file["spec-id"])
        constants: dict[int, Any] = {}
        for field, value in zip(spec.fields if spec else (), data_file["partition"], strict=False):
            source = field.source_id
            missing = source in needed.field_ids and source not in schema.field_ids
            if missing and value is not None and isinstance(field.transform, IdentityTransform):
                type_ = needed.find_type(source)
                if isinstance(type_, PrimitiveType):
                    constants[source] = from_json(type_, value)
        return constants

    def _with_ids(self, ids: AbstractSet[int]) -> Schema:
        """Columns by id; one that was dropped is found in the schemas of the past.

        Raises:
            ClientError: no schema knows one of them.
        """
        found: dict[int, NestedField] = {}
        for schema in (self._table_schema, *self._metadata.schemas):
            for field in schema.fields:
                if not ids.isdisjoint(Schema(field).field_ids):
                    found.setdefault(field.field_id, field)
        known = Schema(*found.values())
        if not ids <= known.field_ids:
            raise ClientError("rows are deleted by a column that the table never had")
        return known


# The table.


def _readable(document: Json) -> Json:
    """The metadata with geometries as what they are in files: bytes.  PyIceberg reads no others."""
    schemas = {name: document[name] for name in ("schema", "schemas") if name in document}
    return document | {name: _with_bytes(value) for name, value in schemas.items()}


def _with_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _type(item) if name in _TYPED else item for name, item in value.items()}


def _type(value: Any) -> Any:
    if isinstance(value, str):
        return "binary" if _GEOSPATIAL.fullmatch(value) else value
    return _with_bytes(value)


def _storage(loaded: Json) -> Json:
    """How to reach the files: the credential whose prefix fits the table's location best."""
    location = str(loaded["metadata"]["location"])
    credentials = sorted(
        loaded.get("storage-credentials") or [],
        key=lambda each: (location.startswith(each["prefix"]), len(each["prefix"])),
    )
    config = dict(loaded.get("config") or {})
    return config | (credentials[-1]["config"] if credentials else {})


def _schema_of(metadata: TableMetadata, snapshot_id: int | None) -> Schema:
    """The schema that a snapshot was written in."""
    snapshot = None if snapshot_id is None else metadata.snapshot_by_id(snapshot_id)
    for schema in metadata.schemas:
        if snapshot is not None and schema.schema_id == snapshot.schema_id:
            return schema
    return metadata.schema()


def _place_names(listing: FileListing, table: Schema, schema: Schema) -> tuple[str, ...]:
    """What the columns of the place, told in the current schema, are called in another."""
    told = (listing.column,) if listing.column is not None else (listing.positions or ())
    top = {field.field_id: field.name for field in schema.fields}
    names = []
    for name in told:
        name_there = top.get(table.find_field(name).field_id)
        if name_there is None:
            raise ClientError(
                f"the column `{name}` is nested, or not in the schema of the snapshot"
            )
        names.append(name_there)
    return tuple(names)


# Files.


def _has_ids(physical: pa.Schema) -> bool:
    return any(b"PARQUET:field_id" in (field.metadata or {}) for field in physical)


def _leaf_ids(schema: Schema) -> set[int]:
    """As PyIceberg asks for columns: lists and maps by what is in them."""
    return {i for i in schema.field_ids if not isinstance(schema.find_type(i), MapType | ListType)}


def _plain(schema: pa.Schema) -> pa.Schema:
    """Without extension types, which are there or not as other imports of the process decide."""
    return pa.schema([field.with_type(_plain_type(field.type)) for field in schema])


def _plain_type(type_: pa.DataType) -> pa.DataType:
    if isinstance(type_, pa.BaseExtensionType):
        return type_.storage_type
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _batches(file: pq.ParquetFile, group: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches(row_groups=[group], columns=names, use_threads=False):
        plain = _plain(batch.schema)
        arrays = [_plain_array(array) for array in batch.columns]
        yield pa.RecordBatch.from_arrays(arrays, schema=plain)


def _plain_array(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        return array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


# Places of rows.


def _floats(array: pa.Array) -> npt.NDArray[np.float64]:
    """Numbers, NaN for null."""
    return np.asarray(array.to_numpy(zero_copy_only=False), np.float64)


def _points(
    geometries: pa.Array,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """The coordinates when all are little-endian points, which need not be parsed one by one."""
    types = {pa.binary(): np.int32, pa.large_binary(): np.int64}
    count = len(geometries)
    if geometries.type not in types or geometries.null_count or not count:
        return None
    _, offsets, values = geometries.buffers()
    ends = np.frombuffer(offsets, types[geometries.type])[geometries.offset :][: count + 1]
    if bool((np.diff(ends) != _POINT.itemsize).any()):
        return None
    points = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]].view(_POINT)
    if not bool(((points["order"] == 1) & (points["type"] == _POINT_TYPE)).all()):
        return None
    return points["x"].astype(np.float64), points["y"].astype(np.float64)
