"""From objects to a table that PyIceberg plans and reads: the demo lake, without a server."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest
from pyiceberg.table import StaticTable

from graticule.demo.lake import LakeTable, write_lake
from graticule.discovery.grouping import StoredObject, group
from graticule.discovery.proposing import propose
from graticule.discovery.registration import data_files, define_table
from graticule.domain.errors import UnreadableFile
from graticule.iceberg import metadata
from graticule.storage.manifest_writer import write_manifest_list, write_manifests
from graticule.storage.parquet import inspect
from support.parquet_files import Ranges

PARIS = "file_xmin <= 2.5 and file_xmax >= 2.2 and file_ymin <= 49.0 and file_ymax >= 48.7"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """The folder, what should be found in it, and what discovery proposes."""
    folder = tmp_path_factory.mktemp("lake")
    objects = {}

    def put(key, data):
        objects[key] = data
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    expected = write_lake(put)
    inspections = {}
    grouping = group(StoredObject(key, len(data)) for key, data in objects.items())
    for file in grouping.files:
        data = objects[file.object.key]
        try:
            inspections[file.object.key] = inspect(Ranges(data), len(data))
        except UnreadableFile as error:
            inspections[file.object.key] = error.message
    return folder, expected, propose(grouping, inspections), inspections, objects


def opened(lake, name):
    """The table as PyIceberg sees it."""
    folder, _, proposals, inspections, _ = lake
    proposal = next(table for table in proposals.tables if table.name == name)
    table = define_table(proposal, bucket="lake")
    document = metadata.new_table(
        schema=table.schema,
        partition_spec=table.partition_spec,
        sort_order={"order-id": 0, "fields": []},
        location=f"file://{folder}/tables/{name}",
        properties=table.properties,
        table_uuid="7f3ad2a0-0f36-4ef1-9f0a-111111111111",
        now_ms=1,
    )
    entries = data_files(
        proposal,
        inspections,
        schema=metadata.current_schema(document),
        partition_spec=metadata.default_partition_spec(document),
        bucket="lake",
    )
    home = folder / "tables" / name
    home.mkdir(parents=True, exist_ok=True)
    manifests = write_manifests(
        [replace(e, path=e.path.replace("s3://lake/", f"file://{folder}/")) for e in entries],
        schema=metadata.current_schema(document),
        spec=metadata.default_partition_spec(document),
        snapshot_id=1,
        folder=f"file://{home}",
        token="t",
        entries_max=8,
    )
    for manifest in manifests:
        (home / manifest.manifest.path.rpartition("/")[2]).write_bytes(manifest.data)
    listed = write_manifest_list(
        [manifest.manifest for manifest in manifests],
        snapshot_id=1,
        parent_snapshot_id=None,
        sequence_number=1,
    )
    (home / "list.avro").write_bytes(listed)
    document |= {
        "current-snapshot-id": 1,
        "last-sequence-number": 1,
        "snapshots": [
            {
                "snapshot-id": 1,
                "sequence-number": 1,
                "timestamp-ms": 1,
                "manifest-list": f"file://{home}/list.avro",
                "summary": {"operation": "append"},
                "schema-id": 0,
            }
        ],
        "refs": {"main": {"snapshot-id": 1, "type": "branch"}},
    }
    (home / "v1.metadata.json").write_text(json.dumps(document))
    return StaticTable.from_metadata(f"file://{home}/v1.metadata.json")


def test_discovery_finds_the_tables_of_the_demo_lake_and_nothing_else(lake):
    _, expected, proposals, _, _ = lake
    found = [LakeTable(t.name, t.root, t.file_count, t.rows) for t in proposals.tables]
    assert sorted(found, key=repr) == sorted(expected.tables, key=repr)
    unreadable = [s.key for s in proposals.skipped if s.key.endswith(".parquet")]
    assert tuple(unreadable) == expected.broken


def test_the_demo_lake_is_the_same_each_time_and_goes_below_its_prefix(lake):
    again = {}
    expected = write_lake(again.__setitem__, prefix="demo/")
    assert again == {f"demo/{key}": data for key, data in lake[4].items()}
    assert expected.broken == tuple(f"demo/{key}" for key in lake[1].broken)


@pytest.mark.parametrize(
    "name", ["airports", "capitals", "cities_by_continent", "cities_hilbert", "towns_lonlat"]
)
def test_pyiceberg_reads_every_row_of_a_table_registered_in_place(lake, name):
    expected = next(table for table in lake[1].tables if table.name == name)
    assert opened(lake, name).scan().to_arrow().num_rows == expected.rows


def test_pyiceberg_prunes_files_by_the_virtual_columns(lake):
    table = opened(lake, "cities_hilbert")
    scan = table.scan(row_filter=PARIS)
    assert 1 <= len(list(scan.plan_files())) <= 8
    assert "Paris" in scan.to_arrow()["name"].to_pylist()


def test_pyiceberg_prunes_files_by_box_columns_and_partition(lake):
    table = opened(lake, "cities_by_continent")
    scan = table.scan(row_filter=f"continent = 'EU' and {PARIS.replace('file_', 'bbox_')}")
    assert len(list(scan.plan_files())) == 1
    found = scan.to_arrow()
    assert set(found["continent"].to_pylist()) == {"EU"}
    assert pa.compute.max(found["bbox_xmin"]).as_py() <= 2.5


def test_pyiceberg_prunes_files_by_positions(lake):
    table = opened(lake, "towns_lonlat")
    window = "longitude >= 2.2 and longitude <= 2.5 and latitude >= 48.7 and latitude <= 49.0"
    scan = table.scan(row_filter=window)
    assert 1 <= len(list(scan.plan_files())) < 8
    assert "Paris" in scan.to_arrow()["name"].to_pylist()
