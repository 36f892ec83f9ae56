import json

import pytest

from graticule.spatial.crs import (
    CRS84,
    UNKNOWN_CRS,
    Crs,
    agreed,
    of_geoparquet,
    of_parquet,
    parse_name,
)

PROJJSON = {"type": "GeographicCRS", "id": {"authority": "OGC", "code": "CRS84"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EPSG:3857", Crs("EPSG:3857")),
        ("ogc:crs84", CRS84),
        ("srid:4326", Crs("EPSG:4326")),
        ("srid:0", UNKNOWN_CRS),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", CRS84),
        ("urn:ogc:def:crs:EPSG::25832", Crs("EPSG:25832")),
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", CRS84),
        ('GEOGCS["WGS 84"]', UNKNOWN_CRS),
        ("somewhere", UNKNOWN_CRS),
        ("", UNKNOWN_CRS),
    ],
)
def test_names_of_reference_systems(text, expected):
    assert parse_name(text) == expected


def test_geoparquet_without_a_crs_is_crs84_and_with_a_null_one_is_unknown():
    assert of_geoparquet({}) == CRS84
    assert of_geoparquet({"crs": None}) == UNKNOWN_CRS
    assert of_geoparquet({"crs": PROJJSON}) == CRS84
    assert of_geoparquet({"crs": {"name": "local grid"}}) == UNKNOWN_CRS
    assert of_geoparquet({"crs": {"id": {"authority": "EPSG", "code": 3857}}}) == Crs("EPSG:3857")


def test_parquet_types_name_a_crs_or_point_at_one():
    assert of_parquet(None) == CRS84
    assert of_parquet("") == CRS84
    assert of_parquet("EPSG:3857") == Crs("EPSG:3857")
    assert of_parquet(json.dumps(PROJJSON)) == CRS84
    assert of_parquet("projjson:my_crs", {"my_crs": json.dumps(PROJJSON)}) == CRS84
    assert of_parquet("projjson:my_crs", {}) == UNKNOWN_CRS
    assert of_parquet("{broken") == UNKNOWN_CRS


def test_declarations_agree_when_they_mean_the_same():
    assert agreed(CRS84, Crs("EPSG:4326")) == CRS84
    assert agreed(Crs("EPSG:3857"), Crs("EPSG:3857")) == Crs("EPSG:3857")
    assert agreed(CRS84, Crs("EPSG:3857")) == UNKNOWN_CRS
    assert agreed(CRS84, UNKNOWN_CRS) == UNKNOWN_CRS
    assert agreed() == UNKNOWN_CRS


def test_only_wgs84_degrees_are_lonlat():
    assert CRS84.is_lonlat
    assert Crs("EPSG:4326").is_default
    assert not Crs("EPSG:4269").is_lonlat
    assert not UNKNOWN_CRS.is_lonlat
