import json
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from graticule.domain.errors import InvalidRequest
from graticule.planning.files import DataFileEntry
from graticule.planning.tasks import content_file, file_scan_task, partition_types
from graticule.spatial.bounding_box import WHOLE_PLANE

ENTRY = DataFileEntry(
    path="s3://lake/t/a.parquet",
    size_bytes=1000,
    record_count=10,
    spec_id=1,
    partition=(18_262, 1, Decimal("1.2"), UUID(int=7), None),
    sort_order_id=0,
    column_sizes={1: 5, 2: 6},
    value_counts={1: 10, 2: 10},
    null_value_counts={1: 0},
    lower_bounds={1: b"\x0a\0\0\0", 2: b"a"},
    upper_bounds={1: b"\x0b\0\0\0", 2: b"z"},
    split_offsets=(4, 500),
    key_metadata=b"\xab",
    first_row_id=0,
)
TYPES = ("date", "double", "decimal(9, 2)", "uuid", "string")

PLAIN = {
    "spec-id": 1,
    "content": "data",
    "file-path": "s3://lake/t/a.parquet",
    "file-format": "parquet",
    "partition": ["2020-01-01", 1.0, "1.20", "00000000-0000-0000-0000-000000000007", None],
    "file-size-in-bytes": 1000,
    "record-count": 10,
    "key-metadata": "AB",
    "split-offsets": [4, 500],
    "sort-order-id": 0,
    "first-row-id": 0,
}


def test_a_data_file_without_statistics():
    assert content_file(ENTRY, partition_types=TYPES) == PLAIN
    assert '"partition": ["2020-01-01", 1.0,' in json.dumps(
        content_file(ENTRY, partition_types=TYPES)
    )


def test_a_partition_value_whose_type_nobody_knows_any_more_is_null():
    """The column was dropped, and every schema that had it has expired."""
    document = {
        "schemas": [{"schema-id": 3, "fields": [{"id": 9, "name": "x", "type": "long"}]}],
        "partition-specs": [
            {
                "spec-id": 1,
                "fields": [
                    {"source-id": 1, "field-id": 1000, "name": "a", "transform": "identity"},
                    {"source-id": 1, "field-id": 1001, "name": "b", "transform": "bucket[4]"},
                    {"source-id": 9, "field-id": 1002, "name": "c", "transform": "identity"},
                ],
            }
        ],
    }
    types = partition_types(document)[1]
    entry = replace(ENTRY, partition=(Decimal("1.2"), 3, 5))
    assert content_file(entry, partition_types=types)["partition"] == [None, 3, 5]


def test_statistics_of_the_columns_that_were_asked_for():
    assert content_file(ENTRY, partition_types=TYPES, stats_fields=[1, 99]) == PLAIN | {
        "column-sizes": {"keys": [1], "values": [5]},
        "value-counts": {"keys": [1], "values": [10]},
        "null-value-counts": {"keys": [1], "values": [0]},
        "lower-bounds": {"keys": [1], "values": ["0A000000"]},
        "upper-bounds": {"keys": [1], "values": ["0B000000"]},
    }


def test_a_bare_file_has_no_nulls_and_an_empty_partition():
    bare = DataFileEntry("s3://lake/b.orc", 1, 2, 0, file_format="ORC")
    assert content_file(bare, partition_types=()) == {
        "spec-id": 0,
        "content": "data",
        "file-path": "s3://lake/b.orc",
        "file-format": "orc",
        "partition": [],
        "file-size-in-bytes": 1,
        "record-count": 2,
    }


def test_an_unknown_box_is_finite_in_json():
    entry = DataFileEntry("p", 1, 2, 0, partition=WHOLE_PLANE)
    document = content_file(entry, partition_types=["double"] * 4)
    assert json.loads(json.dumps(document, allow_nan=False))["partition"] == list(WHOLE_PLANE)


def test_delete_files_say_what_they_delete():
    vector = DataFileEntry(
        "s3://lake/d.puffin",
        9,
        1,
        0,
        content="position-deletes",
        file_format="puffin",
        referenced_data_file="s3://lake/a.parquet",
        content_offset=4,
        content_size_bytes=40,
    )
    assert content_file(vector, partition_types=()) == {
        "spec-id": 0,
        "content": "position-deletes",
        "file-path": "s3://lake/d.puffin",
        "file-format": "puffin",
        "partition": [],
        "file-size-in-bytes": 9,
        "record-count": 1,
        "referenced-data-file": "s3://lake/a.parquet",
        "content-offset": 4,
        "content-size-in-bytes": 40,
    }
    equality = DataFileEntry("p", 1, 1, 0, content="equality-deletes", equality_ids=(1, 2))
    assert content_file(equality, partition_types=())["equality-ids"] == [1, 2]


def test_a_task_always_has_a_residual():
    residual = {"type": "eq", "term": "id", "value": 1}
    assert file_scan_task(ENTRY, residual, partition_types=TYPES) == {
        "data-file": PLAIN,
        "residual-filter": residual,
    }
    task = file_scan_task(ENTRY, True, partition_types=TYPES, delete_file_references=[0, 2])
    assert (task["residual-filter"], task["delete-file-references"]) == (True, [0, 2])


def test_a_partition_that_does_not_fit_its_spec_is_not_served():
    with pytest.raises(ValueError, match="shorter"):
        content_file(ENTRY, partition_types=(*TYPES, "int"))
    with pytest.raises(InvalidRequest):
        content_file(ENTRY, partition_types=("int", "int", "int", "int", "int"))
