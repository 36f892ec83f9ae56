"""What the Python client asks of a Spark session, done by a real one."""

from uuid import uuid4

import pyarrow as pa
import pytest

import graticule.client
from engines.conftest import IN_PARIS, PARIS
from engines.spark.conftest import hadoop_settings
from support.lake import RawFolder
from support.parquet_files import geo, parquet, point
from support.spark import on_sampled_sedonas

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


@on_sampled_sedonas
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


def test_the_files_that_sedona_is_handed_hold_every_row_in_the_area(sedona, http, meter):
    """By its GeoParquet source, in a session that knows the store as Hadoop does."""
    server = sedona.catalog.server
    made = server.new_catalog()
    raw = RawFolder(server, made, http, f"handed-{uuid4().hex[:8]}/")
    for i in range(8):
        places = [point(i * 10 + part, 0.5) for part in (0, 1, 2)]
        columns = {"id": pa.array(range(i * 3, i * 3 + 3)), "geometry": pa.array(places)}
        raw.put(f"roads/{i}.parquet", parquet(columns, metadata=geo()))
    outcomes = raw.register(raw.scan(), namespace="found").json()["tables"]
    assert [outcome["error"] for outcome in outcomes] == [None]
    given = http.get(f"{made.base}/namespaces/found/tables/roads/credentials").json()
    settings = hadoop_settings(given["storage-credentials"][0]["config"])
    table = graticule.client.open(
        f"{made.name}.found.roads", uri=server.url, credential=server.key.credential
    )

    for name, value in settings.items():
        sedona.set(name, value)
    try:
        asked = table.within((31, 0, 41.5, 1)).to_sedona(Asked("sedona"))
        inside = "ST_Intersects(geometry, ST_PolygonFromEnvelope(31D, 0D, 41.5D, 1D))"
        with meter.measured(raw.prefix) as measured:
            rows = sedona.python(
                f"rows = {asked.code}.where({inside!r}).select('id').orderBy('id').collect()\n"
                "result = [row['id'] for row in rows]"
            )
    finally:
        for name in settings:
            sedona.python(f"spark.conf.unset({name!r})")
    assert rows == [10, 11, 12, 13]
    assert measured.reads.files == 2
