"""Conversion of vector files: what comes out is what was in it, and nothing else gets in."""

import json
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from shapely import Point, Polygon

from graticule.domain.errors import UnreadableFile
from graticule.spatial.hilbert import hilbert_order
from graticule.storage import vector_files
from graticule.storage.vector_files import convert
from graticule.storage.vector_layers import BOX_COLUMNS

PLACES = geopandas.GeoDataFrame(
    {"name": ["Paris", "Łódź", "Lima"], "people": [2_100_000, 650_000, 10_000_000]},
    geometry=[Point(2.35, 48.86), Polygon([(19, 51), (20, 51), (20, 52)]), Point(-77.03, -12.05)],
    crs="EPSG:4326",
)
WRITERS = {
    "places.geojson": ("GeoJSON", "GeoJSON"),
    "places.geojsonl": ("GeoJSON", "GeoJSONSeq"),
    "places.fgb": ("FlatGeobuf", "FlatGeobuf"),
    "places.gpkg": ("GeoPackage", "GPKG"),
    "places.kml": ("KML", "LIBKML"),
    "places.gml": ("GML", "GML"),
}


def read(layer):
    return geopandas.pd.concat([geopandas.read_parquet(file) for file in layer.files])


def rows(frame):
    return {
        (row.name_, shapely.force_2d(row.geometry).normalize().wkb)
        for row in frame.rename(columns={"name": "name_", "Name": "name_"}).itertuples()
    }


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_becomes_the_same_rows(tmp_path, into, name):
    format_, driver = WRITERS[name]
    PLACES.to_file(tmp_path / name, driver=driver)
    [layer] = convert([tmp_path / name], format_, into)
    assert (layer.name, layer.rows) == ("", 3)
    found = read(layer)
    assert rows(found) == rows(PLACES)
    assert found.crs.to_epsg() == 4326 or found.crs == "OGC:CRS84"


def test_a_shapefile_keeps_its_columns_its_encoding_and_its_reference_system(tmp_path, into):
    lambert = PLACES[PLACES.geom_type == "Point"].to_crs(3857)
    lambert.to_file(tmp_path / "places.shp", encoding="ISO-8859-1")
    [layer] = convert([tmp_path / "places.shp"], "Shapefile", into)
    found = read(layer)
    assert found.crs.to_epsg() == 3857
    assert rows(found) == rows(lambert)
    assert sorted(found["people"]) == [2_100_000, 10_000_000]


def test_a_zipped_shapefile_is_read_as_it_is(tmp_path, into):
    PLACES[PLACES.geom_type == "Point"].to_file(tmp_path / "places.shp")
    with zipfile.ZipFile(tmp_path / "places.shp.zip", "w") as archive:
        for part in tmp_path.glob("places.???"):
            archive.write(part, part.name)
    [layer] = convert([tmp_path / "places.shp.zip"], "Shapefile", into)
    assert layer.rows == 2


def test_text_with_positions_becomes_points_on_the_globe(tmp_path, into):
    text = "id,name,lon,lat\n1,Paris,2.35,48.86\n2,nowhere,,\n3,Lima,-77.03,-12.05\n"
    (tmp_path / "places.csv").write_text(text)
    [layer] = convert([tmp_path / "places.csv"], "CSV", into)
    found = read(layer).sort_values("id")
    assert found.crs == "OGC:CRS84"
    assert [shape and shape.wkt for shape in found.geometry] == [
        "POINT (2.35 48.86)",
        None,
        "POINT (-77.03 -12.05)",
    ]
    assert list(found["name"]) == ["Paris", "nowhere", "Lima"]


def test_positions_that_cannot_be_degrees_get_no_reference_system(tmp_path, into):
    (tmp_path / "places.csv").write_text("id,lon,lat\n1,448251.8,5411932.7\n")
    [layer] = convert([tmp_path / "places.csv"], "CSV", into)
    assert read(layer).crs is None


def test_rows_come_in_hilbert_order_with_their_boxes(tmp_path, into, monkeypatch):
    generator = np.random.default_rng(7)
    points = shapely.points(generator.uniform(-60, 60, (5000, 2)))
    many = geopandas.GeoDataFrame({"id": range(5000)}, geometry=points, crs=4326)
    many.to_file(tmp_path / "many.fgb", SPATIAL_INDEX="NO")
    [layer] = convert([tmp_path / "many.fgb"], "FlatGeobuf", into)
    [file] = layer.files
    table = pq.read_table(file)
    boxes = np.column_stack([table.column(name) for name in BOX_COLUMNS])
    bounds = shapely.bounds(
        shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False))
    )
    assert (boxes == bounds).all()
    assert (hilbert_order(boxes) == np.arange(5000)).all()
    assert sorted(table.column("id").to_pylist()) == list(range(5000))
    groups = pq.read_metadata(file).num_row_groups
    assert groups == 1


def test_layers_become_tables_of_their_own_and_those_of_one_name_go_together(tmp_path, into):
    for name in ("north.gpkg", "south.gpkg"):
        PLACES.to_file(tmp_path / name, layer="roads")
        PLACES[:1].to_file(tmp_path / name, layer="bridges", mode="a")
    layers = convert([tmp_path / "north.gpkg", tmp_path / "south.gpkg"], "GeoPackage", into)
    assert {(layer.name, layer.rows) for layer in layers} == {("roads", 6), ("bridges", 2)}


