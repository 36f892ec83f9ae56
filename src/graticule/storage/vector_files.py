"""Turns vector files (GeoJSON, FlatGeobuf, GeoPackage, Shapefile, CSV, …) into GeoParquet.

GDAL reads them, in a process of its own: what strangers wrote may end it, fill its memory or, were
it let, send it elsewhere.  So only the drivers of the format are loaded, and no request leaves the
process.  Rows are written in Hilbert order with their boxes in columns, so every engine skips what
a map window does not touch.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Any, Final

import numpy as np

from graticule.domain.errors import Unavailable, UnreadableFile
from graticule.spatial.hilbert import hilbert_order

Json = dict[str, Any]
Progress = Callable[[Json], None]

TIMEOUT_S: Final = 3600.0
MEMORY_BYTES_MAX: Final = 8 * 1024**3
"""Of the process: all rows of a layer are sorted in memory."""
FILE_BYTES: Final = 256 * 1024**2
"""Of rows as Arrow holds them, in one Parquet file."""
ROW_GROUP_BYTES: Final = 16 * 1024**2
ROW_GROUP_ROWS: Final = (1_000, 100_000)

GEOMETRY: Final = "geometry"
BOX_COLUMNS: Final = ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")

DRIVERS: Final = {
    "CSV": ("CSV",),
    "GeoJSON": ("GeoJSON", "GeoJSONSeq"),
    "FlatGeobuf": ("FlatGeobuf",),
    "GeoPackage": ("GPKG",),
    "Shapefile": ("ESRI Shapefile",),
    "KML": ("LIBKML", "KML"),
    "GML": ("GML",),
    "TopoJSON": ("TopoJSON",),
}
"""Of GDAL, by the name that discovery has for a format."""

_PREFIXES: Final = {"FlatGeobuf": b"fgb", "GeoPackage": b"SQLite format 3\0"}
_POSITIONS: Final = {
    "X_POSSIBLE_NAMES": "lon,lng,long,longitude,x,easting",
    "Y_POSSIBLE_NAMES": "lat,latitude,y,northing",
    "GEOM_POSSIBLE_NAMES": "wkt,geom,geometry,the_geom",
    "KEEP_GEOM_COLUMNS": "YES",
    "AUTODETECT_TYPE": "YES",
}
_LONGITUDES: Final = {"lon", "lng", "long", "longitude"}
_LATITUDES: Final = {"lat", "latitude"}
_SECRET_PREFIXES: Final = ("GRATICULE_", "AWS_")
_NO_NETWORK: Final = dict.fromkeys(("GDAL_HTTP_PROXY", "GDAL_HTTPS_PROXY"), "http://127.0.0.1:1")
"""Where nobody answers: some formats name schemas to be downloaded."""
_WANTED: Final = "CONVERSION_DRIVERS"


@dataclass(frozen=True, slots=True)
class ConvertedLayer:
    """What became of one layer of the files: Parquet files in the order of their rows."""

    name: str
    files: tuple[Path, ...]
    rows: int


def convert(
    files: Sequence[Path],
    format_: str,
    into: Path,
    *,
    progress: Progress = lambda _: None,
    timeout_s: float = TIMEOUT_S,
) -> list[ConvertedLayer]:
    """Convert files of one format; layers of one name are one layer.  `into` is an empty folder.

    `progress` is called with what has been done, and may raise to stop.

    Raises:
        UnreadableFile: a file is not what it is taken for, its layers do not go together, or
            reading it took more memory or time than there is for it.
        Unavailable: GDAL is not installed.
    """
    request = {"files": [str(file) for file in files], "format": format_, "into": str(into)}
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(format_),
        cwd=into,
    )
    if process.stdin is None or process.stdout is None:
        raise Unavailable("the process that converts files has no pipes")
    stop = Timer(timeout_s, process.kill)
    stop.start()
    layers: list[ConvertedLayer] | None = None
    try:
        with process.stdin:
            process.stdin.write(json.dumps(request).encode())
        for line in process.stdout:
            said = json.loads(line)
            if "unreadable" in said:
                raise UnreadableFile(said["unreadable"])
            if "layers" in said:
                layers = [
                    ConvertedLayer(layer["name"], tuple(map(Path, layer["files"])), layer["rows"])
                    for layer in said["layers"]
                ]
            else:
                progress(said)
    finally:
        stop.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    if layers is None:
        raise UnreadableFile(
            "reading it ended the process that tried: it may need more than "
            f"{MEMORY_BYTES_MAX // 1024**3} GiB of memory or {timeout_s:.0f} s"
        )
    return layers


def _environment(format_: str) -> dict[str, str]:
    """Without our secrets, and with none but the drivers that are needed.

    A file may be anything, whatever its name says: a VRT file, for one, names other files.
    """
    wanted = DRIVERS[format_]
    skipped = sorted(set(_drivers()) - set(wanted))
    return {**_kept(), "GDAL_SKIP": ",".join(skipped), _WANTED: ",".join(wanted)}


@cache
def _drivers() -> frozenset[str]:
    """All that this GDAL has: loaded in a process of its own, since it is big."""
    script = "import pyogrio; print('\\n'.join(pyogrio.list_drivers()))"
    listed = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", script], capture_output=True, env=_kept(), check=False
    )
    if listed.returncode:
        raise Unavailable(
            "GDAL is not installed on the server; "
            "it comes with the extra `convert`: pip install 'graticule[convert]'"
        )
    return frozenset(listed.stdout.decode().splitlines())


def _kept() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_SECRET_PREFIXES)}
    return {**kept, **_NO_NETWORK}


# In the process.


class _NotReadableError(Exception):
    """Its message is for whoever asked for the conversion."""


def _work() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    try:
        _check_drivers()
        request = json.load(sys.stdin)
        _say({"layers": list(_layers(request))})
    except _NotReadableError as error:
        _say({"unreadable": str(error)})
    except MemoryError:
        _say({"unreadable": "it needs more memory than there is for a conversion"})


def _say(what: Json) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _check_drivers() -> None:
    import pyogrio  # noqa: PLC0415

    wanted, loaded = set(os.environ[_WANTED].split(",")), set(pyogrio.list_drivers())
    if not loaded:
        raise _NotReadableError(f"this GDAL cannot read {' or '.join(sorted(wanted))} files")
    if not loaded <= wanted:
        raise _NotReadableError("GDAL loads drivers that it was told to skip")


def _layers(request: Mapping[str, Any]) -> Iterator[Json]:
    """Convert; a layer that all files have in common, or the only one of each, is one table."""
    parts: dict[str, list[tuple[Path, str]]] = {}
    names = {Path(file): _layer_names(Path(file), request["format"]) for file in request["files"]}
    is_single = all(len(layers) == 1 for layers in names.values())
    for file, layers in names.items():
        for layer in layers:
            parts.setdefault("" if is_single else layer, []).append((file, layer))
    done = 0
    for number, (name, of_layer) in enumerate(parts.items()):
        read = []
        for file, layer in of_layer:
            read.append(_read(file, layer, request["format"]))
            done += read[-1].table.num_rows
            _say({"phase": "reading", "rows": done})
        whole = _Layer.of_all(read)
        folder = Path(request["into"]) / f"{number:05d}"
        folder.mkdir()
        written = [str(file) for file in whole.write(folder)]
        yield {"name": name, "files": written, "rows": whole.table.num_rows}


def _source(file: Path) -> str:
    if file.name.lower().endswith(".gz"):
        return f"/vsigzip/{file}"
    return f"/vsizip/{file}" if file.name.lower().endswith(".zip") else str(file)


def _layer_names(file: Path, format_: str) -> list[str]:
    import pyogrio  # noqa: PLC0415

    beginning = _PREFIXES.get(format_, b"")
    with file.open("rb") as opened:
        if opened.read(len(beginning)) != beginning:
            raise _NotReadableError(f"`{file.name}` is no {format_} file")
    try:
        names = [str(name) for name, _type in pyogrio.list_layers(_source(file))]
    except pyogrio.errors.DataSourceError as error:
        raise _not_readable(file, format_, error) from error
    if not names:
        raise _NotReadableError(f"`{file.name}` cannot be read as {format_}: it holds no layer")
    return names


def _read(file: Path, layer: str, format_: str) -> "_Layer":
    import pyogrio  # noqa: PLC0415

    options = _POSITIONS if format_ == "CSV" else {}
    try:
        meta, table = pyogrio.read_arrow(_source(file), layer=layer, **options)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise _not_readable(file, format_, error) from error
    except RuntimeError as error:
        raise _not_readable(file, format_, error) from error
    return _Layer.of_gdal(table, meta["geometry_name"] or "wkb_geometry", file.name)


def _not_readable(file: Path, format_: str, error: Exception) -> _NotReadableError:
    said = str(error).partition("; ")[0].replace(f"{file.parent}/", "")
    return _NotReadableError(f"`{file.name}` cannot be read as {format_}: {said}")


@dataclass(frozen=True, slots=True)
class _Layer:
    """Rows with a column of WKB, if they have geometries, and its reference system as PROJJSON."""

    table: Any
    crs: Json | None
    source: str

    @classmethod
    def of_gdal(cls, table: Any, geometry: str, source: str) -> "_Layer":
        import pyarrow as pa  # noqa: PLC0415

        if geometry not in table.column_names:
            return cls(_without_extensions(table), None, source)
        position = table.column_names.index(geometry)
        metadata = table.schema.field(position).metadata or {}
        crs = json.loads(metadata.get(b"ARROW:extension:metadata") or b"{}").get("crs")
        values = table.column(position)
        others = _without_extensions(table.remove_column(position))
        field = pa.field(_unused(GEOMETRY, others.column_names), pa.binary())
        return cls(others.append_column(field, values), crs, source)

    @classmethod
    def of_all(cls, layers: Sequence["_Layer"]) -> "_Layer":
        import pyarrow as pa  # noqa: PLC0415

        first = layers[0]
        other = next((layer for layer in layers if layer.crs != first.crs), None)
        if other is not None:
            raise _NotReadableError(
                f"`{other.source}` is in another reference system than `{first.source}`"
            )
        try:
            table = pa.concat_tables(
                [layer.table for layer in layers], promote_options="permissive"
            )
        except pa.ArrowException as error:
            raise _NotReadableError(f"the files' columns do not go together: {error}") from error
        return cls(table, first.crs, first.source)

    def write(self, folder: Path) -> Iterator[Path]:
        """Parquet files, in Hilbert order of the boxes of their rows."""
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
            _say({"phase": "writing", "rows": min(at + file_rows, table.num_rows)})
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


def _without_extensions(table: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    schema = pa.schema([pa.field(field.name, field.type) for field in table.schema])
    return table.cast(schema)


def _unused(name: str, taken: Sequence[str]) -> str:
    lowered = {other.lower() for other in taken}
    if name.lower() in lowered:
        raise _NotReadableError(f"a column is called `{name}` already; rename it")
    return name


if __name__ == "__main__":
    _work()
