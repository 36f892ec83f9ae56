"""Search random tables in random windows: no file and no row group with a hit may be left out.

Every case is a table and a window.  Its boxes are found in all the ways there are (footers,
geometries, virtual columns, bounds in manifests), and what they leave is compared with the rows
themselves, which shapely intersects with the window.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import shapely

from benchmarks.pruning_tables import (
    CRS84,
    REGIONS,
    RandomFile,
    RandomTable,
    random_table,
    transformer,
)
from benchmarks.report import OURS, Options, Result
from graticule.discovery.inspection import FileInspection, GeometryInspection
from graticule.discovery.registration import virtual_values
from graticule.domain.errors import InvalidRequest, UnreadableFile
from graticule.iceberg.values import encode_value
from graticule.planning.entry_boxes import boxes_from_manifests
from graticule.planning.file_columns import FileColumns
from graticule.planning.file_matches import match_files, match_row_groups
from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex
from graticule.planning.row_group import RowGroup
from graticule.planning.table_places import crs_of, place_of
from graticule.services.planning.footer_boxes import FooterReader, PlaceInFiles
from graticule.spatial.bounding_box import UNKNOWN, FileBox
from graticule.spatial.box_columns import FILE_BOX_COLUMNS
from graticule.spatial.crs import Crs, agreed
from graticule.spatial.search_area import SearchArea
from graticule.storage.parquet import inspect
from graticule.storage.parquet_computed import compute_boxes, compute_part

CASES = 100_000
PARTS = 8
WINDOWS_A_TABLE = 100
SEED = 20_261_122
PLACES_AN_ARC = 9
SHIFTS = (0.0, 360.0, -360.0)


@dataclass
class Tally:
    cases: int = 0
    tables: int = 0
    hits: int = 0
    files_looked_at: Counter = field(default_factory=Counter)
    files_kept: Counter = field(default_factory=Counter)
    forms: Counter = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.cases += other.cases
        self.tables += other.tables
        self.hits += other.hits
        self.files_looked_at += other.files_looked_at
        self.files_kept += other.files_kept
        self.forms += other.forms
        self.wrongs += other.wrongs


def run(options: Options) -> Result:
    result = Result("Files wrongly left out of searches")
    result.notes.append(
        "A case is a random table of three files and a random window in one of six reference "
        "systems; files are left out by footers, computed boxes, those that a job computes slice "
        "by slice, virtual columns and bounds in manifests. A wrong is a row that the window meets "
        "in a file or row group left out."
    )
    cases = CASES // (20 if options.quick else 1)
    tally = Tally()
    with ProcessPoolExecutor() as pool:
        for part in pool.map(search, [cases // PARTS] * PARTS, range(SEED, SEED + PARTS)):
            tally.add(part)
    result.add(f"{cases:,} random cases", OURS, wrongs=len(tally.wrongs), **_figures(tally))
    for way in sorted(tally.files_looked_at):
        kept, looked = tally.files_kept[way], tally.files_looked_at[way]
        result.add(f"files kept by {way}", OURS, share=round(kept / looked, 3))
    result.headlines["wrongly_dropped"] = float(len(tally.wrongs))
    result.headlines["random_cases"] = float(tally.cases)
    result.notes += tally.wrongs[:20]
    return result


def _figures(tally: Tally) -> dict[str, object]:
    return {"tables": tally.tables, "hits": tally.hits, "forms": dict(sorted(tally.forms.items()))}


def search(cases: int, seed: int) -> Tally:
    """Count what goes wrong in so many cases."""
    random = np.random.default_rng(seed)
    tally = Tally()
    while tally.cases < cases:
        state = random.bit_generator.state
        table = random_table(random)
        searched = _Searched.of(table)
        for area, windows in _areas(random, table, min(WINDOWS_A_TABLE, cases - tally.cases)):
            tally.cases += 1
            _judge(tally, searched, area, windows)
        tally.tables += 1
        tally.forms[table.form] += 1
        if tally.wrongs and not tally.wrongs[0].endswith("]"):
            tally.wrongs[0] += f" [{state['state']}]"
    return tally


# Windows.


def _areas(
    random: np.random.Generator, table: RandomTable, count: int
) -> Iterator[tuple[SearchArea, list[object]]]:
    """Areas near the rows, with the shapes that they are made of."""
    vertices = [_vertices(file, arcs=table.form == "arcs") for file in table.files]
    for _ in range(count):
        crs = _query_crs(random, table)
        numbers = table.crs if crs is None else crs
        degrees = numbers == CRS84
        centre = _centre(random, table, vertices, numbers)
        unit = 1.0 if degrees else 1e5
        half = unit * random.choice([0.0, 1e-3, 0.1, 2.0, 20.0], size=2) * random.uniform(0.5, 1, 2)
        if random.random() < 0.3:  # touches in a corner
            centre = centre + half * random.choice([-1.0, 1.0], 2)
        xmin, ymin, xmax, ymax = *(centre - half), *(centre + half)
        if degrees and random.random() < 0.1:
            ymin, ymax = (80.0, 90.0) if random.random() < 0.5 else (-90.0, -80.0)
        if degrees and xmin >= -180 and xmax > 180 and xmax - 360 < xmin and random.random() < 0.7:
            xmax -= 360.0
        elif (
            degrees and xmin < -180 and xmax <= 180 and xmin + 360 > xmax and random.random() < 0.7
        ):
            xmin += 360.0
        known = None if crs is None else Crs(crs)
        try:
            if random.random() < 0.15 and xmin < xmax and ymin < ymax:
                shape = shapely.Polygon([(xmin, ymin), (xmax, ymin), ((xmin + xmax) / 2, ymax)])
                yield SearchArea.of_shape(shape, known), [shape]
            else:
                area = SearchArea.of_bbox([xmin, ymin, xmax, ymax], known)
                yield area, [shapely.box(w.xmin, w.ymin, w.xmax, w.ymax) for w in area.windows]
        except InvalidRequest:
            continue


def _wrapped(xmin: float, xmax: float) -> tuple[float, float]:
    """What crosses the antimeridian may be written with xmin above xmax."""
    if -180 <= xmin <= 180 < xmax < xmin + 360:
        return xmin, xmax - 360
    if xmin < -180 <= xmax <= 180 and xmax < xmin + 360:
        return xmin + 360, xmax
    return xmin, xmax


def _query_crs(random: np.random.Generator, table: RandomTable) -> str | None:
    chance = random.random()
    if chance < 0.2:
        return None
    if chance < 0.75:
        return CRS84
    return str(random.choice(list(REGIONS))) if chance < 0.9 else table.crs


def _vertices(file: RandomFile, *, arcs: bool) -> np.ndarray:
    shapes = [shape for group in file.groups for shape in group]
    found = shapely.get_coordinates(shapes)
    if arcs:
        found = np.concatenate([found, *(_on_arcs(each) for each in shapes if each is not None)])
    return found[np.isfinite(found).all(axis=1)]


def _centre(
    random: np.random.Generator, table: RandomTable, vertices: Sequence[np.ndarray], crs: str
) -> np.ndarray:
    number = int(random.integers(len(vertices)))
    if len(vertices[number]) and random.random() < 0.8:
        at = vertices[number][int(random.integers(len(vertices[number])))]
        source = table.files[number].crs
        moved = at if source == crs else np.array(transformer(source, crs).transform(*at))
        if np.isfinite(moved).all():
            return moved
    west, south, east, north = REGIONS[crs]
    x, y = random.uniform(west, east), random.uniform(south, north)
    return np.array(transformer(CRS84, crs).transform(x, y))


# The truth.


def _hits(file: RandomFile, area: SearchArea, windows: list[object], *, arcs: bool) -> list[bool]:
    """Whether a row of each row group meets the area; where it is uncertain, no."""
    crs = file.crs if area.crs is None else str(area.crs)
    turned = [
        shapely.transform(window, lambda xy, by=by: xy + np.array([by, 0.0]))
        for window in windows
        for by in (SHIFTS if crs == CRS84 and area.crs is not None else SHIFTS[:1])
    ]
    found = []
    for group in file.groups:
        shapes = [
            part
            for shape in group
            if shape is not None
            for part in _certain(shape, file.crs, crs, arcs=arcs)
        ]
        found.append(bool(shapes) and any(shapely.intersects(shapes, at).any() for at in turned))
    return found


def _certain(shape: object, source: str, target: str, *, arcs: bool) -> list[object]:
    """What is part of a shape for certain: in another reference system only its vertices are."""
    coordinates = shapely.get_coordinates(shape)
    is_finite = np.isfinite(coordinates).all(axis=1)
    if source == target and is_finite.all():
        if arcs and _is_long(shape):
            return [shapely.MultiPoint(_on_arcs(shape))]
        return [shape, shapely.MultiPoint(_along_arcs(shape))] if arcs else [shape]
    coordinates = coordinates[is_finite]
    if source != target:
        x, y = transformer(source, target).transform(coordinates[:, 0], coordinates[:, 1])
        coordinates = np.column_stack([x, y])
        coordinates = coordinates[np.isfinite(coordinates).all(axis=1)]
    return [shapely.MultiPoint(coordinates)]


def _lines(shape: object) -> np.ndarray:
    parts = shapely.get_parts(shapely.get_parts(shape))
    rings = shapely.get_type_id(parts) == 3
    return np.concatenate([parts[~rings], shapely.get_rings(parts[rings])])


def _is_long(shape: object) -> bool:
    """Whether its edges are no straight lines, not even nearly."""
    steps = [np.abs(np.diff(shapely.get_coordinates(line), axis=0)) for line in _lines(shape)]
    return any(bool(len(step)) and bool(step.max() > 1.0) for step in steps)


def _on_arcs(shape: object) -> np.ndarray:
    """Places all along its edges, which are great circles."""
    found = []
    for line in _lines(shape):
        lon, lat = np.radians(shapely.get_coordinates(line).T)
        ends = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        along = np.linspace(0, 1, PLACES_AN_ARC)[:, None, None]
        chords = ((1 - along) * ends[:-1] + along * ends[1:]).reshape(-1, 3)
        # Where ends are opposite each other nobody can tell which way an edge takes.
        x, y, z = chords[np.linalg.norm(chords, axis=1) > 1e-3].T
        found.append(np.column_stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))]))
    return np.degrees(np.concatenate(found)) if found else np.zeros((0, 2))


def _along_arcs(shape: object) -> np.ndarray:
    """The middles of its edges, when these are great circles."""
    middles = []
    for line in _lines(shape):
        lon, lat = np.radians(shapely.get_coordinates(line).T)
        ends = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        between = ends[1:] + ends[:-1]
        up = np.arctan2(between[:, 2], np.hypot(between[:, 0], between[:, 1]))
        along = np.arctan2(between[:, 1], between[:, 0])
        near = np.degrees(along - (lon[1:] + lon[:-1]) / 2)
        middles.append(np.degrees(np.column_stack([along, up]))[np.abs(near) < 1])
    return np.concatenate(middles) if middles else np.zeros((0, 2))


# The search.


@dataclass(frozen=True)
class _Way:
    """Boxes of a table's files, found in one way, with its reference system as far as known."""

    index: FileIndex
    row_groups: Sequence[Sequence[RowGroup]]
    crs: Crs


