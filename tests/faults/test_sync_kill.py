"""A sync whose worker is killed at any moment ends like an undisturbed one, and costs what changed.

A run kills it a few times over few files; GRATICULE_TEST_SYNC_KILLS and GRATICULE_TEST_SYNC_FILES
ask for more.
"""

import os
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import boto3
import pytest

from graticule.db import jobs as jobs_db
from graticule.db import syncs as syncs_db
from graticule.db import tables as tables_db
from graticule.db.engine import read
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.job import JobKind, JobState
from graticule.domain.scan import ScanState
from graticule.domain.sync import SyncState
from graticule.iceberg import metadata
from graticule.services.integrations.integrations import NewIntegration
from graticule.settings import Settings
from graticule.storage.manifests import read_manifest, read_manifest_list
from graticule.wiring import open_services
from support.faults import faulty
from support.lake import cities
from support.patience import until
from support.people import person_of
from support.seaweedfs import BUCKET
from support.worker_nursery import nursery

KILLS = int(os.environ.get("GRATICULE_TEST_SYNC_KILLS", "3"))
FILES = int(os.environ.get("GRATICULE_TEST_SYNC_FILES", "1010"))
CITIES = TableIdentifier(Namespace(("found",)), "cities")


@dataclass
class Lake:
    """A folder of the bucket, a table registered over it, and a database of its own."""

    services: object
    admin: object
    catalog: object
    s3: object
    prefix: str
    folder: object
    environment: dict

    def put(self, number, *more):
        place = (number, number % 180, 10.0)
        key = f"{self.prefix}cities/part-{number:05}.parquet"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=cities(place, *more))

    def take_away(self, number):
        key = f"{self.prefix}cities/part-{number:05}.parquet"
        self.s3.delete_object(Bucket=BUCKET, Key=key)

    def sync(self):
        return self.services.syncing.start(self.admin, self.catalog).id

    def ended(self, sync_id):
        with read(self.services.engine) as conn:
            return syncs_db.load(conn, self.catalog.catalog.id, sync_id)

    def job(self):
        with read(self.services.engine) as conn:
            return next(
                (
                    job
                    for job in jobs_db.page(conn, self.admin.organisation_id, limit=9)
                    if job.kind is JobKind.SYNC and job.state.is_active
                ),
                None,
            )

    def settle(self, workers):
        """Let the index of the last snapshot be done, so that it is not counted as a sync's."""
        worker = workers.start()
        until(lambda: not self.has_jobs())
        worker.stop()

    def has_jobs(self):
        with read(self.services.engine) as conn:
            return bool(jobs_db.counts(conn))

    def last_job(self):
        with read(self.services.engine) as conn:
            return jobs_db.page(conn, self.admin.organisation_id, kind=JobKind.SYNC, limit=1)

    def document(self):
        with read(self.services.engine) as conn:
            record = tables_db.load(conn, self.catalog.catalog.id, CITIES)
        return metadata.decode(self.store.get(record.metadata_location))

    @property
    def store(self):
        return self.services.credentials.store_for(self.catalog.integration)

    def files(self):
        """Number and rows of every live entry, doubles included."""
        snapshot = metadata.current_snapshot(self.document())
        return sorted(
            (int(entry.path[-13:-8]), entry.record_count)
            for manifest in read_manifest_list(self.store.get(snapshot["manifest-list"]))
            if manifest.may_hold_live_files
            for entry in read_manifest(self.store.get(manifest.path), manifest)
        )

    def run(self, workers):
        sync_id = self.sync()
        worker = workers.start()
        until(lambda: self.ended(sync_id).state is not SyncState.RUNNING)
        worker.stop()
        return self.ended(sync_id)


@pytest.fixture
def lakes(tmp_path, seaweedfs):
    made = []

    def make(files, endpoint=None):
        environment = {
            "GRATICULE_STS_ACCESS_KEY_ID": seaweedfs.catalog_keys.access_key_id,
            "GRATICULE_STS_SECRET_ACCESS_KEY": seaweedfs.catalog_keys.secret_access_key.reveal(),
            "GRATICULE_ALLOW_PRIVATE_ENDPOINTS": "true",
            "GRATICULE_LOG_LEVEL": "warning",
            "GRATICULE_JOB_LEASE_S": "2",
            "GRATICULE_INSPECTION_PROCESSES": "1",
        }
        settings = {key.removeprefix("GRATICULE_").lower(): v for key, v in environment.items()}
        services = open_services(Settings(data_dir=tmp_path, **settings))
        made.append(services)
        admin = person_of(services, services.organisations.bootstrap().credential).principal
        new = NewIntegration(
            name="lake",
            path=f"s3://{BUCKET}",
            role_arn=seaweedfs.role_arn,
            endpoint=endpoint or seaweedfs.endpoint,
            region=seaweedfs.region,
            path_style=True,
        )
        services.integrations.create(admin, new)
        services.catalogs.create(admin, name="c", integration="lake")
        s3 = boto3.client(
            "s3",
            endpoint_url=seaweedfs.endpoint,
            region_name=seaweedfs.region,
            aws_access_key_id=seaweedfs.admin_keys.access_key_id,
            aws_secret_access_key=seaweedfs.admin_keys.secret_access_key.reveal(),
        )
        catalog = services.catalogs.open(admin, "c")
        prefix = f"syncs-{uuid4().hex[:8]}/"
        lake = Lake(services, admin, catalog, s3, prefix, tmp_path, environment)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lake.put, range(files)))
        scan = services.discovery.start(admin, catalog, prefix=f"s3://{BUCKET}/{prefix}")
        with nursery(tmp_path, **environment) as workers:
            worker = workers.start()
            until(lambda: is_proposed(lake, scan.id))
            worker.stop()
        [outcome] = services.discovery.register(
            admin, catalog, scan.id, namespace=CITIES.namespace, names=None
        )
        assert outcome.error is None
        return lake

    yield make
    for services in made:
        services.close()


