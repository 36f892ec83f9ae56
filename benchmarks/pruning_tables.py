"""Random small tables in every form that geometries come in, and what their rows truly are."""

import io
import json
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

FILES = 3
ROWS_A_GROUP = 6
GROUPS_MAX = 3
SIDES = ("xmin", "ymin", "xmax", "ymax")
CRS84 = "OGC:CRS84"

REGIONS = {
    CRS84: (-180.0, -90.0, 180.0, 90.0),
    "EPSG:3857": (-180.0, -84.0, 180.0, 84.0),
    "EPSG:32633": (9.0, 0.0, 21.0, 80.0),
    "EPSG:3413": (-180.0, 55.0, 180.0, 90.0),
    "EPSG:3035": (-10.0, 35.0, 35.0, 70.0),
    "EPSG:27700": (-7.0, 50.0, 2.0, 60.0),
}
"""Reference systems and where they are used, in degrees."""

FORMS = (
    *("native", "native", "covering", "covering", "flat", "flat", "wkb", "wkb", "undeclared"),
    *("hex", "wkt", "geojson", "geoarrow", "lonlat", "geography", "arcs"),
)
"""`arcs` are geographies whose edges may go anywhere; those of `geography` are short."""
ONLY_DEGREES = {"geojson", "lonlat", "geography", "arcs"}
ONLY_POINTS = {"geoarrow", "lonlat"}


@dataclass
class RandomFile:
    """`groups` are the shapes of each row group, in `crs`; None is null."""

    data: bytes
    groups: list[list[object]]
    crs: str


@dataclass
class RandomTable:
    form: str
    crs: str
    files: list[RandomFile] = field(default_factory=list)

    @property
    def is_geography(self) -> bool:
        return self.form in {"geography", "arcs"}

    @property
    def edges(self) -> str:
        return "spherical" if self.is_geography else "planar"


@cache
def transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


class _Wkb(pa.ExtensionType):
    """Makes pyarrow write the Parquet types GEOMETRY and GEOGRAPHY; never registered."""

    def __init__(self, metadata="{}"):
        self._metadata = metadata
        super().__init__(pa.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self):
        return self._metadata.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls(serialized.decode())


def random_table(random: np.random.Generator) -> RandomTable:
    form = str(random.choice(FORMS))
    crs = CRS84
    if form not in ONLY_DEGREES and random.random() < 0.5:
        crs = str(random.choice(list(REGIONS)))
    table = RandomTable(form, crs)
    to_360 = crs == CRS84 and random.random() < 0.15
    style = _Style.drawn(random)
    for number in range(FILES):
        odd = number == 0 and form in {"native", "covering"} and random.random() < 0.2
        # Only what is impossible in degrees can be told from what it says it is.
        odd = odd and crs == CRS84
        table.files.append(_file(random, table, style, to_360=to_360, odd=odd))
    return table


@dataclass(frozen=True)
class _Style:
    """What one writer does the same in all files."""

    single: bool
    wraps: bool
    big_endian: bool
    srid: bool
    declared: str

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "_Style":
        return cls(
            *(bool(random.random() < 0.5) for _ in range(2)),
            *(bool(random.random() < 0.25) for _ in range(2)),
            str(random.choice(["full", "null", "lying"], p=[0.7, 0.15, 0.15])),
        )


def _file(
    random: np.random.Generator, table: RandomTable, style: _Style, *, to_360: bool, odd: bool
) -> RandomFile:
    """`odd`: its coordinates are in metres, whatever the table says."""
    crs = "EPSG:3857" if odd else table.crs
    count = int(random.integers(1, GROUPS_MAX + 1))
    place = _places(random, crs, 1)[0] if random.random() < 0.7 else None
    groups = [
        _arcs(random, place)
        if table.form == "arcs"
        else _shapes(
            random, crs, place, points=table.form in ONLY_POINTS, spherical=table.is_geography
        )
        for _ in range(count)
    ]
    if to_360:
        groups = [[_in_360(shape) for shape in group] for group in groups]
    columns, geo = _columns(table, style, [shape for group in groups for shape in group])
    arrow = pa.table(columns)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, arrow.schema, store_schema=False) as writer:
        at = 0
        for group in groups:
            writer.write_table(arrow.slice(at, len(group)), row_group_size=max(len(group), 1))
            at += len(group)
        if geo is not None:
            writer.add_key_value_metadata({"geo": json.dumps(geo)})
    return RandomFile(sink.getvalue(), groups, crs)


# Shapes.


