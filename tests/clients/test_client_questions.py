"""Areas that make no sense, that are large, or that come in forms of their own."""

import geopandas
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely

import graticule.client
from graticule.client import ClientError, InvalidRequest, handover
from support.points import COLUMNS, rows

pytestmark = pytest.mark.client

NOWHERE = graticule.client.open("a.b.c", uri="http://127.0.0.1:1")
SQUARE = shapely.box(0, 0, 1, 1)


def long_circle(radius):
    """Longer as a text than anybody reads."""
    angles = np.linspace(0, 2 * np.pi, 160_001)
    return shapely.Polygon(np.column_stack([np.cos(angles), np.sin(angles)]) * radius)


@pytest.mark.parametrize(
    ("area", "options", "said"),
    [
        (None, {}, "not NoneType"),
        (5, {}, "not int"),
        (("a", 1, 2, 3), {}, "could not convert"),
        ((0, 0, 1), {}, "four numbers"),
        ((0, 0, float("nan"), 1), {}, "finite"),
        ((0, 5, 1, 1), {}, "upside down"),
        ("", {}, "not WKT"),
        ("POLYGON ((0 0", {}, "not WKT"),
        ("POINT EMPTY", {}, "no coordinates"),
        (shapely.Point(), {}, "no coordinates"),
        ({"type": "Nonsense"}, {}, "not GeoJSON"),
        (geopandas.GeoSeries([]), {}, "no coordinates"),
        ("POINT (" + "1" * 4_000_000 + " 1)", {}, "at most 4000000"),
        (SQUARE, {"crs": "moon"}, "no coordinate reference system"),
        (SQUARE, {"crs": "EPSG:999999"}, "not known"),
        (SQUARE, {"crs": 3857}, "not int"),
        (SQUARE, {"crs": pyproj.CRS.from_proj4("+proj=laea +lat_0=5")}, "has no name"),
        (geopandas.GeoSeries([SQUARE], crs="EPSG:3857"), {"crs": "EPSG:4326"}, "EPSG:3857, not"),
    ],
)
def test_what_is_no_area_is_said_before_anything_is_asked(area, options, said):
    with pytest.raises(InvalidRequest, match=said):
        NOWHERE.within(area, **options)


@pytest.mark.parametrize(
    ("area", "options", "crs"),
    [
        (geopandas.GeoDataFrame(geometry=[SQUARE, None], crs="EPSG:3857"), {}, "EPSG:3857"),
        (geopandas.GeoSeries([SQUARE], crs="EPSG:3857"), {"crs": "EPSG:3857"}, "EPSG:3857"),
        (geopandas.GeoSeries([SQUARE]), {}, "OGC:CRS84"),
        (SQUARE, {"crs": pyproj.CRS("EPSG:3857")}, "EPSG:3857"),
    ],
)
def test_frames_and_reference_systems_are_taken_as_they_are(area, options, crs):
    found = NOWHERE.within(area, **options).area
    assert (str(found.crs), shapely.bounds(found.geometry).tolist()) == (crs, [0, 0, 1, 1])


def test_of_a_geometry_too_long_to_send_the_box_is_asked_for():
    found = handover.described(NOWHERE.within(long_circle(1)).area)
    assert found == {"bbox": [-1, -1, 1, 1]}
    assert "geometry" in handover.described(NOWHERE.within(SQUARE).area)


@pytest.fixture
def table(catalog):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    client.create_table("ns.t", COLUMNS).append(rows(1, 30))
    client.create_table("ns.empty", COLUMNS)

    def opened(name):
        return graticule.client.open(
            f"{catalog.name}.ns.{name}",
            uri=catalog.server.url,
            credential=catalog.server.key.credential,
        )

    return opened


def test_where_nothing_matches_every_form_is_empty(table):
    for name, area in (("t", (80, 80, 81, 81)), ("empty", (0, 0, 1, 1))):
        nothing = table(name).within(area)
        assert nothing.to_arrow() == pa.table([[], [], []], schema=COLUMNS)
        assert nothing.to_duckdb().fetchall() == []
        assert len(nothing.to_geopandas()) == 0
        assert list(nothing.reader(["id"])) == []
        assert nothing.files().paths == []
        with pytest.raises(ClientError, match="no file may hold a row"):
            nothing.to_sedona(None)


def test_rows_are_compared_with_a_geometry_that_is_too_long_to_send(table):
    assert table("t").within(long_circle(29)).to_arrow(["id"])["id"].to_pylist() == [1]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"column": "nothing"}, "nothing"),
        ({"column": "id"}, "id"),
        ({"ref": "nowhere"}, "nowhere"),
        ({"snapshot_id": 5}, "no snapshot 5"),
        ({"snapshot_id": 5, "ref": "main"}, "not by both"),
    ],
)
def test_what_the_table_lacks_is_named_by_the_server(table, question, said):
    with pytest.raises(ClientError, match=said) as refused:
        table("t").within((0, 0, 1, 1), **question).files()
    assert refused.value.status == 400
