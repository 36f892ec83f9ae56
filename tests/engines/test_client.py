"""The Python client beside the engines: what it asks of the store, and what it hands on."""

import pyarrow as pa
import pytest

import graticule.client
from engines.conftest import IN_PARIS, PARIS
from support.engine_list import SEDONADB

AROUND = "POLYGON ((2 48, 3 48, 3 50, 2 50, 2 48))"


@pytest.fixture
def cities(lake):
    server = lake.catalog.server
    return graticule.client.open(
        f"{lake.catalog.name}.world.cities_hilbert",
        uri=server.url,
        credential=server.key.credential,
    )


def test_the_client_reads_listed_files_alone_and_few_bytes_of_them(cities, lake, meter):
    paris = cities.within(PARIS)
    listing = paris.files()
    with meter.measured(lake.root("cities_hilbert/")) as measured:
        rows = paris.to_arrow(["geonameid"])
    ids = rows["geonameid"].to_pylist()
    assert (len(ids), sum(ids)) == IN_PARIS
    assert measured.reads.files == len(listing) == 2
    listed = sum(file.size_bytes for file in listing)
    assert measured.reads.bytes <= listed < listing.totals["bytes"] / 20


class Context:
    """Takes what the client hands over, for SedonaDB itself, which lives in another environment."""

    def create_data_frame(self, rows):
        self.rows = rows
        return self


def test_sedonadb_knows_the_geometries_that_it_is_handed(cities, lake, python, tmp_path):
    handed = cities.within(PARIS).to_sedonadb(Context(), ["geonameid", "geometry"]).rows
    path = tmp_path / "rows.arrow"
    with pa.ipc.new_file(path, handed.schema) as writer:
        writer.write_table(handed)
    told = python(
        SEDONADB,
        lake.catalog,
        f"""
        import pyarrow as pa
        rows = pa.ipc.open_file({str(path)!r}).read_all()
        sd.create_data_frame(rows).to_view("handed", overwrite=True)
        shape = "ST_SetCRS(ST_GeomFromText('{AROUND}'), 'OGC:CRS84')"
        counted = sd.sql(f"select count(*) as n from handed where ST_Within(geometry, {{shape}})")
        result(counted.to_arrow_table().to_pylist())
        """,
    )
    assert told == [{"n": IN_PARIS[0]}]
