"""Turns vector files (GeoJSON, FlatGeobuf, GeoPackage, Shapefile, CSV, …) into GeoParquet.

GDAL reads them, in a process of its own: what strangers wrote may end it, fill its memory or, were
it let, send it elsewhere.  So only the drivers of the format are loaded, and no request leaves the
process.
"""

import json
import os
import re
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

from graticule.domain.errors import Unavailable, UnreadableFile
from graticule.storage.vector_layers import Layer, NotReadableError

Json = dict[str, Any]
Progress = Callable[[Json], None]

TIMEOUT_S: Final = 3600.0
MEMORY_BYTES_MAX: Final = 8 * 1024**3
"""Of the process: all rows of a layer are sorted in memory."""
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
_PARQUET: Final = b"PAR1"
_BEGINNING_BYTES: Final = 16
_OWN_SOURCE: Final = re.compile(r"In file \S+, at line \d+, return \S+")
"""What GDAL says of itself where it has nothing to say of the file."""
_POSITIONS: Final = {
    "X_POSSIBLE_NAMES": "lon,lng,long,longitude,x,easting",
    "Y_POSSIBLE_NAMES": "lat,latitude,y,northing",
    "GEOM_POSSIBLE_NAMES": "wkt,geom,geometry,the_geom",
    "KEEP_GEOM_COLUMNS": "YES",
    "AUTODETECT_TYPE": "YES",
}
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


def _work() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    try:
        _check_drivers()
        request = json.load(sys.stdin)
        _say({"layers": list(_layers(request))})
    except NotReadableError as error:
        _say({"unreadable": str(error)})
    except MemoryError:
        _say({"unreadable": "it needs more memory than there is for a conversion"})
    # What libraries do not foresee is told as well: nobody sees where this process writes errors.
    except Exception as error:  # noqa: BLE001
        _say({"unreadable": f"its rows cannot be made into a table: {error}"})


def _say(what: Json) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _check_drivers() -> None:
    import pyogrio  # noqa: PLC0415

    wanted, loaded = set(os.environ[_WANTED].split(",")), set(pyogrio.list_drivers())
    if not loaded:
        raise NotReadableError(f"this GDAL cannot read {' or '.join(sorted(wanted))} files")
    if not loaded <= wanted:
        raise NotReadableError("GDAL loads drivers that it was told to skip")


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
        whole = Layer.of_all(read)
        folder = Path(request["into"]) / f"{number:05d}"
        folder.mkdir()
        files = whole.write(folder, lambda rows: _say({"phase": "writing", "rows": rows}))
        written = [str(file) for file in files]
        yield {"name": name, "files": written, "rows": whole.table.num_rows}


def _source(file: Path) -> str:
    if file.name.lower().endswith(".gz"):
        return f"/vsigzip/{file}"
    return f"/vsizip/{file}" if file.name.lower().endswith(".zip") else str(file)


def _layer_names(file: Path, format_: str) -> list[str]:
    import pyogrio  # noqa: PLC0415

    with file.open("rb") as opened:
        beginning = opened.read(_BEGINNING_BYTES)
    if beginning.startswith(_PARQUET):
        raise NotReadableError(
            f"`{file.name}` is a Parquet file, whatever its name says; with the suffix .parquet a "
            "scan finds it"
        )
    if not beginning.startswith(_PREFIXES.get(format_, b"")):
        raise NotReadableError(f"`{file.name}` is no {format_} file")
    try:
        names = [str(name) for name, _type in pyogrio.list_layers(_source(file))]
    except pyogrio.errors.DataSourceError as error:
        raise _not_readable(file, format_, error) from error
    if not names:
        raise NotReadableError(f"`{file.name}` cannot be read as {format_}: it holds no layer")
    return names


def _read(file: Path, layer: str, format_: str) -> Layer:
    import pyogrio  # noqa: PLC0415

    options = _POSITIONS if format_ == "CSV" else {}
    try:
        meta, table = pyogrio.read_arrow(_source(file), layer=layer, **options)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise _not_readable(file, format_, error) from error
    except RuntimeError as error:
        raise _not_readable(file, format_, error) from error
    return Layer.of_gdal(table, meta["geometry_name"] or "wkb_geometry", file.name)


def _not_readable(file: Path, format_: str, error: Exception) -> NotReadableError:
    said = str(error).partition("; ")[0].replace(f"{file.parent}/", "")
    said = _OWN_SOURCE.sub("it is damaged, or not packed as its name says", said)
    return NotReadableError(f"`{file.name}` cannot be read as {format_}: {said}")


if __name__ == "__main__":
    _work()
