"""Footprints for the map, and the report on how well a table is laid out."""

import pyarrow as pa
import pytest

from support.lake import cities
from support.parquet_files import native, parquet, point


@pytest.fixture
def spread(raw):
    """Ten files along the equator, one across the date line, one that nobody knows the place of."""
    for n in range(10):
        raw.put(f"t/{n}.parquet", cities((n, 15.0 * n, 0.0), (n, 15.0 * n + 5, 5.0)))
    raw.put("t/east-west.parquet", cities((50, 179.0, 1.0), (51, -179.0, 2.0)))
    raw.register(raw.scan())
    return f"/api/v1/catalogs/{raw.catalog.id}/namespaces/found/tables/t"


def rings(feature):
    shape = feature["geometry"]
    polygons = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
    for [ring] in polygons:
        assert ring[0] == ring[-1]
        xs, ys = zip(*ring, strict=True)
        yield min(xs), min(ys), max(xs), max(ys)


def test_footprints_are_the_boxes_of_files_that_the_area_may_touch(http, spread):
    body = http.get(f"{spread}/footprints", params={"bbox": "14,-1,36,6"}).json()
    assert (body["type"], body["mode"], body["totals"]["files_kept"]) == (
        "FeatureCollection",
        "files",
        3,
    )
    names = [f["properties"]["path"].rpartition("/")[2] for f in body["features"]]
    boxes = [list(rings(feature)) for feature in body["features"]]
    by_name = dict(zip(names, boxes, strict=True))
    assert set(by_name) == {"1.parquet", "2.parquet", "east-west.parquet"}
    assert by_name["1.parquet"] == [pytest.approx((15, 0, 20, 5), abs=1e-4)]


def test_what_crosses_the_date_line_is_drawn_in_two_halves(catalog, http):
    """A geography's own bounds say that it crosses; a box of planar numbers cannot."""
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    columns = pa.schema([("longitude", pa.float64()), ("latitude", pa.float64())])
    table = client.create_table("ns.t", columns)
    table.append(pa.table({"longitude": [170.0, 190.0], "latitude": [0.0, 1.0]}))
    url = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/tables/t/footprints"
    [feature] = http.get(url).json()["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert list(rings(feature)) == [
        pytest.approx((170, 0, 180, 1), abs=1e-4),
        pytest.approx((-180, 0, -170, 1), abs=1e-4),
    ]


def test_many_files_are_a_grid_whose_cells_add_up(http, spread):
    body = http.get(f"{spread}/footprints", params={"limit": 9}).json()
    assert body["mode"] == "grid"
    assert len(body["features"]) <= 9
    assert sum(f["properties"]["files"] for f in body["features"]) == 11
    assert sum(f["properties"]["rows"] for f in body["features"]) == 22
    assert body["unplaced"] == {"files": 0, "rows": 0, "bytes": 0}


def test_files_in_metres_are_drawn_in_degrees(raw, http):
    for n, (x, y) in enumerate([(0.0, 0.0), (1113194.9, 0.0)]):
        raw.put(
            f"metres/{n}.parquet",
            parquet({"id": pa.array([n]), "geometry": native([point(x, y)], crs="EPSG:3857")}),
        )
    raw.register(raw.scan())
    url = f"/api/v1/catalogs/{raw.catalog.id}/namespaces/found/tables/metres"
    drawn = [box for f in http.get(f"{url}/footprints").json()["features"] for box in rings(f)]
    assert sorted(drawn) == [
        pytest.approx((0, 0, 0, 0), abs=1e-5),
        pytest.approx((10, 0, 10, 0), abs=1e-5),
    ]
    layout = http.get(f"{url}/layout").json()
    assert (layout["unit"], layout["windows"][0]["width"]) == ("metres", pytest.approx(22264))


def test_the_layout_says_how_much_a_window_reads(http, spread):
    body = http.get(f"{spread}/layout").json()
    assert body == http.get(f"{spread}/layout").json()  # deterministic
    assert (body["totals"]["files"], body["unknown_files"]) == (11, 0)
    assert body["extent"] == pytest.approx([-179, 0, 179, 5], abs=1e-4)
    city, metro, country = body["windows"]
    assert [w["name"] for w in (city, metro, country)] == ["city", "metro", "country"]
    assert 1 / 11 <= city["files_share"] <= metro["files_share"] <= country["files_share"] < 0.4
    assert 1 <= body["overlap_mean"] <= 2
    assert body["small_files"] == 11
    assert any("11 of 11 files are smaller than 8.0 MB" in line for line in body["advice"])


def test_files_that_lie_on_top_of_each_other_are_told_with_what_sorting_would_save(raw, http):
    """Every file has points all over the world."""
    for n in range(12):
        raw.put(f"mixed/{n}.parquet", cities(*((k, -150 + 25.0 * k, 5.0 * k) for k in range(12))))
    raw.register(raw.scan())
    url = f"/api/v1/catalogs/{raw.catalog.id}/namespaces/found/tables/mixed/layout"
    body = http.get(url).json()
    assert (body["overlap_mean"], body["overlap_max"]) == (12, 12)
    assert (body["oversize_files"], len(body["oversize_paths"])) == (12, 12)
    said = " ".join(body["advice"])
    assert "lies in 12.0 of 12 files" in said
    assert "reads 100.0% of the bytes" in said
    assert "Split them by place" in said


def test_a_table_without_places_or_without_rows_has_a_layout_too(catalog, http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    columns = pa.schema([("id", pa.int64())])
    client.create_table("ns.t", columns).append(pa.table({"id": [1]}))
    client.create_table("ns.empty", columns)
    base = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/tables"
    told = http.get(f"{base}/t/layout").json()
    assert (told["unknown_files"], told["extent"], told["windows"]) == (1, None, [])
    assert "1 of 1 files lie anywhere" in told["advice"][0]
    drawn = http.get(f"{base}/t/footprints", params={"bbox": "0,0,1,1"}).json()
    assert (drawn["features"], drawn["unplaced"]["files"]) == ([], 1)
    for what in ("layout", "footprints"):
        assert http.get(f"{base}/empty/{what}").json()["snapshot_id"] is None
    for wrong in ("footprints?limit=0", "footprints?bbox=1", "layout?bbox=0,0,1,1"):
        assert http.get(f"{base}/t/{wrong}").status_code == 400
