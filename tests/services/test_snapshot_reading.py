from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.manifest import MANIFEST_ENTRY_SCHEMAS

from graticule.domain.errors import NoSuchFile
from graticule.iceberg.values import encode_value
from graticule.planning.files import DataFileEntry
from graticule.planning.table_places import place_of
from graticule.services.planning.snapshot_reading import SnapshotReader
from graticule.storage.avro_io import write_avro
from graticule.storage.index_files import About, decode_index, encode_index
from graticule.storage.manifest_writer import write_manifest_list, write_manifests
from graticule.storage.manifests import Manifest

FIELDS = [
    {"id": 1, "name": "lon", "required": False, "type": "double"},
    {"id": 2, "name": "lat", "required": False, "type": "double"},
]
SCHEMA = {"type": "struct", "schema-id": 0, "fields": FIELDS}
SPEC = {"spec-id": 0, "fields": []}
DOCUMENT = {
    "current-schema-id": 0,
    "schemas": [SCHEMA],
    "partition-specs": [SPEC],
    "properties": {},
}


@dataclass
class Files:
    """Storage that remembers what was asked of it."""

    data: dict = field(default_factory=dict)
    asked: Counter = field(default_factory=Counter)

    def get(self, path):
        self.asked[path] += 1
        if path not in self.data:
            raise NoSuchFile(f"`{path}` does not exist")
        return self.data[path]

    def manifest(self, name, count):
        """A manifest of so many files, each at a place of its own."""
        entries = []
        for at in range(count):
            bounds = {1: encode_value("double", float(at)), 2: encode_value("double", 5.0)}
            path = f"s3://b/{name}-{at}.parquet"
            nulls = {1: 0, 2: 0}
            entries.append(
                DataFileEntry(
                    *(path, 10, 5, 0),
                    null_value_counts=nulls,
                    lower_bounds=bounds,
                    upper_bounds=bounds,
                )
            )
        (one,) = write_manifests(
            entries, schema=SCHEMA, spec=SPEC, snapshot_id=7, folder="s3://b/m", token=name
        )
        self.data[one.manifest.path] = one.data
        return replace(one.manifest, sequence_number=1, min_sequence_number=1)

    def deletes(self):
        empty = ({},) * 6
        file = (1, "s3://b/deletes", "PARQUET", (), 1, 1, *empty, None, None, None, None)
        metadata = {"format-version": "2", "avro.codec": "null"}
        path, data = (
            "s3://b/m/deletes.avro",
            write_avro(
                [(1, 7, None, None, file)],
                schema=MANIFEST_ENTRY_SCHEMAS[2],
                name="manifest_entry",
                metadata=metadata,
            ),
        )
        self.data[path] = data
        counts = {"added_files_count": 1, "existing_files_count": 0, "deleted_files_count": 0}
        numbers = {"sequence_number": 2, "min_sequence_number": 2}
        return Manifest(path, len(data), 0, 7, holds_deletes=True, **counts, **numbers)

    def snapshot(self, snapshot_id, manifests):
        path = f"s3://b/m/snap-{snapshot_id}.avro"
        self.data[path] = write_manifest_list(
            manifests, snapshot_id=snapshot_id, parent_snapshot_id=None, sequence_number=9
        )
        return {"snapshot-id": snapshot_id, "manifest-list": path}


def reader(store, document=DOCUMENT):
    return SnapshotReader(store, None, document, place_of(document, document["schemas"][0]))


def assert_same(one, other):
    arrays, others = one.to_arrays(), other.to_arrays()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert np.array_equal(array, others[name]), name


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_what_an_earlier_snapshot_knew_is_not_read_again(data):
    store = Files()
    manifests = [store.manifest(f"m{at}", data.draw(st.integers(1, 4))) for at in range(6)]
    manifests.append(store.deletes())
    subsets = st.lists(st.sampled_from(manifests), unique_by=lambda m: m.path)
    before, after = data.draw(subsets), data.draw(subsets)
    earlier = reader(store).index(store.snapshot(1, before), None)
    earlier = decode_index(encode_index(earlier, About(1, "p")), About(1, "p"))
    store.asked.clear()
    snapshot = store.snapshot(2, after)
    found = reader(store).index(snapshot, earlier)
    known = {manifest.path for manifest in before if not manifest.holds_deletes}
    assert set(store.asked) == {m.path for m in after if m.path not in known} | {
        snapshot["manifest-list"]
    }
    assert_same(found, reader(store).index(snapshot, None))
    assert len(found.deletes) == sum(manifest.holds_deletes for manifest in after)


def test_a_place_that_is_judged_in_another_way_is_read_again():
    store = Files()
    snapshot = store.snapshot(1, [store.manifest("m", 3)])
    earlier = reader(store).index(snapshot, None)
    fields = [one | {"type": "float"} for one in FIELDS]
    other = DOCUMENT | {"schemas": [SCHEMA | {"fields": fields}]}
    found = reader(store, other).index(snapshot, earlier)
    assert store.asked["s3://b/m/m-m0.avro"] == 2
    assert_same(found, reader(store, other).index(snapshot, None))


def test_a_manifest_that_is_gone_is_named():
    store = Files()
    manifest = store.manifest("m", 1)
    del store.data[manifest.path]
    with pytest.raises(NoSuchFile, match=r"cannot be planned.*m-m0\.avro"):
        reader(store).index(store.snapshot(1, [manifest]), None)
