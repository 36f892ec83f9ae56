import math
import re
import struct
import uuid
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import MANIFEST_ENTRY_SCHEMAS
from pyiceberg.manifest import read_manifest_list as pyiceberg_manifest_list
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import BinaryType, LongType, NestedField, StringType, TimestampType

from graticule.domain.errors import UnreadableFile
from graticule.planning.files import EQUALITY_DELETES, POSITION_DELETES, DataFileEntry
from graticule.storage.avro_io import schema_model, write_avro
from graticule.storage.manifest_writer import (
    with_row_ids,
    write_manifest_list,
    write_manifests,
)
from graticule.storage.manifests import (
    FieldSummary,
    Manifest,
    read_entries,
    read_manifest,
    read_manifest_list,
)

SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [
        {"id": 1, "name": "id", "required": False, "type": "long"},
        {"id": 2, "name": "geometry", "required": False, "type": "geometry(EPSG:3857)"},
        {"id": 3, "name": "file_xmin", "required": False, "type": "double"},
        {"id": 4, "name": "continent", "required": False, "type": "string"},
    ],
}
SPEC = {
    "spec-id": 0,
    "fields": [
        {"source-id": 4, "field-id": 1000, "name": "continent", "transform": "identity"},
        {"source-id": 3, "field-id": 1001, "name": "file_xmin", "transform": "identity"},
    ],
}
FOLDER = "s3://lake/table/metadata/"


def entry(number, partition=("EU", 1.5), **changes):
    values = {
        "path": f"s3://lake/table/{number}.parquet",
        "size_bytes": 1000 + number,
        "record_count": 10 + number,
        "spec_id": 0,
        "partition": partition,
        "column_sizes": {1: 40, 2: 50},
        "value_counts": {1: 10},
        "null_value_counts": {1: 0},
        "lower_bounds": {1: struct.pack("<q", 1)},
        "upper_bounds": {1: struct.pack("<q", 9)},
        "split_offsets": (4, 500),
    }
    return DataFileEntry(**values | changes)


def written(entries, *, schema=SCHEMA, spec=SPEC, **options):
    return write_manifests(
        entries, schema=schema, spec=spec, snapshot_id=7, folder=FOLDER, token="t", **options
    )


def snapshot(manifests, **options):
    """A manifest list and a function that fetches its manifests."""
    listed = write_manifest_list(
        [manifest.manifest for manifest in manifests],
        **{"snapshot_id": 7, "parent_snapshot_id": None, "sequence_number": 3} | options,
    )
    return listed, {manifest.manifest.path: manifest.data for manifest in manifests}.__getitem__


def test_what_is_written_is_read_with_sequence_numbers_inherited():
    entries = [entry(0), entry(1, ("AF", -2.0)), entry(2, (None, None))]
    assert list(read_entries(*snapshot(written(entries)))) == [
        replace(file, sequence_number=3, file_sequence_number=3) for file in entries
    ]


def test_entries_keep_their_order_and_fill_manifest_after_manifest():
    manifests = written([entry(number) for number in range(5)], entries_max=2)
    assert [manifest.manifest.added_files_count for manifest in manifests] == [2, 2, 1]
    assert [manifest.manifest.path for manifest in manifests] == [
        f"{FOLDER}t-m{number}.avro" for number in range(3)
    ]
    files = read_entries(*snapshot(manifests))
    assert [file.path for file in files] == [f"s3://lake/table/{n}.parquet" for n in range(5)]


def test_the_manifest_list_sums_up_partitions_and_counts():
    listed, _ = snapshot(written([entry(0, ("EU", 1.5)), entry(1, (None, math.nan))]))
    (found,) = read_manifest_list(listed)
    assert found == Manifest(
        path=f"{FOLDER}t-m0.avro",
        size_bytes=found.size_bytes,
        spec_id=0,
        added_snapshot_id=7,
        sequence_number=3,
        min_sequence_number=3,
        added_files_count=2,
        existing_files_count=0,
        deleted_files_count=0,
        added_rows_count=21,
        existing_rows_count=0,
        deleted_rows_count=0,
        partitions=(
            FieldSummary(True, False, b"EU", b"EU"),
            FieldSummary(False, True, struct.pack("<d", 1.5), struct.pack("<d", 1.5)),
        ),
    )


