"""`graticule.client`: what it reads of an area is what a full scan would find, and nothing more."""

import io
import json
import random
import subprocess
import sys
from uuid import uuid4

import duckdb
import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import shapely.affinity
from pyiceberg.types import LongType, StringType

import graticule.client
from graticule.client import ClientError
from graticule.demo.lake import write_lake
from graticule.demo.map_window import connect, window_filter
from graticule.domain.errors import InvalidRequest
from graticule.spatial.bounding_box import BoundingBox, windows_of
from support.duck import CONFIG, attached
from support.lake import RawFolder
from support.parquet_files import EMPTY_LINE, ewkb_point, geo, line, native, parquet, point

pytestmark = pytest.mark.client

LAYOUTS = ("cities_hilbert", "airports", "cities_by_continent", "towns_lonlat", "capitals")
CENTRES = [(2.35, 48.86), (-74.0, 40.7), (179.5, -17.0), (-179.9, 66.0), (0.0, 0.0), (25.0, -85.0)]
SIZES = [0.0, 0.2, 3.0, 30.0]


@pytest.fixture(scope="module")
def lake(server):
    """The demo's five tables, registered in place."""
    catalog = server.new_catalog()
    with server.http() as http:
        raw = RawFolder(server, catalog, http, f"lake-{uuid4().hex[:8]}/")
        write_lake(raw.put)
        answer = raw.register(raw.scan(), namespace="world")
        assert answer.status_code == 200, answer.text
        yield raw


def opened(lake, name):
    return graticule.client.open(
        f"{lake.catalog.name}.world.{name}",
        uri=lake.server.url,
        credential=lake.server.key.credential,
    )


@pytest.fixture(scope="module")
def full(lake):
    """Every table as PyIceberg reads it whole, with the positions of its rows."""
    client = lake.catalog.pyiceberg()
    tables = {}
    for name in LAYOUTS:
        tables[name] = with_positions(client.load_table(f"world.{name}").scan().to_arrow())
    return tables


def with_positions(rows):
    if "geometry" not in rows.column_names:
        return rows, rows["longitude"].to_numpy(), rows["latitude"].to_numpy()
    points = shapely.from_wkb(rows["geometry"].to_numpy())
    return rows, shapely.get_x(points), shapely.get_y(points)


def rows_in(full, name, bbox):
    rows, x, y = full[name]
    found = np.zeros(len(x), bool)
    for window in windows_of(*bbox):
        found |= (x >= window.xmin) & (x <= window.xmax) & (y >= window.ymin) & (y <= window.ymax)
    return rows.filter(pa.array(found))


def sorted_rows(rows):
    names = sorted(rows.column_names)
    return sorted(map(repr, rows.select(names).to_pylist()))


def some_windows(count, seed=20261122):
    """Windows around places of interest, some across the date line; the same in every run."""
    draw = random.Random(seed)
    for _ in range(count):
        (x, y), width, height = draw.choice(CENTRES), draw.choice(SIZES), draw.choice(SIZES)
        west, east = x - width / 2, x + width / 2
        west += 360 * (west < -180)
        east -= 360 * (east > 180)
        yield (west, max(-90, y - height / 2), east, min(90, y + height / 2))


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_read_of_a_window_is_what_a_full_scan_finds(lake, full, name):
    table = opened(lake, name)
    found = 0
    for bbox in some_windows(8):
        rows = table.within(bbox).to_arrow()
        expected = rows_in(full, name, bbox)
        assert sorted_rows(rows) == sorted_rows(expected), bbox
        assert rows.schema.names == expected.schema.names
        found += rows.num_rows
    assert found


@pytest.mark.parametrize("name", LAYOUTS)
def test_pyiceberg_reads_the_same_by_the_servers_plan(lake, name):
    window = BoundingBox(2.0, 47.0, 6.0, 49.0)
    client = connect(lake.server.url, lake.catalog.name, lake.server.key.credential)
    table = client.load_table(f"world.{name}")
    planned = table.scan(row_filter=window_filter(table, window)).to_arrow()
    expected = rows_in({name: with_positions(planned)}, name, (2.0, 47.0, 6.0, 49.0))
    assert sorted_rows(opened(lake, name).within((2, 47, 6, 49)).to_arrow()) == sorted_rows(
        expected
    )


