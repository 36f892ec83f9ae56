"""What a scan has to read beside footers: metadata of Iceberg tables, and geometries for a sample.

Changes nothing.  Whatever is wrong with one table or one file is told of it, and the rest goes on.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from graticule.discovery.existing_proposals import ExistingInspection, inspect_existing
from graticule.discovery.existing_tables import ExistingTable
from graticule.discovery.grouping import CandidateKey, Grouping, StoredObject
from graticule.discovery.inspection import FileInspection
from graticule.discovery.looking import unconfirmed
from graticule.domain.errors import CatalogError, StorageUnavailable, Unavailable
from graticule.domain.location import Location
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import ReadRange
from graticule.storage.s3 import ObjectStore

SAMPLE_BUDGET_BYTES: Final = 16 * 1024 * 1024
HINT_BYTES_MAX: Final = 64


def read_existing(
    store: ObjectStore, tables: Sequence[ExistingTable]
) -> dict[str, ExistingInspection | str]:
    """What each Iceberg table is by its current metadata file, or why it cannot be registered."""
    return {table.root: _existing(store, table) for table in tables}


def _existing(store: ObjectStore, table: ExistingTable) -> ExistingInspection | str:
    bucket = store.root.bucket
    try:
        at = Location.parse(f"s3://{bucket}/{table.current(_hint(store, table))}")
        return inspect_existing(table, at, store.get(at.uri))
    except (StorageUnavailable, Unavailable):
        raise
    except CatalogError as error:
        return error.message


def _hint(store: ObjectStore, table: ExistingTable) -> str | None:
    if table.hint_key is None:
        return None
    try:
        data = store.get(f"s3://{store.root.bucket}/{table.hint_key}")
    except (StorageUnavailable, Unavailable):
        raise
    except CatalogError:
        return None
    return data[:HINT_BYTES_MAX].decode(errors="replace")


def look_into_geometries(
    store: ObjectStore,
    workers: InspectionWorkers,
    grouping: Grouping,
    inspections: Mapping[str, FileInspection | str],
) -> dict[CandidateKey, FileInspection]:
    """Candidates of which one file shows what a column of all holds, and what it shows."""
    shown: dict[CandidateKey, FileInspection] = {}
    for candidate, sample in unconfirmed(grouping.files, inspections).items():
        try:
            shown[candidate] = workers.inspect(
                _reader(store, sample), sample.size_bytes, budget_bytes=SAMPLE_BUDGET_BYTES
            )
        except (StorageUnavailable, Unavailable):
            raise
        except CatalogError:
            continue
    return shown


def _reader(store: ObjectStore, stored: StoredObject) -> ReadRange:
    uri = f"s3://{store.root.bucket}/{stored.key}"
    return lambda offset, length: store.get(uri, range=(offset, length))
