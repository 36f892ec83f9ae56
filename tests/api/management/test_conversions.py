"""Files of other formats become tables, by a job, while the files stay as they are."""

import geopandas
import pytest
from shapely import Point, box
from uuid6 import uuid7

from graticule.domain.errors import AlreadyExists
from graticule.domain.job import JobInterrupted
from support.duck import attached
from support.lake import raw
from support.patience import until

__all__ = ["raw"]

PLACES = geopandas.GeoDataFrame(
    {"name": ["Paris", "Łódź", "Lima"]},
    geometry=[Point(2.35, 48.86), box(19, 51, 20, 52), Point(-77.03, -12.05)],
    crs="EPSG:4326",
)


def convert(raw, source, *, status=202, **options):
    body = {"source": f"s3://lake/{raw.prefix}{source}", "namespace": "converted", **options}
    answer = raw.http.post(f"/api/v1/catalogs/{raw.catalog.id}/conversions", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def ended(http, job):
    def now():
        return http.get(f"/api/v1/jobs/{job['id']}").json()

    return until(lambda: (it := now())["state"] not in {"queued", "running"} and it, told=now)


@pytest.fixture(scope="module")
def geojson(tmp_path_factory):
    file = tmp_path_factory.mktemp("places") / "places.geojson"
    PLACES.to_file(file, driver="GeoJSON")
    return file.read_bytes()


def test_what_a_scan_offers_to_convert_becomes_a_table_that_clients_read(raw, geojson):
    raw.put("places.geojson", geojson)
    [offered] = raw.scan()["report"]["convertible"]
    assert offered["root"] == f"{raw.prefix}places.geojson"
    job = ended(raw.http, convert(raw, "places.geojson", name=offered["name"]))
    assert (job["state"], job["error"]) == ("succeeded", None)
    assert job["result"] == {"tables": [{"table": "converted.places", "rows": 3}]}
    table = raw.catalog.pyiceberg().load_table("converted.places")
    rows = table.scan().to_arrow().to_pylist()
    assert {row["name"] for row in rows} == set(PLACES["name"])
    europe = table.scan("bbox_xmax >= 0 and bbox_xmin <= 30 and bbox_ymax >= 40").to_arrow()
    assert set(europe.column("name").to_pylist()) == {"Paris", "Łódź"}
    duck = attached(raw.catalog)
    query = (
        "select name, st_astext(st_centroid(st_geomfromwkb(geometry))) from lake.converted.places"
    )
    assert dict(duck.execute(query).fetchall())["Paris"] == "POINT (2.35 48.86)"
    assert raw.keys() == ["places.geojson"]
    [file] = [task.file.file_path for task in table.scan().plan_files()]
    assert file.startswith(table.location())


def test_a_shapefile_is_fetched_with_its_companions(raw, tmp_path):
    PLACES[PLACES.geom_type == "Point"].to_file(tmp_path / "places.shp")
    PLACES[:1].to_file(tmp_path / "places2.shp")
    for part in tmp_path.iterdir():
        raw.put(f"shapes/{part.name}", part.read_bytes())
    job = ended(raw.http, convert(raw, "shapes/places.shp", name="shapes"))
    assert job["result"] == {"tables": [{"table": "converted.shapes", "rows": 2}]}


def test_a_csv_without_positions_is_said_to_become_a_table_of_no_geometry_and_does(raw):
    raw.put("prices.csv", b"name,price\na,1\nb,2\n")
    [offered] = raw.scan()["report"]["convertible"]
    assert offered["reasons"] == [
        "one file of the format CSV, which no engine reads as a table",
        "without columns of positions or WKT it becomes a table of no geometry",
    ]
    job = ended(raw.http, convert(raw, "prices.csv", name="prices"))
    assert (job["state"], job["error"]) == ("succeeded", None)
    table = raw.catalog.pyiceberg().load_table("converted.prices")
    assert table.scan().to_arrow().column_names == ["name", "price"]


def test_a_folder_of_one_format_becomes_one_table(raw, geojson):
    for name in ("2024.geojson", "2025.geojson"):
        raw.put(f"years/{name}", geojson)
    raw.put("years/notes.txt", b"hello")
    job = ended(raw.http, convert(raw, "years", format="GeoJSON", name="years"))
    assert job["result"] == {"tables": [{"table": "converted.years", "rows": 6}]}


def test_a_conversion_that_is_run_again_after_it_was_cut_off_makes_its_table_once(
    raw, geojson, monkeypatch
):
    raw.put("places.geojson", geojson)
    conversions = raw.server.services.conversions
    register = conversions._registration.register
    calls = []

    def cut_off(*args, **options):
        calls.append(options["at"])
        if len(calls) == 1:
            raise JobInterrupted
        return register(*args, **options)

    monkeypatch.setattr(conversions._registration, "register", cut_off)
    job = ended(raw.http, convert(raw, "places.geojson", name="again"))
    assert job["state"] == "succeeded", job
    assert calls == [calls[0], calls[0]]
    table = raw.catalog.pyiceberg().load_table("converted.again")
    assert len(table.scan().to_arrow()) == 3


def test_a_conversion_that_fails_leaves_nothing_behind(raw, geojson, monkeypatch):
    raw.put("places.geojson", geojson)
    conversions = raw.server.services.conversions
    places = []

    def refuse(*_args, at):
        places.append(at)
        raise AlreadyExists("Table already exists: converted.lost")

    monkeypatch.setattr(conversions._registration, "register", refuse)
    job = ended(raw.http, convert(raw, "places.geojson", name="lost"))
    assert (job["state"], job["error"]) == ("failed", "Table already exists: converted.lost")
    [place] = places
    assert raw.s3.list_objects_v2(Bucket="lake", Prefix=place.key)["KeyCount"] == 0


REFUSED = {
    "an unknown format": ({"source": "a.xyz", "name": "t"}, 400, "the format of"),
    "a folder without a format": ({"source": "folder", "name": "t"}, 400, "the format of"),
    "no such format": ({"source": "a", "format": "DOC", "name": "t"}, 400, "the format of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_refused_at_once(raw, case):
    options, status, words = REFUSED[case]
    assert words in convert(raw, options.pop("source"), status=status, **options)["detail"]


def test_sources_outside_of_the_storage_or_of_other_tables_are_refused(raw):
    base = f"/api/v1/catalogs/{raw.catalog.id}/conversions"
    made = raw.http.get(f"/api/v1/catalogs/{raw.catalog.id}").json()
    for source in ("s3://elsewhere/a.geojson", f"{made['location']}/{uuid7()}/a.geojson"):
        body = {"source": source, "namespace": "n", "name": "t"}
        assert raw.http.post(base, json=body).status_code == 400


def test_a_file_that_is_broken_or_gone_fails_the_job_with_its_name(raw):
    raw.put("broken.geojson", b'{"type": "Feature')
    broken = ended(raw.http, convert(raw, "broken.geojson", name="broken"))
    assert broken["state"] == "failed"
    assert "broken.geojson` cannot be read as GeoJSON" in broken["error"]
    gone = ended(raw.http, convert(raw, "gone.geojson", name="gone"))
    assert gone["state"] == "failed"
    assert "there is no GeoJSON file at" in gone["error"]
    listed = raw.http.get(f"{raw.catalog.base}/namespaces/converted/tables")
    assert listed.status_code == 404 or listed.json()["identifiers"] == []
