"""Small Parquet files in memory, as the writers of this world produce them."""

import io
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq


class GeoArrowWkb(pa.ExtensionType):
    """Makes pyarrow write the Parquet types GEOMETRY and GEOGRAPHY; never registered."""

    def __init__(self, metadata="{}"):
        self._metadata = metadata
        super().__init__(pa.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self):
        return self._metadata.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls(serialized.decode())


def point(x, y, *, order="<"):
    return struct.pack(f"{order}BIdd", 1 if order == "<" else 0, 1, x, y)


def ewkb_point(x, y, srid=4326):
    return struct.pack("<BIIdd", 1, 0x20000001, srid, x, y)


def line(*positions):
    ordinates = [ordinate for position in positions for ordinate in position]
    return struct.pack(f"<BII{len(ordinates)}d", 1, 2, len(positions), *ordinates)


EMPTY_LINE = struct.pack("<BII", 1, 2, 0)


def native(values, **metadata):
    """A column that gets the type GEOMETRY; keywords are GeoArrow metadata such as crs, edges."""
    type_ = GeoArrowWkb(json.dumps(metadata))
    return pa.ExtensionArray.from_storage(type_, pa.array(values, pa.binary()))


def geo(column="geometry", **declared):
    """Metadata of GeoParquet 1.1 for one column."""
    described = {"encoding": "WKB", "geometry_types": [], **declared}
    return {"version": "1.1.0", "primary_column": column, "columns": {column: described}}


def covering(struct_name="bbox"):
    return {"bbox": {side: [struct_name, side] for side in ("xmin", "ymin", "xmax", "ymax")}}


def boxes(rows, type_=None):
    """A struct column of boxes; a None row is a null."""
    type_ = type_ or pa.float64()
    fields = [(side, type_) for side in ("xmin", "ymin", "xmax", "ymax")]
    values = [
        None if row is None else dict(zip(("xmin", "ymin", "xmax", "ymax"), row, strict=True))
        for row in rows
    ]
    return pa.array(values, pa.struct(fields))


def parquet(columns, *, metadata=None, rows_per_group=1024, **options):
    """The bytes of a file; `metadata` becomes its `geo` entry."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, **{"store_schema": False, **options}) as writer:
        writer.write_table(table, row_group_size=rows_per_group)
        if metadata is not None:
            text = metadata if isinstance(metadata, str) else json.dumps(metadata)
            writer.add_key_value_metadata({"geo": text})
    return sink.getvalue()


class Ranges:
    """Reads ranges of bytes, and remembers which."""

    def __init__(self, data):
        self.data = data
        self.requests = []

    def __call__(self, offset, length):
        self.requests.append((offset, length))
        return self.data[offset : offset + length]