@pytest.mark.parametrize("name", ["cities_hilbert", "towns_lonlat"])
def test_duckdb_reads_the_same_of_the_whole_table(lake, name):
    is_lonlat = name == "towns_lonlat"
    place = "ST_Point(longitude, latitude)" if is_lonlat else "ST_GeomFromWKB(geometry)"
    shape = "POLYGON ((2 48, 3.5 48, 2.75 49.5, 2 48))"
    rows = opened(lake, name).within(shape).to_arrow(["name"])
    duck = attached(lake.catalog)
    found = duck.sql(
        f"SELECT name FROM lake.world.{name} "
        f"WHERE ST_Intersects({place}, ST_GeomFromText('{shape}'))"
    )
    assert rows.num_rows > 10
    assert sorted(row[0] for row in found.fetchall()) == sorted(rows["name"].to_pylist())


def test_columns_come_in_the_order_they_are_asked_for(lake):
    paris = opened(lake, "cities_hilbert").within((2.2, 48.8, 2.5, 48.95))
    rows = paris.to_arrow(["population", "name"])
    assert rows.column_names == ["population", "name"]
    assert "Paris" in rows["name"].to_pylist()
    virtual = paris.to_arrow(["file_xmin", "name"])
    assert set(virtual["file_xmin"].to_pylist()) < {
        box.xmin for f in paris.files() for box in f.boxes
    }
    with pytest.raises(ClientError, match="no column `elevation`; it has geonameid, name"):
        paris.to_arrow(["elevation"])


def test_a_window_without_rows_is_an_empty_table_of_the_tables_columns(lake, full):
    nowhere = opened(lake, "cities_hilbert").within((-150, -60, -149, -59)).to_arrow()
    assert (nowhere.num_rows, nowhere.schema.names) == (0, full["cities_hilbert"][0].schema.names)


def test_a_reader_gives_the_rows_in_batches(lake):
    france = opened(lake, "cities_hilbert").within((-5, 42, 8, 51))
    reader = france.reader(["name"])
    assert sum(batch.num_rows for batch in reader) == france.to_arrow(["name"]).num_rows > 1000


def test_rows_go_on_to_duckdb_and_geopandas(lake):
    paris = opened(lake, "cities_hilbert").within((2.2, 48.8, 2.5, 48.95))
    duck = duckdb.connect(config=CONFIG)
    relation = paris.to_duckdb(duck, ["name", "population"])
    largest = relation.order("population DESC").limit(1).fetchall()
    assert largest[0][0] == "Paris"
    frame = paris.to_geopandas(["name"])
    assert (frame.crs.to_string(), list(frame.columns)) == ("OGC:CRS84", ["name", "geometry"])
    assert frame.total_bounds.tolist() == pytest.approx([2.2, 48.8, 2.5, 48.95], abs=0.05)
    towns = opened(lake, "towns_lonlat").within((2.2, 48.8, 2.5, 48.95)).to_geopandas(["name"])
    assert isinstance(towns, geopandas.GeoDataFrame)
    assert towns.geometry.x.tolist() == towns["longitude"].tolist()


def test_a_package_that_is_missing_is_named_with_what_brings_it(monkeypatch, lake):
    monkeypatch.setitem(sys.modules, "geopandas", None)
    airports = opened(lake, "airports").within((2.2, 48.8, 2.5, 48.95))
    with pytest.raises(ClientError, match=r"GeoPandas.*graticule\[client\]"):
        airports.to_geopandas()


