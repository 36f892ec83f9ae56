"""A scan whose worker is killed, again and again, ends as one that nobody disturbs.

A run kills it a few times; `make test-kills` at fifty moments.
"""

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import boto3
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from graticule.db import jobs as jobs_db
from graticule.db import tables as tables_db
from graticule.db.engine import read
from graticule.db.schema import bucket_objects, file_inspections
from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import Namespace
from graticule.domain.job import JobState
from graticule.domain.scan import ScanState
from graticule.iceberg import metadata
from graticule.services.integrations.integrations import NewIntegration
from graticule.settings import Settings
from graticule.storage.manifests import read_manifest, read_manifest_list
from graticule.wiring import Services, open_services
from support import patience
from support.lake import cities
from support.parquet_files import parquet
from support.people import person_of
from support.seaweedfs import BUCKET
from support.worker_nursery import nursery

FILES = 2000
KILLS = int(os.environ.get("GRATICULE_TEST_SCAN_KILLS", "10"))


@pytest.fixture(scope="module")
def bucket(seaweedfs):
    """2,000 small files: tables of several kinds, some files that are none, one that is broken."""
    prefix = f"kills-{uuid4().hex[:8]}/"
    s3 = boto3.client(
        "s3",
        endpoint_url=seaweedfs.endpoint,
        region_name=seaweedfs.region,
        aws_access_key_id=seaweedfs.admin_keys.access_key_id,
        aws_secret_access_key=seaweedfs.admin_keys.secret_access_key.reveal(),
    )
    prices = parquet({"price": pa.array([1.5, 2.5])})
    files = {f"cities/part-{n:04}.parquet": cities((n, n % 180, 10.0)) for n in range(1500)}
    files |= {f"by/year={2000 + n % 20}/{n}.parquet": prices for n in range(450)}
    files |= {f"single-{n}.parquet": cities((n, 1.0, 2.0)) for n in range(20)}
    files |= {f"cities/broken-{n}.parquet": prices[: 100 + n] for n in range(10)}
    files |= {f"pictures/{n}.png": b"png" for n in range(20)}

    def put(item):
        s3.put_object(Bucket=BUCKET, Key=prefix + item[0], Body=item[1])

    assert len(files) == FILES
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, files.items()))
    return prefix


@dataclass
class Bench:
    """A database of its own, with a catalog and a scan that waits for a worker."""

    services: Services
    admin: object
    catalog: OpenCatalog
    scan_id: str
    environment: dict

    def job(self):
        with read(self.services.engine) as conn:
            return jobs_db.find(conn, self.admin.organisation_id, self.scan_id)

    def known(self, table):
        with read(self.services.engine) as conn:
            return conn.execute(select(func.count()).select_from(table)).scalar_one()

    @property
    def inspected(self):
        return self.known(file_inspections)

    def report(self):
        found = self.services.discovery.get(self.admin, self.catalog, self.scan_id)
        assert found.state is ScanState.PROPOSED, found
        return found.report

    def registered_files(self):
        """The files of all tables with their rows, after everything was registered."""
        outcomes = self.services.discovery.register(
            self.admin, self.catalog, self.scan_id, namespace=Namespace(("found",)), names=None
        )
        assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
        return {str(each.identifier): self._files_of(each.identifier) for each in outcomes}

    def _files_of(self, identifier):
        with read(self.services.engine) as conn:
            record = tables_db.load(conn, self.catalog.catalog.id, identifier)
        store = self.services.credentials.store_for(self.catalog.integration)
        document = metadata.decode(store.get(record.metadata_location))
        [snapshot] = document["snapshots"]
        return sorted(
            (entry.path, entry.record_count)
            for manifest in read_manifest_list(store.get(snapshot["manifest-list"]))
            for entry in read_manifest(store.get(manifest.path), manifest)
        )