def test_carried_over_files_keep_their_numbers_and_removed_ones_are_gone():
    kept = entry(0, sequence_number=1, file_sequence_number=1)
    gone = entry(1, sequence_number=2, file_sequence_number=2)
    manifests = written([entry(2), kept], deleted=[gone])
    listed, fetch = snapshot(manifests)
    assert list(read_entries(listed, fetch)) == [
        replace(entry(2), sequence_number=3, file_sequence_number=3),
        kept,
    ]
    assert [
        (m.added_files_count, m.existing_files_count, m.deleted_files_count, m.min_sequence_number)
        for m in read_manifest_list(listed)
    ] == [(1, 0, 0, 3), (0, 1, 0, 1), (0, 0, 1, 3)]


def test_a_second_snapshot_lists_the_manifests_of_the_first():
    first, fetch_first = snapshot(written([entry(0)]))
    added = written([entry(1)], spec=SPEC)
    second = write_manifest_list(
        [*read_manifest_list(first), replace(added[0].manifest, path="s3://lake/new.avro")],
        snapshot_id=7,
        parent_snapshot_id=6,
        sequence_number=4,
    )
    fetch = {
        "s3://lake/new.avro": added[0].data,
        f"{FOLDER}t-m0.avro": fetch_first(f"{FOLDER}t-m0.avro"),
    }
    files = list(read_entries(second, fetch.__getitem__))
    assert [file.sequence_number for file in files] == [3, 4]


def test_all_partition_types_survive():
    types = {
        "boolean": True,
        "int": -1,
        "long": 2**40,
        "float": 0.5,
        "double": -179.877,
        "date": 18_262,
        "time": 1,
        "timestamp": -1,
        "timestamptz": 2**50,
        "timestamp_ns": -7,
        "timestamptz_ns": 2**60,
        "string": "Zürich",
        "uuid": uuid.UUID(int=7),
        "fixed[2]": b"ab",
        "binary": b"\x00",
        "decimal(9, 2)": Decimal("-1.23"),
        "decimal(38, 2)": Decimal("123456789012345678901234567890123456.78"),
    }
    schema = {
        "type": "struct",
        "schema-id": 0,
        "fields": [
            {"id": number, "name": f"c{number}", "required": False, "type": type_}
            for number, type_ in enumerate(types, 1)
        ],
    }
    spec = {
        "spec-id": 4,
        "fields": [
            {
                "source-id": number,
                "field-id": 999 + number,
                "name": f"c{number}",
                "transform": "identity",
            }
            for number in range(1, len(types) + 1)
        ],
    }
    file = entry(0, tuple(types.values()), spec_id=4)
    (found,) = read_entries(*snapshot(written([file], schema=schema, spec=spec)))
    assert found.partition == file.partition


def test_partition_fields_have_names_that_every_avro_library_takes():
    """Avro's C library, which DuckDB has, ends the process over letters of other scripts."""
    names = ["größe m²", "日", "2nd", "plain_1"]
    fields = [
        {"id": number, "name": name, "required": False, "type": "int"}
        for number, name in enumerate(names, 1)
    ]
    partition = [
        {"source-id": n, "field-id": 999 + n, "name": name, "transform": "identity"}
        for n, name in enumerate(names, 1)
    ]
    schema = {"type": "struct", "schema-id": 0, "fields": fields}
    manifests = written(
        [entry(0, (1, 2, 3, None))], schema=schema, spec={"spec-id": 0, "fields": partition}
    )
    text = manifests[0].data.decode("utf-8", "replace")
    found = re.findall(r'"name": ?"([^"]+)"[^{}]*"field-id": ?(?:100[0-3]),?', text)
    assert found == ["gr_xF6_xDFe_x20m_xB2", "_x65E5", "_2nd", "plain_1"]
    [read] = read_entries(*snapshot(manifests))
    assert read.partition == (1, 2, 3, None)


def test_a_file_of_another_spec_is_refused():
    with pytest.raises(ValueError, match="does not belong"):
        written([entry(0, spec_id=1)])


def test_types_that_pyiceberg_cannot_parse_are_binary_to_it():
    fields = [
        {"id": 1, "name": "geometry", "required": True, "type": "geography(srid:4326, karney)"},
        {
            "id": 2,
            "name": "element",
            "required": False,
            "type": {
                "type": "list",
                "element-id": 3,
                "element": "geometry",
                "element-required": False,
            },
        },
    ]
    model = schema_model({"type": "struct", "schema-id": 0, "fields": fields})
    assert [str(field) for field in model.fields] == [
        "1: geometry: required binary",
        "2: element: optional list<binary>",
    ]


# Damage.