def is_proposed(lake, scan_id):
    scan = lake.services.discovery.get(lake.admin, lake.catalog, scan_id)
    assert scan.state is not ScanState.FAILED, scan
    return scan.state is ScanState.PROPOSED


def test_a_sync_that_is_killed_again_and_again_loses_and_doubles_nothing(lakes):
    lake = lakes(60)
    for number in range(60, 100):
        lake.put(number)
    for number in range(20):
        lake.put(number, (1000 + number, 0.0, 0.0))
    for number in range(50, 58):
        lake.take_away(number)
    expected = sorted(
        [(n, 2) for n in range(20)]
        + [(n, 1) for n in range(20, 50)]
        + [(n, 1) for n in range(58, 100)]
    )
    sync_id = lake.sync()
    chance = random.Random(KILLS)
    with nursery(lake.folder, **lake.environment) as workers:
        for _ in range(KILLS):
            if (job := lake.job()) is None or job.attempts >= jobs_db.ATTEMPTS_MAX - 2:
                break
            worker = workers.start()
            until(lambda worker=worker: is_at_it(lake, worker))
            threading.Event().wait(chance.uniform(0, 0.8))  # the moment is the experiment
            worker.kill()
            until(lambda worker=worker: not worker.is_running())
            assert lake.files() in (expected, [(n, 1) for n in range(60)])
        if lake.job() is not None:
            worker = workers.start()
            until(lambda: lake.job() is None)
            worker.stop()
        sync = lake.ended(sync_id)
        assert sync.state is SyncState.SUCCEEDED, lake.last_job()
        [outcome] = sync.report["tables"]
        assert outcome["status"] == "committed"
        assert lake.files() == expected
        again = lake.run(workers)
    assert [table["status"] for table in again.report["tables"]] == ["unchanged"]
    assert len(lake.document()["snapshots"]) == 2


def is_at_it(lake, worker):
    job = lake.job()
    return job is None or (
        job.state is JobState.RUNNING and f":{worker.pid}:" in (job.lease_owner or "")
    )


@pytest.mark.timeout(120 + FILES // 20)
def test_what_a_sync_costs_follows_what_changed(lakes, seaweedfs):
    with faulty(seaweedfs.endpoint) as proxy:
        lake = lakes(FILES, proxy.endpoint)
        lake.put(7, (1, 1.0, 1.0))
        lake.put(FILES)
        with nursery(lake.folder, **lake.environment) as workers:
            lake.settle(workers)
            proxy.accesses.clear()
            sync = lake.run(workers)
            changed = list(proxy.accesses)
            lake.settle(workers)
            proxy.accesses.clear()
            lake.run(workers)
            unchanged = list(proxy.accesses)
    [outcome] = sync.report["tables"]
    assert (outcome["added"], outcome["overwritten"]) == (1, 1)
    listings = -(-(FILES + 1) // 1000)
    asked = Counter(kind_of(access, lake.prefix) for access in changed)
    print({"files": FILES, **asked, "bytes": sum(a.sent_bytes for a in changed if not is_list(a))})
    assert asked["list"] == listings
    # The list of manifests, the one of them that held the replaced file, and once more that list
    # with what is new in it, for the index.
    assert asked["GET manifest"] <= 6
    # Footers of two files, asked once more whether they are still the same.
    assert asked["data"] <= 8
    # New entries, the touched manifest, its deleted entry, the list, the metadata.
    assert asked["PUT"] <= 6
    asked = Counter(kind_of(access, lake.prefix) for access in unchanged)
    assert asked - Counter(POST=1) == {"list": listings}  # and the session of a new process


def is_list(access):
    return access.method == "GET" and "list-type" in access.path


def kind_of(access, prefix):
    if is_list(access):
        return "list"
    if f"/{prefix}" in access.path:
        return "data"
    if "/geo/" in access.path:
        return "index"
    if access.method == "GET" and access.path.endswith(".avro"):
        return "GET manifest"
    return access.method