@pytest.fixture
def bench(tmp_path, seaweedfs, bucket, request):
    """Makes benches; each begins a scan of the bucket."""
    made = []

    def make(name, below=""):
        folder = tmp_path / name
        folder.mkdir()
        environment = {
            "GRATICULE_STS_ACCESS_KEY_ID": seaweedfs.catalog_keys.access_key_id,
            "GRATICULE_STS_SECRET_ACCESS_KEY": seaweedfs.catalog_keys.secret_access_key.reveal(),
            "GRATICULE_ALLOW_PRIVATE_ENDPOINTS": "true",
            "GRATICULE_LOG_LEVEL": "warning",
            "GRATICULE_JOB_LEASE_S": "1",
            "GRATICULE_INSPECTION_PROCESSES": "1",
        }
        settings = Settings(
            data_dir=folder,
            **{key.removeprefix("GRATICULE_").lower(): v for key, v in environment.items()},
        )
        services = open_services(settings)
        made.append(services)
        admin = person_of(services, services.organisations.bootstrap().credential).principal
        new = NewIntegration(
            name="lake",
            path=f"s3://{BUCKET}",
            role_arn=seaweedfs.role_arn,
            endpoint=seaweedfs.endpoint,
            region=seaweedfs.region,
            path_style=True,
        )
        services.integrations.create(admin, new)
        services.catalogs.create(admin, name="c", integration="lake")
        catalog = services.catalogs.open(admin, "c")
        scan = services.discovery.start(admin, catalog, prefix=f"s3://{BUCKET}/{bucket}{below}")
        return Bench(services, admin, catalog, scan.id, environment), folder

    yield make
    for services in made:
        services.close()


def until(is_so, *, worker=None):
    """Wait for something that a worker does, not for one that died over it."""

    def is_over():
        assert worker is None or worker.is_running()
        return is_so()

    patience.until(is_over)


def undisturbed(bench):
    here, folder = bench("undisturbed")
    with nursery(folder, **here.environment) as workers:
        worker = workers.start()
        until(lambda: not here.job().state.is_active, worker=worker)
        worker.stop()
    return here.report(), here.registered_files()


@pytest.mark.timeout(60 + 10 * KILLS)
def test_a_scan_that_is_killed_again_and_again_ends_like_one_that_nobody_disturbs(bench):
    expected = undisturbed(bench)
    chance = random.Random(KILLS)
    here, folder = bench("killed")
    moments = sorted(chance.randrange(FILES - 20) for _ in range(KILLS - 4))
    with nursery(folder, **here.environment) as workers:
        for _ in range(2):  # while it lists
            kill_after(workers.start(), here, chance.uniform(0, 0.1))
        for moment in moments:  # while it inspects
            worker, enough = workers.start(), max(moment, here.inspected + 1)
            until(lambda enough=enough: here.inspected >= enough or is_over(here))
            kill_after(worker, here, chance.uniform(0, 0.03))
        for _ in range(2):  # at its end
            worker = workers.start()
            until(lambda: here.inspected >= FILES - 20 or is_over(here))
            kill_after(worker, here, chance.uniform(0, 0.2))
        worker = workers.start()
        until(lambda: is_over(here), worker=worker)
        worker.stop()
    assert here.job().state is JobState.SUCCEEDED, here.job()
    assert (here.report(), here.registered_files()) == expected
    assert here.known(bucket_objects) == FILES


def is_over(here):
    return not here.job().state.is_active


def kill_after(worker, here, pause_s):
    """Let it begin, let it go on for a moment, and no further."""
    own = f":{worker.pid}:"
    until(lambda: own in (here.job().lease_owner or "") or is_over(here), worker=worker)
    threading.Event().wait(pause_s)
    worker.kill()
    until(lambda: not worker.is_running())


def test_a_worker_that_is_told_to_stop_hands_the_scan_on_at_once(bench):
    here, folder = bench("stopped", "by/")
    # So long a lease that nobody would take the scan over in this test.
    environment = {**here.environment, "GRATICULE_JOB_LEASE_S": "3600"}
    with nursery(folder, **environment) as workers:
        first = workers.start()
        until(lambda: here.inspected > 0, worker=first)
        first.stop()
        job = here.job()
        assert (job.state, job.lease_owner, job.attempts) == (JobState.QUEUED, None, 0)
        inspected = here.inspected
        assert 0 < inspected < 450
        second = workers.start()
        until(lambda: is_over(here), worker=second)
        second.stop()
    assert here.job().state is JobState.SUCCEEDED
    assert here.report()["objects"] == 450
