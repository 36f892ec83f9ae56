"""An Iceberg table that somebody else wrote: metadata, manifests and data files, as bytes."""

import json
from uuid import uuid4

from graticule.discovery.grouping import StoredObject, group
from graticule.discovery.proposing import propose
from graticule.discovery.registration import data_files, define_table
from graticule.iceberg import metadata
from graticule.storage.manifest_writer import write_manifest_list, write_manifests
from graticule.storage.parquet import inspect
from support.parquet_files import Ranges


def iceberg_table(location: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Keys below the table's location, with one metadata file `metadata/v1.metadata.json`."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    stored = [StoredObject(f"{key}/{name}", len(data)) for name, data in files.items()]
    inspections = {
        each.key: inspect(Ranges(data), len(data))
        for each, data in zip(stored, files.values(), strict=True)
    }
    [proposal] = propose(group(stored), inspections).tables
    table = define_table(proposal, bucket=bucket)
    document = metadata.new_table(
        schema=table.schema,
        partition_spec=table.partition_spec,
        sort_order={"order-id": 0, "fields": []},
        location=location,
        properties={"schema.name-mapping.default": table.properties["schema.name-mapping.default"]},
        table_uuid=str(uuid4()),
        now_ms=1,
    )
    manifests = write_manifests(
        data_files(
            proposal,
            inspections,
            schema=metadata.current_schema(document),
            partition_spec=metadata.default_partition_spec(document),
            bucket=bucket,
        ),
        schema=metadata.current_schema(document),
        spec=metadata.default_partition_spec(document),
        snapshot_id=1,
        folder=f"{location}/metadata",
        token="t",
    )
    written = [each.manifest for each in manifests]
    listed = write_manifest_list(written, snapshot_id=1, parent_snapshot_id=None, sequence_number=1)
    summary = {
        "operation": "append",
        "total-records": str(proposal.rows),
        "total-data-files": str(len(files)),
    }
    document |= {
        "current-snapshot-id": 1,
        "last-sequence-number": 1,
        "snapshots": [
            {
                "snapshot-id": 1,
                "sequence-number": 1,
                "timestamp-ms": 1,
                "manifest-list": f"{location}/metadata/list.avro",
                "summary": summary,
                "schema-id": 0,
            }
        ],
        "refs": {"main": {"snapshot-id": 1, "type": "branch"}},
    }
    return {
        **files,
        **{each.manifest.path.removeprefix(f"{location}/"): each.data for each in manifests},
        "metadata/list.avro": listed,
        "metadata/v1.metadata.json": json.dumps(document).encode(),
    }