@dataclass(frozen=True)
class _Searched:
    table: RandomTable
    ways: dict[str, _Way]

    @classmethod
    def of(cls, table: RandomTable) -> "_Searched":
        read = [_reader(file.data) for file in table.files]
        footers = [inspect(*each) for each in read]
        computed = [compute_boxes(*each, found) for each, found in zip(read, footers, strict=True)]
        ways = {
            "footers": _by_footers(table, footers),
            "computed boxes": _by_inspections(table, computed),
            "boxes of a job": _by_job(table),
            "virtual columns": _by_virtual_columns(computed),
            "bounds of columns": _by_bounds(table, footers),
        }
        if table.form in {"native", "geography"} and len({file.crs for file in table.files}) == 1:
            ways["bounds of geometries"] = _by_geometry_bounds(table)
        return cls(table, ways)


def _judge(tally: Tally, searched: _Searched, area: SearchArea, windows: list[object]) -> None:
    table = searched.table
    hits = [_hits(file, area, windows, arcs=table.is_geography) for file in table.files]
    tally.hits += sum(map(any, hits))
    for name, way in searched.ways.items():
        placed = area.placed_on(way.crs)
        kept = set(match_files(way.index, placed).kept.tolist())
        tally.files_looked_at[name] += len(hits)
        tally.files_kept[name] += len(kept)
        for at, groups in enumerate(hits):
            where = f"{name}: {table.form} in {table.crs}, area {area}"
            if any(groups) and at not in kept:
                tally.wrongs.append(f"file {at} by {where}")
            known = way.row_groups[at] if way.row_groups else ()
            left = {group.ordinal for group in match_row_groups(known, placed)}
            if known and any(hit and ordinal not in left for ordinal, hit in enumerate(groups)):
                tally.wrongs.append(f"row group of file {at} by {where}")