def _places(random: np.random.Generator, crs: str, count: int) -> np.ndarray:
    """Coordinates in a reference system, many of them where maps are torn."""
    west, south, east, north = REGIONS[crs]
    lon, lat = random.uniform(west, east, count), random.uniform(south, north, count)
    near = random.random(count) < 0.25
    if east == 180.0:
        lon[near] = random.choice([-180.0, 180.0], near.sum()) + random.normal(0, 1, near.sum())
        lon = np.clip(lon, -180.0, 180.0)
    lat[random.random(count) < 0.1] = north
    x, y = transformer(CRS84, crs).transform(lon, lat)
    return np.column_stack([x, y])


def _shapes(
    random: np.random.Generator, crs: str, place: object, *, points: bool, spherical: bool
) -> list[object]:
    count = int(random.integers(0, ROWS_A_GROUP + 1))
    if random.random() < 0.05:
        return [None] * count
    unit = 1.0 if crs == CRS84 else 1e5
    centres = _places(random, crs, count)
    if place is not None:
        centres = np.asarray(place) + random.normal(0, unit, (count, 2))
        if crs == CRS84:
            centres[:, 1] = np.clip(centres[:, 1], -90, 90)
    size = unit * float(random.choice([1e-6, 0.01, 0.5, 3.0]))
    kinds = ["point"] if points else ["point", "line", "polygon", "multi", "split", "mixed"]
    only = str(random.choice(kinds)) if random.random() < 0.6 else None
    shapes: list[object] = []
    for centre in centres:
        chance = random.random()
        if chance < 0.06:
            shapes.append(None)
        elif chance < 0.10 and not points:
            shapes.append(shapely.from_wkt("POLYGON EMPTY"))
        elif chance < 0.12:
            shapes.append(shapely.Point(centre[0], np.nan))
        elif chance < 0.125:
            shapes.append(shapely.Point(np.inf, centre[1]))
        else:
            kind = only or str(random.choice(kinds))
            shapes.append(_shape(random, kind, centre, size, is_degrees=crs == CRS84))
    if spherical:
        shapes = [shape if shape is None else shapely.segmentize(shape, 0.9) for shape in shapes]
    return shapes


def _arcs(random: np.random.Generator, place: object) -> list[object]:
    """Lines and polygons of a sphere: around poles, over them, across the antimeridian."""
    count = int(random.integers(0, ROWS_A_GROUP + 1))
    size = float(random.choice([0.5, 8.0, 40.0]))
    shapes: list[object] = []
    for centre in _places(random, CRS84, count):
        at = centre if place is None else np.asarray(place) + random.normal(0, size, 2)
        if random.random() < 0.05:
            shapes.append(None)
            continue
        if random.random() < 0.15:  # around a pole
            lon = np.sort(random.uniform(-180, 180, int(random.integers(3, 7))))
            lat = random.uniform(55, 89, len(lon)) * random.choice([-1, 1])
        else:
            lon = at[0] + random.uniform(-size, size, int(random.integers(3, 7)))
            lat = np.clip(at[1] + random.uniform(-size, size, len(lon)), -90, 90)
        vertices = np.column_stack([(lon + 180) % 360 - 180, lat])
        if random.random() < 0.5:
            shapes.append(shapely.Polygon(np.vstack([vertices, vertices[:1]])))
        else:
            shapes.append(shapely.LineString(vertices))
    return shapes


def _shape(
    random: np.random.Generator, kind: str, centre: np.ndarray, size: float, *, is_degrees: bool
) -> object:
    def ring(of: np.ndarray) -> np.ndarray:
        corners = int(random.integers(3, 9))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        around = of + size * random.uniform(0.3, 1, (corners, 1)) * np.column_stack(
            [np.cos(angles), np.sin(angles)]
        )
        if is_degrees:
            around[:, 1] = np.clip(around[:, 1], -90, 90)
        return np.vstack([around, around[:1]])

    match kind:
        case "point":
            return shapely.Point(centre)
        case "line":
            return shapely.LineString(ring(centre)[:-1])
        case "polygon":
            return shapely.Polygon(ring(centre))
        case "multi":
            return shapely.MultiPolygon(
                [shapely.Polygon(ring(centre + at * size)) for at in (0, 3)]
            )
        case "split" if is_degrees:
            y = float(np.clip(centre[1], -89, 89))
            west = shapely.box(-180, y, -180 + min(size, 5), min(y + size, 90))
            east = shapely.box(180 - min(size, 5), y, 180, min(y + size, 90))
            return shapely.MultiPolygon([east, west])
    return shapely.GeometryCollection([shapely.Point(centre), shapely.LineString(ring(centre)[:2])])