def test_importing_the_client_imports_no_engine():
    code = (
        "import sys, graticule.client;"
        "print([m for m in ('pyiceberg', 'pyarrow', 'duckdb', 'geopandas', 'boto3', 'sqlalchemy',"
        " 'starlette') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Only what is listed is read.


def grid_file(first, rows_per_group=50, groups=4):
    """Points along y = 0 from x = `first` on, in row groups that lie apart."""
    xs = [first + 0.01 * n for n in range(rows_per_group * groups)]
    columns = {
        "id": pa.array(range(len(xs))),
        "filler": pa.array([uuid4().hex * 20 for _ in xs]),
        "geometry": native([point(x, 0.0) for x in xs]),
    }
    return parquet(columns, rows_per_group=rows_per_group)


def test_only_listed_row_groups_of_listed_files_are_read(raw):
    """The other files are gone from the store, and the other row groups are overwritten."""
    for first in (0, 10, 20):
        raw.put(f"line/{first}.parquet", grid_file(first))
    raw.register(raw.scan())
    name = f"{raw.catalog.name}.found.line"
    table = graticule.client.open(
        name, uri=f"{raw.server.url}/catalog", token=raw.server.key.credential.replace(":", ".")
    )
    box = (10.6, -1, 10.9, 1)
    expected = table.within(box).to_arrow()
    selection = table.within(box)
    [file] = selection.files()
    assert (file.row_groups, file.row_group_count) == ((1,), 4)
    body = raw.s3.get_object(Bucket="lake", Key=f"{raw.prefix}line/10.parquet")["Body"].read()
    kept = pq.ParquetFile(io.BytesIO(body)).metadata.row_group(1)
    first, size = kept.column(0).dictionary_page_offset, kept.total_byte_size
    offsets = [pq.ParquetFile(io.BytesIO(body)).metadata.row_group(g) for g in range(4)]
    starts = [g.column(0).dictionary_page_offset or g.column(0).data_page_offset for g in offsets]
    end = starts[2]
    footer = len(body) - int.from_bytes(body[-8:-4], "little") - 8
    blank = b"\0" * (starts[1] - 4)
    damaged = body[:4] + blank + body[starts[1] : end] + b"\0" * (footer - end) + body[footer:]
    assert (len(damaged), first is None or size > 0) == (len(body), True)
    raw.put("line/10.parquet", damaged)
    for other in (0, 20):
        raw.s3.delete_object(Bucket="lake", Key=f"{raw.prefix}line/{other}.parquet")
    assert selection.to_arrow() == expected
    assert expected.num_rows == 31
    with pytest.raises((ClientError, OSError)):
        table.within((10.0, -1, 10.2, 1)).to_arrow()


# What engines write.


@pytest.fixture
def written(catalog):
    """Makes tables of WKB, as engines write them: geometries by a table property alone."""
    client = catalog.pyiceberg()
    client.create_namespace("ns")

    def make(*parts, crs="OGC:CRS84", schema=None):
        properties = {"geo": json.dumps(geo(crs=crs))}
        table = client.create_table("ns.t", schema or parts[0].schema, properties=properties)
        for part in parts:
            table.append(part)
        return table, graticule.client.open(
            f"{catalog.name}.ns.t",
            uri=catalog.server.url,
            credential=catalog.server.key.credential,
        )

    return make


def shapes_table(geometries, first=0):
    return pa.table(
        {
            "id": pa.array(range(first, first + len(geometries)), pa.int64()),
            "geometry": pa.array(geometries, pa.binary()),
        }
    )


def ids_of(rows):
    return sorted(rows["id"].to_pylist())


NAN = float("nan")
ODD = {
    "inside": (point(1, 1), True),
    "on the edge": (point(2, 2), True),
    "big-endian": (point(1, 1, order=">"), True),
    "EWKB": (ewkb_point(1, 1), True),
    "crossing": (line((-5, 1), (5, 1)), True),
    "around": (shapely.to_wkb(shapely.box(-9, -9, 9, 9)), True),
    "another turn": (point(361, 1), True),
    "outside": (point(3, 1), False),
    "box meets, shape does not": (line((-5, 1), (1, 7)), False),
    "x is NaN": (point(NAN, 1), False),
    "all NaN": (point(NAN, NAN), False),
    "infinite": (point(float("inf"), 1), False),
    "empty": (EMPTY_LINE, False),
    "null": (None, False),
    "cut short": (point(1, 1)[:-3], False),
    "no geometry": (b"hello", False),
}


def test_geometries_of_every_kind_are_told_apart(written):
    _, table = written(*(shapes_table([value], at) for at, (value, _) in enumerate(ODD.values())))
    expected = [at for at, (_, is_in) in enumerate(ODD.values()) if is_in]
    assert ids_of(table.within((0, 0, 2, 2)).to_arrow()) == expected
    triangle = "POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0))"
    assert ids_of(table.within(triangle).to_arrow()) == expected


def test_shapes_are_found_as_a_full_search_finds_them(written):
    draw = np.random.default_rng(7)
    centres = draw.uniform((-180, -80), (180, 80), (400, 2))
    shapes = shapely.buffer(shapely.points(centres), draw.uniform(0, 6, 400), quad_segs=3)
    order = np.argsort(centres[:, 0])
    parts = [shapely.to_wkb(shapes[part]).tolist() for part in np.array_split(order, 8)]
    table, client = written(*(shapes_table(part, 100 * at) for at, part in enumerate(parts)))
    rows = table.scan().to_arrow()
    everything = shapely.from_wkb(rows["geometry"].to_numpy())
    for _ in range(10):
        x, y, width, height = draw.uniform((-170, -70, 1, 1), (150, 60, 60, 40))
        area = shapely.affinity.skew(shapely.box(x, y, x + width, y + height), 20)
        turned = [shapely.affinity.translate(area, turn) for turn in (0, 360, -360)]
        found = shapely.intersects(everything, shapely.union_all(turned))
        expected = ids_of(rows.filter(pa.array(found)))
        assert ids_of(client.within(area).to_arrow()) == expected
        assert ids_of(client.within(area.__geo_interface__).to_arrow()) == expected


def test_an_area_in_degrees_finds_rows_in_metres(written):
    x, y = 261600.0, 6250500.0
    _, table = written(shapes_table([point(x, y), point(x + 1e6, y)]), crs="EPSG:3857")
    assert ids_of(table.within((2.3, 48.8, 2.4, 48.9)).to_arrow()) == [0]
    assert ids_of(table.within((x - 1, y - 1, x + 1, y + 1), crs="EPSG:3857").to_arrow()) == [0]
    assert ids_of(table.within((x - 1, y - 1, x + 1, y + 1), crs="native").to_arrow()) == [0]
    assert table.within((2.3, 48.8, 2.4, 48.9)).to_geopandas().crs.to_epsg() == 3857


def test_rows_in_an_unknown_reference_system_are_compared_only_as_they_stand(written):
    _, table = written(shapes_table([point(1, 1), point(9, 9)]), crs=None)
    asked = table.within((0, 0, 2, 2))
    assert (len(asked.files()), "native" in asked.files().reason) == (1, True)
    with pytest.raises(InvalidRequest, match="unknown"):
        asked.to_arrow()
    assert ids_of(table.within((0, 0, 2, 2), crs="native").to_arrow()) == [0]


def test_the_schema_evolves_and_old_rows_are_read_in_the_new_one(written):
    rows = shapes_table([point(1, 1), point(9, 9)]).append_column(
        "small", pa.array([1, 2], pa.int32())
    )
    table, client = written(rows)
    first = table.current_snapshot().snapshot_id
    with table.update_schema() as update:
        update.update_column("small", LongType())
        update.rename_column("small", "large")
        update.add_column("extra", StringType())
    more = pa.table(
        {
            "id": pa.array([7]),
            "geometry": pa.array([point(1, 1)], pa.binary()),
            "large": pa.array([1 << 40]),
            "extra": ["new"],
        }
    )
    table.append(more)
    found = client.within((0, 0, 2, 2)).to_arrow().sort_by("id")
    assert found.drop_columns("geometry").to_pylist() == [
        {"id": 0, "large": 1, "extra": None},
        {"id": 7, "large": 1 << 40, "extra": "new"},
    ]
    earlier = client.within((0, 0, 2, 2), snapshot_id=first).to_arrow()
    assert earlier.drop_columns("geometry").to_pylist() == [{"id": 0, "small": 1}]
    table.manage_snapshots().create_tag(first, "start").commit()
    assert client.within((0, 0, 2, 2), ref="start").to_arrow() == earlier


def test_all_reads_of_a_selection_are_of_one_snapshot(written):
    table, client = written(shapes_table([point(1, 1)]))
    selection = client.within((0, 0, 2, 2))
    assert len(selection.files()) == 1
    table.append(shapes_table([point(1, 1)], 5))
    assert ids_of(selection.to_arrow()) == [0]
    assert ids_of(client.within((0, 0, 2, 2)).to_arrow()) == [0, 5]


def test_deleted_rows_are_never_returned(written, catalog):
    """DuckDB deletes by position, beside the data."""
    _, client = written(
        shapes_table([point(x / 10, 1) for x in range(15)]), shapes_table([point(1, 1)], 50)
    )
    duck = attached(catalog)
    duck.execute("DELETE FROM lake.ns.t WHERE id IN (3, 4, 50)")
    selection = client.within((0, 0, 0.9, 2))
    assert selection.files().has_deletes
    assert ids_of(selection.to_arrow()) == [0, 1, 2, 5, 6, 7, 8, 9]
    with pytest.raises(ClientError, match="to_spark"):
        selection.to_sedona(None)


def test_a_table_of_pyicebergs_is_opened_as_it_is(written):
    table, _ = written(shapes_table([point(1, 1), point(9, 9)]))
    assert ids_of(graticule.client.open(table).within((0, 0, 2, 2)).to_arrow()) == [0]


def test_what_is_not_there_is_said(catalog):
    def opened(name, **how):
        return graticule.client.open(name, uri=catalog.server.url, **how).within((0, 0, 1, 1))

    credential = catalog.server.key.credential
    with pytest.raises(ClientError, match="does not exist") as absent:
        opened(f"{catalog.name}.ns.absent", credential=credential).to_arrow()
    assert absent.value.status == 404
    with pytest.raises(ClientError) as refused:
        opened(f"{catalog.name}.ns.t", credential="x:y").files()
    assert refused.value.status == 401
    with pytest.raises(ClientError, match="could not reach"):
        graticule.client.open("a.b.c", uri="http://127.0.0.1:1").within((0, 0, 1, 1)).files()
    with pytest.raises(ClientError, match=r"catalog\.namespace\.table"):
        graticule.client.open("a.b")
    with pytest.raises(InvalidRequest):
        graticule.client.open("a.b.c").within((0, 0, 1))