def _reader(data: bytes) -> tuple:
    return (lambda at, length: data[at : at + length]), len(data)


def _entry(at: int, file: RandomFile, **more: object) -> DataFileEntry:
    rows = sum(map(len, file.groups))
    return DataFileEntry(f"s3://lake/{at}.parquet", len(file.data), rows, 0, **more)


def _index(table: RandomTable, boxes: Sequence[FileBox]) -> FileIndex:
    return FileIndex.from_entries([_entry(at, f) for at, f in enumerate(table.files)], boxes)


def _document(table: RandomTable, crs: Crs, *, type_: str, columns: object = None) -> dict:
    """What a catalog would hold of the table; box columns stand in the order of their ids."""
    described = {"crs": crs.identifier, "edges": table.edges}
    described |= {"bbox_columns": columns.names} if columns else {}
    if table.form == "lonlat":
        fields = [_field(1, "lon", "double"), _field(2, "lat", "double")]
    else:
        fields = [_field(1, "geometry", type_)]
    flat = [*(columns.names if columns else ()), *FILE_BOX_COLUMNS.names]
    nested: dict[str, list] = {}
    for number, name in enumerate(flat, 10):
        struct, _, leaf = name.rpartition(".")
        (nested.setdefault(struct, []) if struct else fields).append(_field(number, leaf, "double"))
    for number, (name, inner) in enumerate(nested.items(), 50):
        fields.append(_field(number, name, {"type": "struct", "fields": inner}))
    geo = {"primary_column": "geometry", "columns": {"geometry": described}}
    return {
        "current-schema-id": 0,
        "schemas": [{"schema-id": 0, "type": "struct", "fields": fields}],
        "properties": {} if table.form == "lonlat" else {"geo": json.dumps(geo)},
    }


