import pytest

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.types import (
    GeospatialType,
    canonical_type,
    minimum_format_version,
    parse_geospatial,
)


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("LONG", "long"),
        ("TimestampTZ", "timestamptz"),
        ("decimal(9,2)", "decimal(9, 2)"),
        ("Decimal( 38 , 0 )", "decimal(38, 0)"),
        ("fixed[ 16 ]", "fixed[16]"),
        ("variant", "variant"),
        ("geometry", "geometry"),
        ("Geometry", "geometry"),
        ("geometry()", "geometry"),
        ("geometry(OGC:CRS84)", "geometry"),
        ("geometry(ogc:crs84)", "geometry"),
        ("geometry('OGC:CRS84')", "geometry"),
        ('geometry("EPSG:4326")', "geometry"),
        ("geometry( srid:4326 )", "geometry"),
        ("GEOMETRY(EPSG:3857)", "geometry(EPSG:3857)"),
        ("geometry('EPSG:3857')", "geometry(EPSG:3857)"),
        ("geometry(projjson:My Crs)", "geometry(projjson:My Crs)"),
        ("geography", "geography"),
        ("geography(OGC:CRS84, spherical)", "geography"),
        ("geography('OGC:CRS84', 'spherical')", "geography"),
        ("geography(EPSG:4326, Karney)", "geography(OGC:CRS84, karney)"),
        ("geography(EPSG:4269)", "geography(EPSG:4269)"),
        ("geography('EPSG:4269', \"vincenty\")", "geography(EPSG:4269, vincenty)"),
    ],
)
def test_every_spelling_in_use_has_one_canonical_form_that_is_its_own(spelling, canonical):
    assert (canonical_type(spelling), canonical_type(canonical)) == (canonical, canonical)


@pytest.mark.parametrize(
    "spelling",
    [
        "", "integer", "decimal(39, 0)", "decimal(2, 3)", "decimal(0, 0)", "fixed[x]", "geom",
        "geometry(", "geometry(a)b)", "geometry(a,b)", "geometry('a,b')", "geometry(a(b))",
        "geometry('EPSG:3857)", "geometry(a\nb)", "geometry(" + "x" * 256 + ")", "geometryx",
        "geography(EPSG:4326, planar)", "geography(EPSG:4326,)", "geography(a, spherical, b)",
        "geography('a,b', spherical)", "geography('a)', spherical)",
    ],
)  # fmt: skip
def test_a_type_that_cannot_be_written_back_is_refused(spelling):
    with pytest.raises(InvalidRequest):
        canonical_type(spelling)


def test_a_geospatial_type_is_read_with_its_defaults_filled_in():
    assert [parse_geospatial("geometry"), parse_geospatial("geography('EPSG:4269')")] == [
        GeospatialType("geometry", "OGC:CRS84", None),
        GeospatialType("geography", "EPSG:4269", "spherical"),
    ]


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("long", 1),
        ("timestamp", 1),
        ("timestamp_ns", 3),
        ("timestamptz_ns", 3),
        ("unknown", 3),
        ("variant", 3),
        ("geometry(EPSG:3857)", 3),
        ("geography", 3),
    ],
)
def test_types_know_the_format_version_that_brought_them(kind, version):
    assert minimum_format_version(kind) == version
