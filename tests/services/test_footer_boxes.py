"""Boxes out of footers are of the table's column, whatever it is called in a file."""

import json

import pyarrow as pa
import pytest

from graticule.domain.errors import NoSuchFile
from graticule.planning.files import DataFileEntry
from graticule.planning.row_group import RowGroup
from graticule.planning.table_places import place_of
from graticule.services.planning.footer_boxes import FooterBoxes, FooterReader
from graticule.spatial.bounding_box import UNKNOWN, BoundingBox, exact, outer
from graticule.storage.inspection_workers import InspectionWorkers
from support.parquet_files import native, parquet, point

HERE, THERE = exact(BoundingBox(1, 2, 1, 2)), exact(BoundingBox(8, 9, 8, 9))


@pytest.fixture(scope="module")
def workers():
    with InspectionWorkers(1) as workers:
        yield workers


class Store:
    def __init__(self, files):
        self.files = files

    def get(self, path, *, range):  # noqa: A002 - as the real store names it
        if path not in self.files:
            raise NoSuchFile(path)
        return self.files[path][range[0] : range[0] + range[1]]


def document(*fields, **properties):
    fields = [{"id": i, "name": name, "required": False, "type": t} for i, name, t in fields]
    schema = {"type": "struct", "schema-id": 0, "fields": fields}
    return {"current-schema-id": 0, "schemas": [schema], "properties": properties}


def boxes_of(workers, table, **files):
    store = Store(files)
    entries = {
        at: DataFileEntry(path, len(files.get(path, b"")), 1, 0) for at, path in enumerate(files)
    }
    place = place_of(table, table["schemas"][0])
    return FooterReader(store, workers, table, place).read(entries)


def with_ids(**columns):
    fields = [
        pa.field(name, array.type, metadata={"PARQUET:field_id": str(field_id)})
        for name, (field_id, array) in columns.items()
    ]
    arrays = [array for _, array in columns.values()]
    return parquet(pa.table(arrays, schema=pa.schema(fields)))


GEO = json.dumps({"primary_column": "geom", "columns": {"geom": {"encoding": "WKB"}}})


def test_each_row_group_has_its_bytes_rows_and_box(workers):
    data = parquet({"geom": native([point(1, 2), point(8, 9)])}, rows_per_group=1)
    found = boxes_of(workers, document((1, "geom", "binary"), geo=GEO), a=data)[0]
    assert found.file_box == exact(BoundingBox(1, 2, 8, 9))
    assert [(g.ordinal, g.span.rows, g.box) for g in found.row_groups] == [
        (0, 1, HERE),
        (1, 1, THERE),
    ]
    first, second = (group.span for group in found.row_groups)
    assert (first.offset, first.offset + first.size_bytes) == (4, second.offset)


def test_columns_that_swapped_their_names_keep_their_boxes(workers):
    """`geom` was `centre` when the file was written, and the other way around."""
    data = with_ids(centre=(1, native([point(1, 2)])), geom=(2, native([point(8, 9)])))
    table = document((1, "geom", "binary"), (2, "centre", "binary"), geo=GEO)
    assert boxes_of(workers, table, a=data)[0].file_box == HERE


def test_names_of_files_without_ids_are_those_of_the_mapping(workers):
    data = parquet({"shape": native([point(1, 2)]), "geom": native([point(8, 9)])})
    mapping = json.dumps([{"field-id": 1, "names": ["shape"]}, {"field-id": 2, "names": ["geom"]}])
    table = document(
        (1, "geom", "binary"),
        (2, "other", "binary"),
        geo=GEO,
        **{"schema.name-mapping.default": mapping},
    )
    assert boxes_of(workers, table, a=data)[0].file_box == HERE


def test_a_column_that_two_names_could_mean_is_not_known(workers):
    data = parquet({"shape": native([point(1, 2)]), "geom": native([point(8, 9)])})
    mapping = json.dumps([{"field-id": 1, "names": ["shape", "geom"]}])
    table = document((1, "geom", "binary"), geo=GEO, **{"schema.name-mapping.default": mapping})
    assert boxes_of(workers, table, a=data) == {}


def test_positions_have_row_groups_too(workers):
    data = parquet({"lon": pa.array([1.0, 8.0]), "lat": pa.array([2.0, 9.0])}, rows_per_group=1)
    table = document((1, "lon", "double"), (2, "lat", "double"))
    found = boxes_of(workers, table, a=data)[0]
    assert [group.box for group in found.row_groups] == [
        outer(BoundingBox(1, 2, 1, 2)),
        outer(BoundingBox(8, 9, 8, 9)),
    ]


def test_positions_of_other_columns_are_not_taken_for_them(workers):
    data = parquet({"x": pa.array([1.0]), "y": pa.array([2.0])})
    table = document((1, "lon", "double"), (2, "lat", "double"))
    assert boxes_of(workers, table, a=data) == {}


def test_what_cannot_be_read_is_left_out(workers):
    good = parquet({"geom": native([point(1, 2)])})
    table = document((1, "geom", "binary"), geo=GEO)
    found = boxes_of(workers, table, a=good[:-9], b=b"", c=parquet({"id": pa.array([1])}), d=good)
    assert list(found) == [3]
    assert isinstance(found[3], FooterBoxes)
    assert isinstance(found[3].row_groups[0], RowGroup)


@pytest.mark.parametrize(
    ("column", "is_known"),
    [
        (native([point(1, 2)]), True),
        (native([point(1, 2)], crs="EPSG:4326"), True),
        (native([point(1, 2)], crs="EPSG:3857"), False),
        (native([point(950_000, 2)]), False),
    ],
    ids=["same", "same place", "another", "impossible"],
)
def test_numbers_of_another_reference_system_are_not_compared(workers, column, is_known):
    data = parquet({"geom": column})
    found = boxes_of(workers, document((1, "geom", "binary"), geo=GEO), a=data)[0]
    assert (found.file_box != UNKNOWN, found.row_groups[0].box != UNKNOWN) == (is_known, is_known)


def test_where_the_table_knows_no_reference_system_numbers_are_numbers(workers):
    unknown = json.dumps({"primary_column": "geom", "columns": {"geom": {"crs": None}}})
    data = parquet({"geom": native([point(950_000, 2)])})
    found = boxes_of(workers, document((1, "geom", "binary"), geo=unknown), a=data)[0]
    assert found.file_box == exact(BoundingBox(950_000, 2, 950_000, 2))
