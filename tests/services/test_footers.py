"""What is known of a file is known of one version, and kept if another look would find the same."""

from uuid import uuid4

import boto3
import pytest
from sqlalchemy import update

from graticule.db.engine import write
from graticule.db.schema import file_inspections
from graticule.discovery.grouping import StoredObject
from graticule.discovery.inspection import FileInspection
from graticule.domain.errors import StorageUnavailable
from graticule.domain.location import Location
from graticule.outbound.gate import ANYWHERE
from graticule.services.discovery.bucket_listing import Place
from graticule.services.discovery.footers import Footers, KnownFooters
from graticule.services.discovery.scan_watch import NOBODY
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.s3 import ObjectStore
from support.lake import cities
from support.rows import INTEGRATION, create_catalogs

GOOD = cities((1, 2.0, 3.0))


@pytest.fixture(scope="module")
def workers():
    with InspectionWorkers(1) as workers:
        yield workers


class Bench:
    """A folder of the store, and what is known of it."""

    def __init__(self, database, workers, seaweedfs):
        self.folder = Location("lake", f"footers-{uuid4().hex[:8]}")
        self.place = Place(INTEGRATION, self.folder)
        self.database, self.workers = database, workers
        self.s3 = boto3.client(
            "s3",
            endpoint_url=seaweedfs.endpoint,
            region_name=seaweedfs.region,
            aws_access_key_id=seaweedfs.admin_keys.access_key_id,
            aws_secret_access_key=seaweedfs.admin_keys.secret_access_key.reveal(),
        )
        self.store = ObjectStore(
            self.folder,
            region=seaweedfs.region,
            endpoint=seaweedfs.endpoint,
            path_style=True,
            credentials=lambda: seaweedfs.admin_keys,
            outbound=ANYWHERE,
        )
        self.reads = []

    def put(self, name, data=GOOD):
        key = self.folder.key_prefix + name
        etag = self.s3.put_object(Bucket="lake", Key=key, Body=data)["ETag"].strip('"')
        return StoredObject(key, len(data), etag)

    def look(self, *files):
        """What is known afterwards by name, and whether that is for ever."""
        footers = Footers(self.database, self.workers, self, self.place, NOBODY)
        count, is_final = footers.complete(lambda: files, progress={}, checkpoint={})
        assert count == len(files)
        known = KnownFooters(self.database, self.place)
        names = {file.key.removeprefix(self.folder.key_prefix): known[file.key] for file in files}
        return names, is_final

    # The store, as far as footers need it

    @property
    def root(self):
        return self.folder

    def get(self, uri, **options):
        self.reads.append(uri)
        return self.store.get(uri, **options)


@pytest.fixture
def bench(database, workers, seaweedfs):
    with write(database) as conn:
        create_catalogs(conn, "c")
    return Bench(database, workers, seaweedfs)


def test_a_version_is_read_once_whether_it_is_good_or_broken(bench):
    files = [bench.put("good"), bench.put("broken", GOOD[:-9]), bench.put("other")]
    found, is_final = bench.look(*files)
    assert is_final
    assert {name: isinstance(one, FileInspection) for name, one in found.items()} == {
        "good": True,
        "broken": False,
        "other": True,
    }
    assert "does not end like a Parquet file" in found["broken"]
    bench.reads.clear()
    assert bench.look(*files) == (found, True)
    assert bench.reads == []
    replaced = bench.put("broken", cities((1, 2.0, 3.0), (2, 3.0, 4.0)))
    assert bench.look(replaced)[0]["broken"].rows == 2


def test_what_the_store_refused_is_asked_for_again(bench):
    listed = bench.put("replaced")
    bench.put("replaced", cities((1, 2.0, 3.0), (2, 3.0, 4.0)))
    gone = StoredObject(f"{bench.folder.key_prefix}gone", 99, "e")
    expected = {
        "replaced": "replaced since it was listed; scan again",
        "gone": "removed since it was listed",
    }
    assert bench.look(listed, gone) == (expected, False)
    bench.reads.clear()
    assert bench.look(listed, gone) == (expected, False)
    assert len(bench.reads) == 2


def test_when_the_store_falls_silent_what_was_found_until_then_stays(bench, monkeypatch):
    monkeypatch.setattr("graticule.services.discovery.footers.FLUSH_FILES", 1)
    monkeypatch.setattr("graticule.services.discovery.footers.FILES_A_TASK", 1)
    monkeypatch.setattr("graticule.services.discovery.footers.TASKS_AHEAD", 1)
    files = [bench.put(f"{n}") for n in range(4)]
    read = bench.store.get

    def falls_silent(uri, **options):
        if uri.endswith("/2"):
            raise StorageUnavailable("stalls")
        return read(uri, **options)

    monkeypatch.setattr(bench.store, "get", falls_silent)
    with pytest.raises(StorageUnavailable):
        bench.look(*files)
    monkeypatch.undo()
    bench.reads.clear()
    found, _ = bench.look(*files)
    assert len(found) == 4
    assert {uri[-1] for uri in bench.reads} <= {"2", "3"}


def test_what_another_version_of_the_server_kept_is_looked_at_again(bench):
    file = bench.put("a")
    bench.look(file)
    with write(bench.database) as conn:
        conn.execute(update(file_inspections).values(inspection=b"\xff?"))
    known = KnownFooters(bench.database, bench.place)
    assert known[file.key] == "not inspected by this version; scan again"
    assert bench.look(file)[0]["a"].rows == 1


def test_known_footers_are_a_mapping_of_the_place_and_nothing_else(bench, monkeypatch):
    monkeypatch.setattr("graticule.services.discovery.footers.WINDOW_FILES", 2)
    files = [bench.put(f"{n}") for n in range(5)]
    bench.look(*files)
    known = KnownFooters(bench.database, bench.place)
    assert (list(known), len(known)) == ([file.key for file in files], 5)
    assert [known[file.key].rows for file in reversed(files)] == [1] * 5
    assert known.get(f"{bench.folder.key_prefix}9") is None
    assert [known.fields_of(file.key) for file in files] == [known[files[0].key].fields] * 5
    assert known.fields_of(f"{bench.folder.key_prefix}9") is None
    neighbour = Place(INTEGRATION, Location("lake", bench.folder.key[:-1]))
    assert list(KnownFooters(bench.database, neighbour)) == []