def _field(field_id: int, name: str, type_: object) -> dict:
    return {"id": field_id, "name": name, "required": False, "type": type_}


def _place(document: dict) -> tuple:
    schema = document["schemas"][0]
    place = place_of(document, schema)
    return place, crs_of(document, schema, place)


class _Store:
    def __init__(self, table: RandomTable) -> None:
        self._table = table

    def get(self, path: str, *, range: tuple[int, int]) -> bytes:  # noqa: A002 - as in the real one
        data = self._table.files[int(path[len("s3://lake/") : -len(".parquet")])].data
        return data[range[0] : range[0] + range[1]]


class _InProcess:
    """The files are our own: no process has to be risked for them."""

    def inspect(self, read: object, size_bytes: int) -> FileInspection:
        return inspect(read, size_bytes)


def _read_footers(table: RandomTable, document: dict) -> dict:
    reader = FooterReader(_Store(table), _InProcess(), document, _place(document)[0])
    return reader.read({at: _entry(at, file) for at, file in enumerate(table.files)})


def _by_footers(table: RandomTable, footers: Sequence[FileInspection]) -> _Way:
    document = _document(table, Crs(table.crs), type_="binary")
    found = _read_footers(table, document)
    boxes = [found[at].file_box if at in found else UNKNOWN for at in range(len(footers))]
    groups = [found[at].row_groups if at in found else () for at in range(len(footers))]
    return _Way(_index(table, boxes), groups, _place(document)[1])


def _of(inspection: FileInspection) -> GeometryInspection | None:
    return inspection.positions or inspection.geometry.get("geometry")


def _agreed(found: Sequence[GeometryInspection | None]) -> Crs:
    return agreed(*(Crs(None) if each is None else each.crs for each in found))


def _by_inspections(table: RandomTable, computed: Sequence[FileInspection]) -> _Way:
    found = [_of(inspection) for inspection in computed]
    boxes = [UNKNOWN if each is None else each.file_box for each in found]
    groups = [
        () if each is None else inspection.row_groups_of(each)
        for inspection, each in zip(computed, found, strict=True)
    ]
    return _Way(_index(table, boxes), groups, _agreed(found))


def _by_job(table: RandomTable) -> _Way:
    """Row group by row group, by what the table says its column is."""
    document = _document(table, Crs(table.crs), type_="binary")
    place, crs = _place(document)
    in_files = PlaceInFiles(document, place)
    boxes, groups = [], []
    for file in table.files:
        read, size_bytes = _reader(file.data)
        inspection = inspect(read, size_bytes)
        wanted, following = in_files.wanted(inspection), 0
        try:
            while wanted is not None and following is not None:
                at = replace(wanted, first_group=following)
                part = compute_part(read, size_bytes, inspection, at, budget_bytes=1)
                inspection, following = part.inspection, part.next_group
        except UnreadableFile:
            wanted = None
        found = None if wanted is None else in_files.boxes_of(inspection)
        boxes.append(UNKNOWN if found is None else found.file_box)
        groups.append(() if found is None else found.row_groups)
    return _Way(_index(table, boxes), groups, crs)