@pytest.mark.parametrize("data", [b"", b"Obj\x01", b"PAR1", b"Obj\x01" + b"\xff" * 100])
def test_what_is_no_avro_file_is_unreadable(data):
    with pytest.raises(UnreadableFile, match="list"):
        read_manifest_list(data)


def test_a_manifest_that_is_cut_short_is_unreadable_and_never_a_shorter_manifest():
    (manifest,) = written([entry(number) for number in range(3)])
    for length in range(0, len(manifest.data), 7):
        with pytest.raises(UnreadableFile, match=r"t-m0\.avro"):
            read_manifest(manifest.data[:length], manifest.manifest)


# Written by others.


def local(path):
    return Path(path.removeprefix("file://")).read_bytes()


@pytest.fixture
def table(tmp_path):
    catalog = SqlCatalog("t", uri="sqlite:///:memory:", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("n")
    schema = Schema(
        NestedField(1, "at", TimestampType()),
        NestedField(2, "name", StringType()),
        NestedField(3, "geometry", BinaryType()),
        NestedField(4, "id", LongType()),
    )
    spec = PartitionSpec(
        PartitionField(2, 1000, IdentityTransform(), "name"),
        PartitionField(4, 1001, IdentityTransform(), "id"),
    )
    yield catalog.create_table("n.t", schema, partition_spec=spec)
    catalog.close()


def rows(*ids):
    return pa.table(
        {
            "at": pa.array([0 for _ in ids], pa.timestamp("us")),
            "name": pa.array([f"n{number}" for number in ids]),
            "geometry": pa.array([b"\x00" for _ in ids]),
            "id": pa.array(ids, pa.int64()),
        }
    )


def test_manifests_of_pyiceberg_are_read(table):
    table.append(rows(1, 2))
    table.append(rows(3))
    table.delete("id = 2")
    listed = local(table.current_snapshot().manifest_list)
    files = sorted(read_entries(listed, local), key=lambda file: file.partition)
    assert [(f.partition, f.record_count) for f in files] == [(("n1", 1), 1), (("n3", 3), 1)]
    assert [(f.sequence_number, f.spec_id, f.file_format) for f in files] == [
        (1, 0, "parquet"),
        (2, 0, "parquet"),
    ]
    assert files[0].lower_bounds[4] == struct.pack("<q", 1)


def test_pyiceberg_reads_our_manifests_and_prunes_by_their_summaries(tmp_path):
    manifests = write_manifests(
        [entry(0, ("EU", 1.5)), entry(1, ("AF", 2.5))],
        schema=SCHEMA,
        spec=SPEC,
        snapshot_id=7,
        folder=f"file://{tmp_path}",
        token="t",
    )
    for manifest in manifests:
        (tmp_path / manifest.manifest.path.rpartition("/")[2]).write_bytes(manifest.data)
    listed, _ = snapshot(manifests)
    (tmp_path / "list.avro").write_bytes(listed)
    io = PyArrowFileIO()
    (found,) = pyiceberg_manifest_list(io.new_input(f"file://{tmp_path}/list.avro"))
    entries = found.fetch_manifest_entry(io)
    assert [(e.data_file.file_path, e.sequence_number, e.snapshot_id) for e in entries] == [
        ("s3://lake/table/0.parquet", 3, 7),
        ("s3://lake/table/1.parquet", 3, 7),
    ]
    assert entries[1].data_file.partition[0] == "AF"
    assert (found.partitions[0].lower_bound, found.partitions[0].upper_bound) == (b"AF", b"EU")


def test_doubles_are_read_as_written_also_after_pyiceberg_rounded_them(tmp_path):
    listed, fetch = snapshot(written([entry(0, ("EU", -179.877))]))
    path = f"file://{tmp_path}/m.avro"
    (tmp_path / "m.avro").write_bytes(fetch(f"{FOLDER}t-m0.avro"))
    (tmp_path / "list.avro").write_bytes(listed)
    io = PyArrowFileIO()
    (found,) = pyiceberg_manifest_list(io.new_input(f"file://{tmp_path}/list.avro"))
    found._data[0] = path
    (theirs,) = found.fetch_manifest_entry(io)
    (ours,) = read_entries(listed, fetch)
    assert theirs.data_file.partition[1] == struct.unpack("<f", struct.pack("<f", -179.877))[0]
    assert ours.partition[1] == -179.877


# Format versions that we do not write.


def foreign_manifest(version, records, **changes):
    """A manifest as PyIceberg's schema of that version has it, with an unpartitioned spec."""
    data = write_avro(
        records,
        schema=MANIFEST_ENTRY_SCHEMAS[version],
        name="manifest_entry",
        metadata={"format-version": str(version), "avro.codec": "null"},
    )
    values = {
        "path": "m.avro",
        "size_bytes": len(data),
        "spec_id": 0,
        "added_snapshot_id": 7,
        "sequence_number": 5,
    }
    return data, Manifest(**values | changes)


def foreign_file(content, path, *rest, metrics=({},) * 6):
    return (content, path, "PARQUET", (), 10, 100, *metrics, None, [4], None, None, *rest)


def test_version_1_has_no_sequence_numbers():
    file = ("a.parquet", "PARQUET", (), 10, 100, 67108864, *(None,) * 9)
    data, manifest = foreign_manifest(1, [(1, 7, file)], sequence_number=0)
    (found,) = read_manifest(data, manifest)
    assert found == DataFileEntry(
        "a.parquet", 100, 10, 0, sequence_number=0, file_sequence_number=0
    )


def test_version_3_first_row_ids_are_inherited_in_order():
    rest = (None, None, None, None)
    records = [
        (1, 7, None, None, foreign_file(0, "a", *rest)),
        (0, 6, 4, 4, foreign_file(0, "b", 1000, None, None, None)),
        (2, 7, 4, 4, foreign_file(0, "gone", *rest)),
        (1, 7, None, None, foreign_file(0, "c", *rest)),
    ]
    data, manifest = foreign_manifest(3, records, first_row_id=50)
    assert [(f.path, f.first_row_id, f.sequence_number) for f in read_manifest(data, manifest)] == [
        ("a", 50, 5),
        ("b", 1000, 4),
        ("c", 60, 5),
    ]


def test_delete_files_and_deletion_vectors_come_with_what_they_refer_to():
    records = [
        (1, 7, None, None, foreign_file(1, "deletes", None, "a", None, None)),
        (1, 7, None, None, foreign_file(1, "dv.puffin", None, "a", 4, 60)),
        (1, 7, None, None, (*foreign_file(2, "eq")[:14], [1, 2], None, None, None, None, None)),
    ]
    data, manifest = foreign_manifest(3, records, holds_deletes=True, first_row_id=0)
    found = read_manifest(data, manifest)
    assert [(f.path, f.content, f.referenced_data_file, f.first_row_id) for f in found] == [
        ("deletes", POSITION_DELETES, "a", None),
        ("dv.puffin", POSITION_DELETES, "a", None),
        ("eq", EQUALITY_DELETES, None, None),
    ]
    assert (found[1].content_offset, found[1].content_size_bytes) == (4, 60)
    assert found[2].equality_ids == (1, 2)


def test_rows_of_version_3_have_ids_that_nobody_else_has_and_keep_them():
    """Of files of before the upgrade, of new ones, and of those that are carried over later."""
    old = [entry(0), entry(1)]
    (before,) = written(old)
    listed, fetch = snapshot([before])
    files = {before.manifest.path: before.data}

    def next_list(manifests, next_row_id, number):
        numbered, after = with_row_ids(manifests, next_row_id)
        data = write_manifest_list(
            numbered,
            snapshot_id=7,
            parent_snapshot_id=6,
            sequence_number=number,
            first_row_id=next_row_id,
        )
        return data, after

    def ids(data):
        return {
            file.path[-9]: (file.first_row_id, file.record_count)
            for file in read_entries(data, files.__getitem__)
        }

    (new,) = written([entry(2)], format_version=3)
    files[f"{FOLDER}new"] = new.data
    new_manifest = replace(new.manifest, path=f"{FOLDER}new")
    second, after = next_list([new_manifest, *read_manifest_list(listed)], 0, 8)
    assert ids(second) == {"2": (0, 12), "0": (12, 10), "1": (22, 11)}
    assert after == 33
    carried = [file for file in read_entries(second, files.__getitem__) if "/1." not in file.path]
    (rewritten,) = written(carried, format_version=3)
    files[f"{FOLDER}rewritten"] = rewritten.data
    third, later = next_list([replace(rewritten.manifest, path=f"{FOLDER}rewritten")], after, 9)
    assert ids(third) == {"2": (0, 12), "0": (12, 10)}
    assert later == 33 + 22
    assert fetch(before.manifest.path) == before.data


def test_rows_that_nobody_counted_cannot_be_numbered():
    (one,) = written([entry(0)])
    with pytest.raises(UnreadableFile, match="how many rows"):
        with_row_ids([replace(one.manifest, existing_rows_count=None)], 0)
