import math
import uuid
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.avro.file import AvroOutputFile
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import MANIFEST_ENTRY_SCHEMAS
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DoubleType, NestedField, StringType, TimestampType

from graticule.domain.errors import UnreadableFile
from graticule.planning.files import DATA, DataFileEntry
from graticule.storage import manifest_columns
from graticule.storage.avro_io import BytesOutput
from graticule.storage.manifest_columns import read_manifests
from graticule.storage.manifest_writer import write_manifests
from graticule.storage.manifests import Manifest, read_manifest, read_manifest_list

TYPES = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=20),
    "binary": st.binary(max_size=20),
    "fixed[4]": st.binary(min_size=4, max_size=4),
    "uuid": st.uuids(),
    "decimal(9, 2)": st.integers(-999_999_999, 999_999_999).map(lambda n: Decimal(n).scaleb(-2)),
    "decimal(38, 10)": st.integers(-(10**30), 10**30).map(lambda n: Decimal(n).scaleb(-10)),
    "date": st.integers(-100_000, 100_000),
    "time": st.integers(0, 86_399_999_999),
    "timestamp": st.integers(-(2**60), 2**60),
    "timestamptz": st.integers(-(2**60), 2**60),
}
FIELDS = [
    {"id": at, "name": f"c{at}", "required": False, "type": kind}
    for at, kind in enumerate(TYPES, start=1)
]
SCHEMA = {"type": "struct", "schema-id": 0, "fields": FIELDS}
KEYS = st.integers(0, 2**31 - 1)
COUNTS = st.dictionaries(KEYS, st.integers(0, 2**63 - 1), max_size=4)
BOUNDS = st.dictionaries(KEYS, st.binary(max_size=40), max_size=4)
PATHS = st.text(max_size=300).map(lambda text: f"s3://lake/{text}")


def spec_of(columns):
    return {
        "spec-id": 0,
        "fields": [
            {"source-id": at, "field-id": 1000 + at, "name": f"p{at}", "transform": "identity"}
            for at in columns
        ],
    }


def files_in(columns):
    kinds = list(TYPES.values())
    return st.builds(
        DataFileEntry,
        path=PATHS,
        size_bytes=st.integers(0, 2**62),
        record_count=st.integers(0, 2**40),
        spec_id=st.just(0),
        partition=st.tuples(*[st.none() | kinds[at - 1] for at in columns]),
        sort_order_id=st.none() | st.integers(0, 9),
        column_sizes=COUNTS,
        value_counts=COUNTS,
        null_value_counts=COUNTS,
        nan_value_counts=COUNTS,
        lower_bounds=BOUNDS,
        upper_bounds=BOUNDS,
        split_offsets=st.lists(st.integers(0, 2**62), max_size=3).map(tuple),
        sequence_number=st.none() | st.just(2),
        file_sequence_number=st.just(1),
    )


@pytest.fixture(name="only_columns")
def only_columns_fixture(monkeypatch):
    """Fails where the other reader would have been asked."""

    def never(_data, manifest):
        pytest.fail(f"{manifest.path} was not read as columns")

    monkeypatch.setattr(manifest_columns, "read_statuses", never)


def as_entries(batches):
    """Everything in the columns, as the other reader says it."""
    found = []
    for files in batches:
        assert sum(files.counts) == len(files.columns)
        entries = [files.columns.entry(at) for at in range(len(files.columns))]
        partition = list(zip(*files.partition, strict=True)) or [()] * len(entries)
        assert [entry.partition for entry in entries] == partition
        found += [*entries, *files.deletes]
    return found


