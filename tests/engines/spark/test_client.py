"""What the Python client asks of a Spark session, done by a real one."""

import pytest

import graticule.client
from engines.conftest import IN_PARIS, PARIS

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]

EXACT = "ST_Intersects(ST_GeomFromWKB(geometry), ST_PolygonFromEnvelope(2.1, 48.7, 2.6, 49.05))"


class Asked:
    """What the client asks of a session, as code: the session is in another process."""

    def __init__(self, code):
        self.code = code

    def __getattr__(self, name):
        return Asked(f"{self.code}.{name}")

    def __call__(self, *given):
        return Asked(f"{self.code}({', '.join(map(repr, given))})")


def test_the_table_that_spark_is_handed_opens_only_files_in_the_area(sedona, lake, meter):
    sedona.connect(lake.catalog, "asked")
    server = lake.catalog.server
    table = graticule.client.open(
        f"{lake.catalog.name}.world.cities_hilbert",
        uri=server.url,
        credential=server.key.credential,
    )
    asked = table.within(PARIS).to_spark(Asked("sedona"), "asked.world.cities_hilbert")
    with meter.measured(lake.root("cities_hilbert")) as measured:
        rows = sedona.python(
            f"result = [list(row) for row in {asked.code}.where({EXACT!r})"
            ".selectExpr('count(*)', 'sum(geonameid)').collect()]"
        )
    assert rows == [list(IN_PARIS)]
    assert measured.reads.files == 2
    paths = table.within(PARIS).files().paths
    loaded = table.within(PARIS).to_sedona(Asked("sedona"))
    assert loaded.code == f"sedona.read.format('geoparquet').load({paths!r})"
