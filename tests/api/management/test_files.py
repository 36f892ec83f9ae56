"""The files endpoint: which files and row groups of a table an area may touch."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.duck import attached
from support.lake import cities
from support.parquet_files import geo, native, parquet, point
from support.people import new_organisation

PLACES = {"paris": (2.35, 48.86), "lima": (-77.03, -12.05), "tokyo": (139.69, 35.69)}
MERCATOR_PARIS = (261600.0, 6250500.0)


class Files:
    """The endpoint of one registered table."""

    def __init__(self, raw, name):
        self.raw, self.http = raw, raw.http
        self.url = f"/api/v1/catalogs/{raw.catalog.id}/namespaces/found/tables/{name}/files"

    def get(self, **params):
        answer = self.http.get(self.url, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, **body):
        answer = self.http.post(f"{self.url}/search", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, **params):
        return sorted(map(name_of, self.get(**params)["files"]))


def name_of(file):
    return file["path"].rpartition("/")[2].removesuffix(".parquet")


def registered(raw, name):
    assert raw.register(raw.scan()).status_code == 200
    return Files(raw, name)


@pytest.fixture
def table(raw):
    for number, (name, (x, y)) in enumerate(PLACES.items()):
        raw.put(f"cities/{name}.parquet", cities((number, x, y), (number + 10, x + 0.1, y)))
    return registered(raw, "cities")


def test_a_box_leaves_the_files_it_touches_and_says_what_that_saves(table):
    body = table.get(bbox="2.0,48.0,3.0,49.0")
    [file] = body.pop("files")
    assert name_of(file) == "paris"
    assert (file["rows"], file["box_status"]) == (2, "outer")
    assert file["boxes"] == [pytest.approx([2.35, 48.86, 2.45, 48.86], abs=1e-5)]
    totals = body.pop("totals")
    assert (totals["bytes_kept"], totals["bytes"] > totals["bytes_kept"]) == (
        file["size_bytes"],
        True,
    )
    del totals["bytes"], totals["bytes_kept"]
    assert totals == {"files": 3, "files_kept": 1, "rows": 6, "rows_kept": 2, "unknown_kept": 0}
    assert body.pop("snapshot_id") > 0
    assert body == {
        "column": "geometry",
        "positions": None,
        "crs": "OGC:CRS84",
        "compared_by": "boxes",
        "reason": None,
        "next": None,
        "is_complete": True,
    }


TRIANGLE = "POLYGON ((-180 -60, 150 -60, -180 80, -180 -60))"


def test_a_geometry_leaves_fewer_files_than_the_box_around_it(table):
    """Tokyo is in the box of the triangle and not in the triangle."""
    assert table.names(bbox="-180,-60,150,80") == ["lima", "paris", "tokyo"]
    assert table.get(geometry=TRIANGLE)["compared_by"] == "geometry"
    assert table.names(geometry=TRIANGLE) == ["lima"]
    ring = [[-180, -60], [150, -60], [-180, 80], [-180, -60]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    assert table.names(geometry=json.dumps(shape)) == ["lima"]
    feature = {"type": "Feature", "properties": {}, "geometry": shape}
    for geometry in (TRIANGLE, shape, feature, json.dumps(feature)):
        assert [name_of(file) for file in table.post(geometry=geometry)["files"]] == ["lima"]


def test_an_invalid_geometry_is_searched_by_its_box(table):
    """GEOS may err on a bow tie; the box around it cannot."""
    bow_tie = "POLYGON ((-80 -20, 10 60, 10 -20, -80 60, -80 -20))"
    body = table.get(geometry=bow_tie)
    assert (body["compared_by"], sorted(map(name_of, body["files"]))) == (
        "boxes",
        ["lima", "paris"],
    )


def test_longitudes_may_be_written_either_way(table):
    """Lima is at -77.03, which is 282.97 as well."""
    assert table.names(bbox="282,-13,284,-11") == ["lima"]
    assert table.names(geometry="POLYGON ((282 -13, 284 -13, 284 -11, 282 -13))") == ["lima"]


def test_an_area_in_another_reference_system_is_taken_to_that_of_the_table(table):
    x, y = MERCATOR_PARIS
    around = f"{x - 2e4},{y - 2e4},{x + 2e4},{y + 2e4}"
    assert table.names(bbox=around, crs="EPSG:3857") == ["paris"]
    assert table.names(bbox=around, crs="urn:ogc:def:crs:EPSG::3857") == ["paris"]
    assert table.names(bbox=around) == []  # as degrees, these numbers are nowhere
    wkt = f"POLYGON (({x} {y}, {x + 3e4} {y}, {x} {y + 3e4}, {x} {y}))"
    assert table.names(geometry=wkt, crs="EPSG:3857") == ["paris"]


def test_a_table_in_metres_is_found_in_degrees(raw):
    for name, (x, y) in {"paris": MERCATOR_PARIS, "null island": (0.0, 0.0)}.items():
        raw.put(
            f"metres/{name}.parquet",
            parquet({"id": pa.array([1]), "geometry": native([point(x, y)], crs="EPSG:3857")}),
        )
    table = registered(raw, "metres")
    body = table.get(bbox="2,48,3,49")
    assert (body["crs"], [name_of(file) for file in body["files"]]) == ("EPSG:3857", ["paris"])
    assert table.names(bbox="-1,-1,1,1") == ["null island"]
    assert table.names(bbox="-10,-10,10,10", crs="native") == ["null island"]


def test_in_an_unknown_reference_system_nothing_is_left_out_and_the_answer_says_why(raw):
    for name, x in {"near": 1.0, "far": 100.0}.items():
        raw.put(
            f"local/{name}.parquet",
            parquet(
                {"id": pa.array([1]), "geometry": pa.array([point(x, 1.0)], pa.binary())},
                metadata=geo(crs=None, bbox=[x, 1.0, x, 1.0]),
            ),
        )
    table = registered(raw, "local")
    body = table.get(bbox="0,0,2,2")
    assert (body["crs"], body["compared_by"], len(body["files"])) == (None, "nothing", 2)
    assert "unknown" in body["reason"]
    assert "native" in body["reason"]
    native_body = table.get(bbox="0,0,2,2", crs="native")
    assert (native_body["compared_by"], native_body["reason"]) == ("boxes", None)


def test_where_an_area_cannot_be_taken_to_with_certainty_nothing_is_left_out(raw):
    """A zone of UTM knows no other side of the world: what PROJ says of it is not to be trusted."""
    for name in ("paris", "again"):
        raw.put(
            f"metres/{name}.parquet",
            parquet({"id": pa.array([1]), "geometry": native([point(4e5, 5e6)], crs="EPSG:32631")}),
        )
    body = registered(raw, "metres").get(bbox="-180,-90,180,90")
    assert (len(body["files"]), body["compared_by"]) == (2, "nothing")
    assert "with certainty" in body["reason"]


def test_pages_are_of_one_snapshot_and_their_tokens_of_one_question(table):
    first = table.get(limit=2)
    assert (len(first["files"]), first["is_complete"]) == (2, False)
    table.raw.put("cities/rome.parquet", cities((7, 12.5, 41.9)))
    second = table.get(limit=2, after=first["next"])
    assert (second["snapshot_id"], second["next"]) == (first["snapshot_id"], None)
    listed = [name_of(file) for file in first["files"] + second["files"]]
    assert sorted(listed) == ["lima", "paris", "tokyo"]
    other = table.http.get(table.url, params={"bbox": "0,0,1,1", "after": first["next"]})
    assert other.status_code == 400
    in_body = table.http.post(f"{table.url}/search", json={"limit": 2, "after": first["next"]})
    assert in_body.json()["files"] == second["files"]


def test_paths_are_a_text_and_files_an_arrow_stream_for_who_accepts_them(table):
    url, box = table.url, {"bbox": "2,48,3,49"}
    [file] = table.get(**box)["files"]
    for asked in ({"params": {**box, "format": "paths"}}, {"headers": {"Accept": "text/plain"}}):
        answer = table.http.get(url, **({"params": box} | asked))
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text == f"{file['path']}\n"
    accept = {"Accept": "application/vnd.apache.arrow.stream"}
    answer = table.http.get(url, params={"bbox": "-180,-90,180,90", "limit": 2}, headers=accept)
    found = pa.ipc.open_stream(answer.content).read_all()
    assert found.num_rows == 2
    about = json.loads(found.schema.metadata[b"graticule"])
    assert about["totals"]["files_kept"] == 3
    assert answer.headers["x-next"] == about["next"]
    rest = table.http.get(
        url,
        params={"bbox": "-180,-90,180,90", "after": about["next"], "format": "arrow"},
    )
    assert pa.ipc.open_stream(rest.content).read_all().num_rows == 1


def test_row_groups_are_left_out_as_files_are(raw):
    """One file whose row groups lie apart: of them only one has to be read."""
    xs = [float(x) for x in range(40)]
    table = pa.table({"id": pa.array(range(40)), "geometry": native([point(x, 0.0) for x in xs])})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=10, store_schema=False)
    raw.put("line/all.parquet", sink.getvalue())
    raw.put("line/afar.parquet", cities((99, 100.0, 50.0)))
    files = registered(raw, "line")
    body = files.get(bbox="12,-1,14,1", level="row_group")
    [file] = body["files"]
    [group] = file["row_groups"]
    footer = pq.ParquetFile(io.BytesIO(sink.getvalue())).metadata
    written = footer.row_group(1)
    assert (group["index"], group["rows"], group["box_status"]) == (1, 10, "exact")
    assert group["boxes"] == [[10.0, 0.0, 19.0, 0.0]]
    assert file["row_group_count"] == 4
    first = written.column(0)
    assert group["offset"] == min(first.data_page_offset, first.dictionary_page_offset or 1 << 60)
    assert body["listed"] == {
        "row_groups": 4,
        "row_groups_kept": 1,
        "rows_kept": 10,
        "bytes_kept": group["size_bytes"],
    }
    triangle = "POLYGON ((5 -1, 35 -1, 35 1, 34 1, 5 -1))"
    by_shape = files.get(geometry=triangle, level="row_group", format="json")["files"][0]
    assert [g["index"] for g in by_shape["row_groups"]] == [2, 3]
    answer = files.http.get(
        files.url, params={"bbox": "12,-1,14,1", "level": "row_group", "format": "arrow"}
    )
    [row] = pa.ipc.open_stream(answer.content).read_all().to_pylist()
    assert row["row_groups"] == [group]


def test_a_file_that_cannot_be_looked_into_keeps_all_of_its_row_groups(table):
    size = len(cities((0, 2.35, 48.86), (10, 2.45, 48.86)))
    table.raw.put("cities/paris.parquet", b"\0" * size)
    body = table.get(bbox="2,48,3,49", level="row_group")
    [file] = body["files"]
    assert (file["row_groups"], file["row_group_count"]) == (None, None)
    assert body["listed"]["rows_kept"] == 2


def test_a_table_of_positions_is_searched_by_them(catalog, http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    columns = [("id", pa.int64()), ("longitude", pa.float64()), ("latitude", pa.float64())]
    written = client.create_table("ns.t", pa.schema(columns))
    for number, (x, y) in enumerate(PLACES.values()):
        written.append(pa.table({"id": [number], "longitude": [x], "latitude": [y]}))
    url = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/tables/t/files"
    body = http.get(url, params={"bbox": "2,48,3,49"}).json()
    assert (body["totals"]["files"], body["totals"]["files_kept"]) == (3, 1)
    assert (body["column"], body["positions"]) == (None, ["longitude", "latitude"])
    first = written.history()[0].snapshot_id
    earlier = http.get(url, params={"snapshot": first}).json()
    assert (earlier["snapshot_id"], earlier["totals"]["files"]) == (first, 1)
    written.manage_snapshots().create_tag(first, "start").commit()
    assert http.get(url, params={"ref": "start"}).json() == earlier


def test_a_table_without_a_place_says_so(catalog, http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    client.create_table("ns.t", pa.schema([("id", pa.int64())])).append(pa.table({"id": [1]}))
    url = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/tables/t/files"
    body = http.get(url, params={"bbox": "2,48,3,49", "level": "row_group"}).json()
    assert (body["totals"]["files_kept"], body["totals"]["unknown_kept"]) == (1, 1)
    assert "neither a geometry column nor" in body["reason"]
    assert body["compared_by"] == "nothing"
    empty = client.create_table("ns.empty", pa.schema([("id", pa.int64())]))
    assert empty.current_snapshot() is None
    assert http.get(url.replace("/t/", "/empty/")).json()["snapshot_id"] is None


BAD = [
    {"bbox": "1,2,3"},
    {"bbox": "a,b,c,d"},
    {"bbox": "0,10,1,5"},
    {"bbox": "nan,0,1,1"},
    {"bbox": "0,0,inf,1"},
    {"bbox": "0,0,1,1", "geometry": "POINT (1 1)"},
    {"geometry": "POINT (1"},
    {"geometry": "POINT EMPTY"},
    {"geometry": '{"type": "Point"}'},
    {"geometry": '{"type": "Feature", "geometry": null}'},
    {"geometry": "GEOMETRYCOLLECTION (" * 5000},
    {"geometry": "POINT (1 1e999)"},
    {"bbox": "0,0,1,1", "crs": "EPSG:99999"},
    {"bbox": "0,0,1,1", "crs": "my own"},
    {"column": "id"},
    {"column": "absent"},
    {"snapshot": "12"},
    {"snapshot": "x"},
    {"ref": "absent"},
    {"ref": "main", "snapshot": "1"},
    {"level": "page"},
    {"format": "csv"},
    {"limit": "0"},
    {"after": "made-up"},
]


def test_a_question_that_makes_no_sense_is_a_bad_request_either_way(table):
    for params in BAD:
        answer = table.http.get(table.url, params=params) if len(str(params)) < 5000 else None
        body = {k: int(v) if k == "limit" else v for k, v in params.items()}
        posted = table.http.post(f"{table.url}/search", json=body)
        for refused in filter(None, (answer, posted)):
            assert refused.status_code == 400, (params, refused.text)


def test_who_may_not_read_the_table_is_told_there_is_none(table):
    stranger = new_organisation(table.raw.server.services, "strangers of files")
    with table.raw.server.http(stranger.credential) as http:
        for answer in (http.get(table.url), http.post(f"{table.url}/search", json={})):
            assert answer.status_code == 404


def test_scan_tells_what_reading_the_files_takes(table):
    body = table.get(bbox="2,48,3,49", scan=True)
    [file] = body["files"]
    data_file = file["data_file"]
    assert (data_file["content"], data_file["file-path"], data_file["record-count"]) == (
        "data",
        file["path"],
        2,
    )
    assert (file["deletes"], body["delete_files"]) == ([], [])


def test_half_an_answer_is_never_mistaken_for_all_of_it(table):
    """A token is signed: a changed one is none."""
    token = table.get(limit=1)["next"]
    changed = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert table.http.get(table.url, params={"limit": 1, "after": changed}).status_code == 400


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino", "pyiceberg"])
def test_a_predicate_names_the_columns_that_bound_files(table, dialect):
    url = table.url.replace("/files", "/predicate")
    question = {"bbox": "2,48,3,49", "dialect": dialect}
    body = table.http.get(url, params=question).json()
    assert table.http.post(url, json=question).json() == body
    mark = {"spark": "`", "pyiceberg": ""}.get(dialect, '"')
    for name in ("xmin", "ymin", "xmax", "ymax"):
        assert f"{mark}file_{name}{mark} " in body["predicate"]
    assert (body["exact"] is None, body["reason"]) == (dialect == "pyiceberg", None)


def test_what_a_predicate_keeps_is_what_the_files_endpoint_lists(table):
    """Run by PyIceberg and DuckDB, also across the date line and for longitudes up to 360."""
    url = table.url.replace("/files", "/predicate")
    iceberg = table.raw.catalog.pyiceberg().load_table("found.cities")
    duck = attached(table.raw.catalog)
    for bbox in ("2,48,3,49", "100,0,-70,80", "282,-13,284,-11", "0,0,1,1"):
        listed = table.get(bbox=bbox)["totals"]["rows_kept"]
        by = {
            dialect: table.http.get(url, params={"bbox": bbox, "dialect": dialect}).json()
            for dialect in ("pyiceberg", "duckdb")
        }
        scan = iceberg.scan(row_filter=by["pyiceberg"]["predicate"])
        assert scan.to_arrow().num_rows == listed, bbox
        both = f"{by['duckdb']['predicate']}"
        found = duck.sql(f"SELECT count(*) FROM lake.found.cities WHERE {both}").fetchall()
        assert found == [(listed,)], bbox
    exact = by["duckdb"]["exact"]
    assert duck.sql(f"SELECT id FROM lake.found.cities WHERE {exact}").fetchall() == []


def test_a_predicate_that_can_leave_out_nothing_says_why(catalog, http):
    client = catalog.pyiceberg()
    client.create_namespace("ns")
    client.create_table("ns.t", pa.schema([("id", pa.int64())]))
    url = f"/api/v1/catalogs/{catalog.id}/namespaces/ns/tables/t/predicate"
    body = http.get(url, params={"bbox": "0,0,1,1", "dialect": "trino"}).json()
    assert (body["predicate"], body["exact"]) == ("true", None)
    assert body["reason"]
    for params in ({"bbox": "0,0,1,1"}, {"dialect": "spark"}, {"dialect": "x", "bbox": "0,0,1,1"}):
        assert http.get(url, params=params).status_code == 400