def test_parts_in_other_reference_systems_are_not_mixed(tmp_path, into):
    PLACES.to_file(tmp_path / "a.fgb")
    PLACES.to_crs(3857).to_file(tmp_path / "b.fgb")
    with pytest.raises(
        UnreadableFile, match=r"`b\.fgb` is in another reference system than `a\.fgb`"
    ):
        convert([tmp_path / "a.fgb", tmp_path / "b.fgb"], "FlatGeobuf", into)


BROKEN = {
    "packed.csv.gz": ("CSV", b"\x1f\x8b\x08"),
    "parquet.csv": ("CSV", b"PAR1" + b"\0" * 40 + b"PAR1"),
    "latin.csv": ("CSV", "name,lon,lat\nKöln,6.9,50.9\n".encode("latin-1")),
    "cut.geojson": ("GeoJSON", b'{"type": "FeatureCollection", "features": [{"type": "Fea'),
    "text.fgb": ("FlatGeobuf", b"no FlatGeobuf at all"),
    "cut.fgb": ("FlatGeobuf", b"fgb\x03fgb\x00" + b"\xff" * 64),
    "text.gpkg": ("GeoPackage", b"SQLite format 3\0" + b"\0" * 200),
    "alone.shp": ("Shapefile", b"\0\0\x27\x0a" + b"\0" * 96),
    "empty.kml": ("KML", b"<kml"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_says_nothing_of_this_machine(tmp_path, into, name):
    format_, data = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableFile) as refused:
        convert([tmp_path / name], format_, into)
    assert f"`{name}`" in refused.value.message
    assert str(tmp_path) not in refused.value.message
    assert "/gdal/" not in refused.value.message


def test_geometries_without_any_other_column_are_a_table_too(tmp_path, into):
    bare = {"type": "Feature", "properties": {}, "geometry": {"type": "Point"}}
    lines = [{**bare, "geometry": {"type": "Point", "coordinates": [x, 2]}} for x in (1, 5)]
    (tmp_path / "bare.geojsonl").write_text("\n".join(map(json.dumps, lines)))
    [layer] = convert([tmp_path / "bare.geojsonl"], "GeoJSON", into)
    assert sorted(read(layer).geometry.x) == [1, 5]


def test_what_no_library_foresaw_is_told_and_not_taken_for_a_lack_of_memory(
    tmp_path, into, monkeypatch
):
    """The driver's own words stay unknown: the process has not got what names the driver."""
    monkeypatch.setattr(vector_files, "_WANTED", "ANOTHER_NAME")
    PLACES.to_file(tmp_path / "places.fgb")
    with pytest.raises(UnreadableFile, match="cannot be made into a table: 'CONVERSION_DRIVERS'"):
        convert([tmp_path / "places.fgb"], "FlatGeobuf", into)


def test_a_file_that_names_other_files_opens_none_of_them(tmp_path, into):
    """A VRT is recognised by its contents, whatever its name, and may point anywhere."""
    (tmp_path / "secret.csv").write_text("lon,lat,secret\n1,2,do not tell\n")
    vrt = (
        '<OGRVRTDataSource><OGRVRTLayer name="secret">'
        f"<SrcDataSource>{tmp_path}/secret.csv</SrcDataSource>"
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    for name, format_ in (("a.geojson", "GeoJSON"), ("a.csv", "CSV"), ("a.kml", "KML")):
        (tmp_path / name).write_text(vrt)
        try:
            layers = convert([tmp_path / name], format_, into)
        except UnreadableFile:
            continue
        for layer in layers:
            for file in layer.files:
                assert "do not tell" not in json.dumps(pq.read_table(file).to_pylist(), default=str)
                file.unlink()
            layer.files[0].parent.rmdir()


def test_a_file_that_names_a_schema_elsewhere_sends_no_request(tmp_path, into):
    asked = []

    class Schemas(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Schemas)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    PLACES.to_file(tmp_path / "places.gml", driver="GML")
    gml = (tmp_path / "places.gml").read_text()
    hostile = gml.replace("places.xsd", f"{url}/places.xsd").replace(
        "<ogr:featureMember", f'<!-- {url} --><ogr:featureMember xlink:href="{url}/member"', 1
    )
    (tmp_path / "hostile.gml").write_text(hostile)
    try:
        convert([tmp_path / "hostile.gml"], "GML", into)
    except UnreadableFile:
        pass
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_a_conversion_that_takes_too_long_is_ended(tmp_path, into):
    PLACES.to_file(tmp_path / "places.fgb")
    with pytest.raises(UnreadableFile, match="more than"):
        convert([tmp_path / "places.fgb"], "FlatGeobuf", into, timeout_s=0.05)


def test_whoever_stops_a_conversion_ends_its_process(tmp_path, into, monkeypatch):
    class Cancelled(Exception):
        pass

    processes = []
    popen = vector_files.subprocess.Popen

    def remembered(*args, **options):
        processes.append(popen(*args, **options))
        return processes[-1]

    def cancel(_progress):
        raise Cancelled

    monkeypatch.setattr(vector_files.subprocess, "Popen", remembered)
    PLACES.to_file(tmp_path / "places.fgb")
    with pytest.raises(Cancelled):
        convert([tmp_path / "places.fgb"], "FlatGeobuf", into, progress=cancel)
    [process] = processes
    assert process.poll() is not None
