"""One layer of vector files, as GDAL reads it, made into GeoParquet.

Rows are written in Hilbert order with their boxes in columns, so every engine skips what a map
window does not touch.  Runs in the process of a conversion, which alone needs these libraries.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from graticule.spatial.hilbert import hilbert_order

Json = dict[str, Any]

FILE_BYTES: Final = 256 * 1024**2
"""Of rows as Arrow holds them, in one Parquet file."""
ROW_GROUP_BYTES: Final = 16 * 1024**2
ROW_GROUP_ROWS: Final = (1_000, 100_000)

GEOMETRY: Final = "geometry"
BOX_COLUMNS: Final = ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")

_LONGITUDES: Final = {"lon", "lng", "long", "longitude"}
_LATITUDES: Final = {"lat", "latitude"}


class NotReadableError(Exception):
    """Its message is for whoever asked for the conversion."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Rows with a column of WKB, if they have geometries, and its reference system as PROJJSON."""

    table: Any
    crs: Json | None
    source: str

    @classmethod
    def of_gdal(cls, table: Any, geometry: str, source: str) -> "Layer":
        import pyarrow as pa  # noqa: PLC0415

        _refuse_broken_text(table, source)
        if geometry not in table.column_names:
            return cls(_without_extensions(table), None, source)
        position = table.column_names.index(geometry)
        metadata = table.schema.field(position).metadata or {}
        crs = json.loads(metadata.get(b"ARROW:extension:metadata") or b"{}").get("crs")
        values = table.column(position)
        others = _without_extensions(table.remove_column(position))
        field = pa.field(_unused(GEOMETRY, others.column_names), pa.binary())
        # Not by appending: without any other column there are no rows to append to.
        whole = pa.Table.from_arrays([*others.columns, values], schema=others.schema.append(field))
        return cls(whole, crs, source)

    @classmethod
    def of_all(cls, layers: Sequence["Layer"]) -> "Layer":
        import pyarrow as pa  # noqa: PLC0415

        first = layers[0]
        other = next((layer for layer in layers if layer.crs != first.crs), None)
        if other is not None:
            raise NotReadableError(
                f"`{other.source}` is in another reference system than `{first.source}`"
            )
        try:
            table = pa.concat_tables(
                [layer.table for layer in layers], promote_options="permissive"
            )
        except pa.ArrowException as error:
            raise NotReadableError(f"the files' columns do not go together: {error}") from error
        return cls(table, first.crs, first.source)

    def write(self, folder: Path, written: Callable[[int], None]) -> Iterator[Path]:
        """Parquet files, in Hilbert order of the boxes of their rows; `written` hears of rows."""
        import pyarrow.parquet as pq  # noqa: PLC0415

        table = self._sorted() if GEOMETRY in self.table.column_names else self.table
        bytes_per_row = max(1, table.nbytes // max(1, table.num_rows))
        group_rows = min(
            max(ROW_GROUP_BYTES // bytes_per_row, ROW_GROUP_ROWS[0]), ROW_GROUP_ROWS[1]
        )
        file_rows = max(FILE_BYTES // bytes_per_row, group_rows)
        for number, at in enumerate(range(0, max(1, table.num_rows), file_rows)):
            path = folder / f"{number:05d}.parquet"
            part = table.slice(at, file_rows)
            pq.write_table(part, path, compression="zstd", row_group_size=group_rows)
            written(min(at + file_rows, table.num_rows))
            yield path

    def _sorted(self) -> Any:
        import pyarrow as pa  # noqa: PLC0415
        import shapely  # noqa: PLC0415

        wkb = self.table.column(GEOMETRY)
        shapes = shapely.from_wkb(wkb.to_numpy(zero_copy_only=False), on_invalid="ignore")
        boxes = shapely.bounds(shapes)
        kinds = sorted({_kind(shape) for shape in shapes if shape is not None})
        table = self.table
        for name, values in zip(BOX_COLUMNS, boxes.T, strict=True):
            column = pa.array(values, from_pandas=True)  # of nothing and of emptiness: null
            table = table.append_column(_unused(name, table.column_names), column)
        order = hilbert_order(np.where(np.isnan(boxes), np.inf, boxes))
        whole = (
            np.nanmin(boxes[:, :2], 0, initial=np.inf),
            np.nanmax(boxes[:, 2:], 0, initial=-np.inf),
        )
        column = {"encoding": "WKB", "geometry_types": kinds, "crs": self._projjson(whole)}
        if np.isfinite(whole).all():
            column["bbox"] = [float(side) for side in np.concatenate(whole)]
        geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
        table = table.take(pa.array(order)).replace_schema_metadata({"geo": json.dumps(geo)})
        position = table.column_names.index(GEOMETRY)
        type_ = _wkb_type(column["crs"])
        shapes = [
            pa.ExtensionArray.from_storage(type_, chunk) for chunk in table.column(position).chunks
        ]
        return table.set_column(position, GEOMETRY, pa.chunked_array(shapes, type_))

    def _projjson(self, box: tuple[Any, Any]) -> Json | None:
        """Of positions in a text file only their columns' names can tell."""
        if self.crs is not None:
            return self.crs
        names = {name.lower() for name in self.table.column_names}
        if not (names & _LONGITUDES and names & _LATITUDES):
            return None
        (xmin, ymin), (xmax, ymax) = box
        if not (-180 <= xmin <= xmax <= 180 and -90 <= ymin <= ymax <= 90):
            return None
        from pyproj import CRS  # noqa: PLC0415

        return dict(CRS.from_user_input("OGC:CRS84").to_json_dict())


def _wkb_type(crs: Json | None) -> Any:
    """For it pyarrow writes the Parquet type GEOMETRY.

    GeoParquet's metadata alone would do for most engines, but with a reference system in it DuckDB
    cannot read the column of an Iceberg table.
    """
    import pyarrow as pa  # noqa: PLC0415

    class Wkb(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.binary(), "geoarrow.wkb")

        def __arrow_ext_serialize__(self) -> bytes:
            return b"{}" if crs is None else json.dumps({"crs": crs}).encode()

        @classmethod
        def __arrow_ext_deserialize__(cls, _storage: Any, _text: bytes) -> "Wkb":
            return cls()

    return Wkb()


def _kind(shape: Any) -> str:
    return f"{shape.geom_type} Z" if shape.has_z else str(shape.geom_type)


def _refuse_broken_text(table: Any, source: str) -> None:
    """Text that is passed on as it came, such as that of a CSV file, may be in any encoding."""
    import pyarrow as pa  # noqa: PLC0415

    for name, column in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise NotReadableError(
                f"`{source}` holds text in column `{name}` that is not UTF-8; save it as UTF-8"
            ) from error


def _without_extensions(table: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    schema = pa.schema([pa.field(field.name, field.type) for field in table.schema])
    return table.cast(schema)


def _unused(name: str, taken: Sequence[str]) -> str:
    lowered = {other.lower() for other in taken}
    if name.lower() in lowered:
        raise NotReadableError(f"a column is called `{name}` already; rename it")
    return name