def _by_virtual_columns(computed: Sequence[FileInspection]) -> _Way:
    """As a table that was registered in place has them."""
    found = [_of(inspection) for inspection in computed]
    crs = _agreed(found)
    values = [virtual_values(UNKNOWN if each is None else each.file_box) for each in found]
    table = RandomTable("virtual", str(crs))
    document = _document(table, crs, type_="binary")
    spec = {
        "spec-id": 0,
        "fields": [
            {"source-id": number, "field-id": 1000 + number, "name": name, "transform": "identity"}
            for number, name in enumerate(FILE_BOX_COLUMNS.names, 10)
        ],
    }
    entries = [
        DataFileEntry(f"s3://lake/{at}.parquet", 1, found.rows, 0, partition=value)
        for at, (found, value) in enumerate(zip(computed, values, strict=True))
    ]
    place, _ = _place(document)
    columns = FileColumns.from_entries(entries)
    boxes = boxes_from_manifests(columns, tuple(zip(*values, strict=True)), place, document, spec)
    return _Way(FileIndex.build(columns, boxes), (), crs)


def _by_bounds(table: RandomTable, footers: Sequence[FileInspection]) -> _Way:
    """As an engine's commits tell them, and footers where those tell nothing."""
    found = [_of(inspection) for inspection in footers]
    named = {None if each is None else each.box_columns for each in found}
    columns = named.pop() if len(named) == 1 and table.form in {"covering", "flat"} else None
    document = _document(table, Crs(table.crs), type_="binary", columns=columns)
    place, crs = _place(document)
    entries = [
        _entry(at, file, **_metrics(place.field_ids, inspection))
        for at, (file, inspection) in enumerate(zip(table.files, footers, strict=True))
    ]
    files = FileColumns.from_entries(entries)
    boxes = boxes_from_manifests(files, (), place, document, None)
    footer_boxes = _read_footers(table, document)
    told = {at: footer_boxes[at].file_box for at in boxes.unknown.tolist() if at in footer_boxes}
    told = {at: box for at, box in told.items() if box != UNKNOWN}
    return _Way(FileIndex.build(files, boxes.told(told)), (), crs)


def _metrics(field_ids: dict, inspection: FileInspection) -> dict:
    lower, upper, nulls = {}, {}, {}
    for name, metrics in inspection.metrics.items():
        if name not in field_ids or metrics.type not in {"double", "float"}:
            continue
        field_id = field_ids[name]
        if metrics.null_count is not None:
            nulls[field_id] = metrics.null_count
        if metrics.lower is not None and metrics.upper is not None:
            # Files may hold float32 where the table says double; bounds are then as wide as that.
            lower[field_id] = encode_value(metrics.type, metrics.lower)
            upper[field_id] = encode_value(metrics.type, metrics.upper)
    return {"lower_bounds": lower, "upper_bounds": upper, "null_value_counts": nulls}


def _by_geometry_bounds(table: RandomTable) -> _Way:
    """As writers of format version 3 give them."""
    crs = "" if table.crs == CRS84 else f"({table.crs})"
    type_ = "geography" if table.is_geography else f"geometry{crs}"
    document = _document(table, Crs(table.crs), type_=type_)
    place, known = _place(document)
    entries = []
    for at, file in enumerate(table.files):
        shapes = [shape for group in file.groups for shape in group if shape is not None]
        pairs = shapely.get_coordinates(shapes)
        if table.is_geography:
            finite = [shape for shape in shapes if np.isfinite(shapely.bounds(shape)).all()]
            pairs = np.concatenate([pairs, *map(_along_arcs, finite)])
        bounds = {}
        has_both = bool(len(pairs)) and not np.isnan(pairs).all(axis=0).any()
        if has_both and not np.isinf(pairs).any():
            low, high = np.nanmin(pairs, axis=0), np.nanmax(pairs, axis=0)
            bounds = {
                "lower_bounds": {1: low.astype("<f8").tobytes()},
                "upper_bounds": {1: high.astype("<f8").tobytes()},
            }
        entries.append(_entry(at, file, **bounds))
    files = FileColumns.from_entries(entries)
    boxes = boxes_from_manifests(files, (), place, document, None)
    return _Way(FileIndex.build(files, boxes), (), known)