def one_by_one(manifests):
    return [entry for manifest, data in manifests for entry in read_manifest(data, manifest)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
@pytest.mark.usefixtures("only_columns")
def test_columns_say_what_entries_say(data):
    columns = data.draw(st.lists(st.integers(1, len(FIELDS)), max_size=4, unique=True))
    written = write_manifests(
        data.draw(st.lists(files_in(columns), max_size=12)),
        deleted=data.draw(st.lists(files_in(columns), max_size=2)),
        schema=SCHEMA,
        spec=spec_of(columns),
        snapshot_id=7,
        folder="s3://lake/m",
        token="t",
        entries_max=data.draw(st.integers(1, 12)),
    )
    first_row_id = data.draw(st.none() | st.integers(0, 1000))
    manifests = [
        (replace(one.manifest, sequence_number=3, first_row_id=first_row_id), one.data)
        for one in written
    ]
    assert as_entries(read_manifests(manifests)) == one_by_one(manifests)


@pytest.mark.usefixtures("only_columns")
def test_virtual_columns_come_back_to_the_last_bit():
    kinds = [{"id": 1, "name": "file_xmin", "required": False, "type": "double"}]
    schema = {"type": "struct", "schema-id": 0, "fields": kinds}
    values = [0.1, -179.99999999999997, math.pi, 1.7976931348623157e308]
    files = [
        DataFileEntry(path=f"s3://b/{at}", size_bytes=1, record_count=1, spec_id=0, partition=(v,))
        for at, v in enumerate(values)
    ]
    (one,) = write_manifests(
        files, schema=schema, spec=spec_of([1]), snapshot_id=7, folder="s3://b/m", token="t"
    )
    (found,) = read_manifests([(one.manifest, one.data)])
    assert found.partition == (values,)


def foreign(version, blocks, *, codec="deflate", **changes):
    """A manifest as PyIceberg's schema of that version has it, in several blocks."""
    output = BytesOutput("memory:")
    with AvroOutputFile(
        output,
        file_schema=MANIFEST_ENTRY_SCHEMAS[version],
        schema_name="manifest_entry",
        metadata={"format-version": str(version), "avro.codec": codec},
    ) as file:
        for block in blocks:
            file.write_block(block)
    values = {
        "path": "m.avro",
        "size_bytes": len(output),
        "spec_id": 0,
        "added_snapshot_id": 7,
        "sequence_number": 5,
    }
    return Manifest(**values | changes), output.getvalue()


MAPS = st.one_of(st.none(), st.dictionaries(st.integers(1, 300), st.integers(0, 9000), max_size=3))
BYTES = st.one_of(st.none(), st.dictionaries(st.integers(1, 300), st.binary(max_size=9)))
STATUS = st.sampled_from([0, 1, 1, 1, 2])
LISTS = st.one_of(st.none(), st.lists(st.integers(0, 2**40), max_size=3))


@st.composite
def records(draw, version):
    path, size = draw(PATHS), draw(st.integers(0, 10**12))
    counts = [draw(MAPS) for _ in range(4)]
    bounds = [draw(BYTES) for _ in range(2)]
    offsets, order = draw(LISTS), draw(st.none() | st.integers(0, 3))
    rows = draw(st.integers(0, 10**6))
    if version == 1:
        rest = (*counts, *bounds, None, offsets, order)
        return (draw(STATUS), 7, (path, "PARQUET", (), rows, size, 67108864, *rest))
    row_id = (draw(st.none() | st.integers(0, 9)), None, None, None) if version == 3 else ()
    rest = (*counts, *bounds, None, offsets, draw(st.none() | st.just([])), order)
    file = (0, path, "PARQUET", (), rows, size, *rest, *row_id)
    numbers = st.none() | st.integers(0, 2**40)
    return (draw(STATUS), draw(st.none() | st.just(2**62)), draw(numbers), draw(numbers), file)


@pytest.mark.parametrize("version", [1, 2, 3])
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
@pytest.mark.usefixtures("only_columns")
def test_every_version_in_blocks_of_any_size(version, data):
    blocks = data.draw(st.lists(st.lists(records(version), min_size=1, max_size=5), max_size=3))
    manifest = foreign(
        version,
        blocks,
        codec=data.draw(st.sampled_from(["null", "deflate"])),
        sequence_number=0 if version == 1 else 5,
        first_row_id=data.draw(st.none() | st.just(100)) if version == 3 else None,
    )
    assert as_entries(read_manifests([manifest])) == one_by_one([manifest])


def test_what_is_unusual_comes_from_the_other_reader_with_its_deletes():
    empty = ({},) * 6
    rest = (None, [4], None, None)
    usual = (1, 7, None, None, (0, "s3://b/a", "PARQUET", (), 1, 1, *empty, *rest))
    orc = (1, 7, None, None, (0, "s3://b/b", "ORC", (), 1, 1, *empty, *rest))
    keyed = (1, 7, None, None, (0, "s3://b/c", "PARQUET", (), 1, 1, *empty, b"k", *rest[1:]))
    elsewhere = (1, 7, None, None, (0, "gs://b/d", "PARQUET", (), 1, 1, *empty, *rest))
    delete = (1, 7, None, None, (1, "s3://b/e", "PARQUET", (), 1, 1, *empty, *rest))
    for odd in (orc, keyed, elsewhere, delete):
        manifests = [foreign(2, [[usual]]), foreign(2, [[usual, odd]])]
        batches = list(read_manifests(manifests))
        assert as_entries(batches) == one_by_one(manifests)
        assert [sum(files.counts) for files in batches] == [1, 1 if odd is delete else 2]
    deletes = foreign(2, [[delete]], holds_deletes=True)
    (found,) = read_manifests([deletes])
    assert (found.counts, [entry.path for entry in found.deletes]) == ((0,), ["s3://b/e"])


def whole_manifest(count=40):
    files = [
        DataFileEntry(
            path=f"s3://b/{at}",
            size_bytes=at,
            record_count=1,
            spec_id=0,
            lower_bounds={1: bytes([at])},
            partition=(at / 7,),
        )
        for at in range(count)
    ]
    kinds = [{"id": 1, "name": "x", "required": False, "type": "double"}]
    (one,) = write_manifests(
        files,
        schema={"type": "struct", "schema-id": 0, "fields": kinds},
        spec=spec_of([1]),
        snapshot_id=7,
        folder="s3://b/m",
        token="t",
    )
    return one.manifest, one.data


def test_a_manifest_that_is_cut_or_damaged_is_the_same_to_both():
    """Either both refuse it, or both say the same."""
    manifest, data = whole_manifest()
    damaged = [data[:length] for length in range(0, len(data), 97)]
    damaged += [
        data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :] for at in range(0, len(data), 13)
    ]
    refused = 0
    for one in damaged:
        try:
            expected = one_by_one([(manifest, one)])
        except UnreadableFile:
            with pytest.raises(UnreadableFile):
                as_entries(read_manifests([(manifest, one)]))
            refused += 1
            continue
        assert as_entries(read_manifests([(manifest, one)])) == expected
    assert refused > len(damaged) / 2