def _in_360(shape: object) -> object:
    if shape is None:
        return None

    def moved(xy: np.ndarray) -> np.ndarray:
        # As a whole: a shape must not be torn by being written in other numbers.
        return xy + np.array([360.0 if np.nanmin(xy[:, 0], initial=0.0) < 0 else 0.0, 0.0])

    with np.errstate(invalid="ignore"):
        return shapely.transform(shape, moved)


# Files.


def _columns(table: RandomTable, style: _Style, shapes: list[object]) -> tuple[dict, dict | None]:
    form = table.form
    if form == "lonlat":
        lon, lat = _ordinates(shapes)
        return {"lon": lon, "lat": lat}, None
    if form == "geoarrow":
        x, y = _ordinates(shapes)
        mask = pa.array([shape is None for shape in shapes], pa.bool_())
        points = pa.StructArray.from_arrays([x, y], ["x", "y"], mask=mask)
        return {"geometry": points}, _geo(table, encoding="point")
    if form in {"hex", "wkt", "geojson"}:
        return {"geometry": pa.array([_text(form, shape) for shape in shapes], pa.string())}, None
    values = pa.array([_bytes(table, style, shape) for shape in shapes], pa.binary())
    if form in {"native", "geography", "arcs"}:
        described = {"crs": table.crs} | ({"edges": "spherical"} if table.is_geography else {})
        native = pa.ExtensionArray.from_storage(_Wkb(json.dumps(described)), values)
        return {"geometry": native}, _geo(table) if style.wraps and form == "native" else None
    columns = {"geometry": values}
    if form == "undeclared":
        return columns, None
    extra: dict = {}
    if style.declared == "lying":
        extra["bbox"] = [0.0, 0.0, 1.0, 1.0]
    if form in {"covering", "flat"}:
        sides = _boxes(style, shapes, is_degrees=table.crs == CRS84)
        if form == "covering":
            columns["bbox"] = pa.StructArray.from_arrays(sides, SIDES)
            extra["covering"] = {"bbox": {side: ["bbox", side] for side in SIDES}}
        else:
            columns |= {f"bbox_{side}": array for side, array in zip(SIDES, sides, strict=True)}
    return columns, _geo(table, **extra)


def _geo(table: RandomTable, *, encoding: str = "WKB", **extra: object) -> dict:
    authority, code = table.crs.split(":")
    described = {"encoding": encoding, "geometry_types": [], **extra}
    if table.crs != CRS84:
        described["crs"] = {"id": {"authority": authority, "code": int(code)}}
    return {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": described},
    }


def _ordinates(shapes: list[object]) -> tuple[pa.Array, pa.Array]:
    pairs = [
        (None, None) if shape is None else shapely.get_coordinates(shape)[0] for shape in shapes
    ]
    x, y = zip(*pairs, strict=True) if pairs else ((), ())
    # Parquet's writer keeps NaN out of its statistics; positions with one have no place.
    return pa.array(x, pa.float64(), from_pandas=False), pa.array(
        y, pa.float64(), from_pandas=False
    )


def _text(form: str, shape: object) -> str | None:
    if shape is None:
        return None
    if form == "hex":
        return shapely.to_wkb(shape).hex()
    if form == "wkt":
        return shapely.to_wkt(shape, rounding_precision=-1)
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return "null island"  # JSON has no NaN: such a writer leaves something unreadable
    return shapely.to_geojson(shape)


def _bytes(table: RandomTable, style: _Style, shape: object) -> bytes | None:
    if shape is None:
        return None
    code = table.crs.partition(":")[2]
    order = 0 if style.big_endian else 1
    if style.srid and code.isdigit():
        tagged = shapely.set_srid(shape, int(code))
        return shapely.to_wkb(tagged, include_srid=True, byte_order=order)
    return shapely.to_wkb(shape, byte_order=order)


def _boxes(style: _Style, shapes: list[object], *, is_degrees: bool) -> list[pa.Array]:
    """A box for each row: some writers round to float32, some write xmin > xmax at 180°."""
    rows: list[list[float | None]] = []
    for shape in shapes:
        if shape is None or (style.declared == "null" and shapely.is_empty(shape)):
            rows.append([None] * 4)
            continue
        row: list[float | None] = list(shapely.bounds(shape).tolist())
        xs = shapely.get_coordinates(shape)[:, 0]
        if style.wraps and is_degrees and len(xs) and row[0] == -180 and row[2] == 180:
            row[0], row[2] = float(xs[xs > 0].min()), float(xs[xs < 0].max())
        rows.append(row)
    type_ = pa.float32() if style.single else pa.float64()
    return [
        pa.array([row[at] for row in rows], pa.float64()).cast(type_, safe=False) for at in range(4)
    ]