def test_a_block_that_claims_any_number_of_records_is_unreadable():
    manifest, data = foreign(2, [[]], codec="null")
    huge = b"\xfe" + b"\xff" * 8 + b"\x01"  # 2 ** 63 - 1
    sync = data[-16:]
    claims = data[:-18] + huge + b"\x02x" + sync
    with pytest.raises(UnreadableFile):
        list(read_manifests([(manifest, claims)]))


def test_fewer_entries_than_the_manifest_list_says_are_noticed():
    manifest, data = whole_manifest()
    with pytest.raises(UnreadableFile, match="has 40 entries"):
        list(read_manifests([(replace(manifest, added_files_count=41), data)]))


@pytest.mark.usefixtures("only_columns")
def test_what_pyiceberg_wrote_is_read_as_columns(tmp_path):
    catalog = SqlCatalog("it", uri=f"sqlite:///{tmp_path}/c.db", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("ns")
    schema = Schema(
        NestedField(1, "x", DoubleType(), required=False),
        NestedField(2, "at", TimestampType(), required=False),
        NestedField(3, "name", StringType(), required=False),
    )
    spec = PartitionSpec(
        PartitionField(1, 1000, IdentityTransform(), "x"),
        PartitionField(2, 1001, IdentityTransform(), "at"),
        PartitionField(3, 1002, IdentityTransform(), "name"),
    )
    table = catalog.create_table("ns.t", schema, partition_spec=spec)
    rows = pa.table(
        {
            "x": [0.1, None, -2.5],
            "at": pa.array([1, 10**12, None], pa.timestamp("us")),
            "name": ["a", "b", None],
        }
    )
    for _ in range(3):
        table.append(rows)
    table.delete("x < 0")
    listed = table.current_snapshot().manifest_list
    io = table.io
    with io.new_input(listed).open() as stream:
        found = read_manifest_list(stream.read())
    manifests = []
    for manifest in found:
        if manifest.may_hold_live_files:
            with io.new_input(manifest.path).open() as stream:
                manifests.append((manifest, stream.read()))
    expected = one_by_one(manifests)
    assert as_entries(read_manifests(manifests)) == expected
    assert len(expected) == 6
    assert {entry.content for entry in expected} == {DATA}


def test_uuid_partitions_are_uuids():
    value = uuid.uuid4()
    at = list(TYPES).index("uuid") + 1
    file = DataFileEntry("s3://b/a", 1, 1, 0, partition=(value,))
    (one,) = write_manifests(
        [file], schema=SCHEMA, spec=spec_of([at]), snapshot_id=7, folder="s3://b/m", token="t"
    )
    (found,) = read_manifests([(one.manifest, one.data)])
    assert found.partition == ([value],)
