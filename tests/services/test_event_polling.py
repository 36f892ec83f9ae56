"""What a bucket announces in a queue comes into its tables: once, whoever dies, and no sooner lost.

The store is MiniStack, which sends its events to queues itself and obeys the policies of both.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from sqlalchemy import update

from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.db.schema import event_queues
from graticule.domain.catalog import AccessLevel
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.scan import ScanState
from graticule.iceberg import metadata
from graticule.services.integrations.integrations import NewIntegration
from graticule.services.syncing.event_polling import EventPolling
from graticule.settings import Settings
from graticule.storage.iam_policy import role_policy, trust_policy
from graticule.storage.manifests import read_manifest, read_manifest_list
from graticule.wiring import open_services
from support.faults import Answers, faulty
from support.lake import cities
from support.ministack import ACCOUNT, BUCKET
from support.patience import until
from support.people import person_of
from support.worker_nursery import nursery

pytestmark = pytest.mark.iam

CITIES = TableIdentifier(Namespace(("found",)), "cities")
PARIS, LIMA, TOKYO = (1, 2.35, 48.86), (2, -77.03, -12.05), (3, 139.69, 35.69)


@dataclass
class Lake:
    """A folder with a table over it, and a queue that hears of the folder."""

    ministack: object
    services: object
    admin: object
    catalog: object
    folder: object
    environment: dict
    prefix: str
    role: str
    queue_url: str
    queue_arn: str
    polls: list = field(default_factory=list)

    def put(self, name, *places):
        key = f"{self.prefix}cities/{name}.parquet"
        self.ministack.client("s3").put_object(Bucket=BUCKET, Key=key, Body=cities(*places))
        return key

    def read_queue(self):
        """Have the catalog read the queue, which its owner permits with what that says."""
        said = self.services.event_queues.put(self.admin, self.catalog, self.queue_arn)
        self.permit(said)
        self.ministack.client("s3").put_bucket_notification_configuration(
            Bucket=BUCKET,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "QueueArn": self.queue_arn,
                        "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                        "Filter": {
                            "Key": {"FilterRules": [{"Name": "prefix", "Value": self.prefix}]}
                        },
                    }
                ]
            },
        )

    def permit(self, said):
        self.ministack.client("sqs").set_queue_attributes(
            QueueUrl=self.queue_url, Attributes={"Policy": json.dumps(said.queue_policy)}
        )
        self.attach(said.role_statement)

    def attach(self, *statements):
        policy = role_policy(Location(BUCKET, self.prefix.rstrip("/")), AccessLevel.WRITE)
        policy["Statement"] += statements
        self.ministack.client("iam").put_role_policy(
            RoleName=self.role, PolicyName="Lake", PolicyDocument=json.dumps(policy)
        )

    def send(self, text):
        self.ministack.client("sqs").send_message(QueueUrl=self.queue_url, MessageBody=text)

    def left(self):
        """Messages that wait, and messages that are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        said = self.ministack.client("sqs").get_queue_attributes(
            QueueUrl=self.queue_url, AttributeNames=names
        )["Attributes"]
        return tuple(int(said[name]) for name in names)

    def poll(self):
        """Begin to read queues, in this process."""
        services = self.services
        polling = EventPolling(
            services.engine,
            services.credentials,
            services.sync_schedule,
            now_ms=lambda: time.time_ns() // 1_000_000,
            wake=services.job_worker.wake,
            wait_s=1,
        )
        self.polls.append(polling)
        polling.start()

    def state(self):
        return self.services.event_queues.get(self.admin, self.catalog).queue

    def document(self):
        with read(self.services.engine) as conn:
            record = tables_db.load(conn, self.catalog.catalog.id, CITIES)
        store = self.services.credentials.store_for(self.catalog.integration)
        return metadata.decode(store.get(record.metadata_location))

    def files(self):
        store = self.services.credentials.store_for(self.catalog.integration)
        snapshot = metadata.current_snapshot(self.document())
        return sorted(
            entry.path.rpartition("/")[2]
            for manifest in read_manifest_list(store.get(snapshot["manifest-list"]))
            if manifest.may_hold_live_files
            for entry in read_manifest(store.get(manifest.path), manifest)
        )


@pytest.fixture
def lakes(tmp_path, ministack):
    made = []

    def make(endpoint=None):
        name = f"events-{uuid4().hex[:8]}"
        sqs = ministack.client("sqs")
        url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
        environment = {
            "GRATICULE_STS_ACCESS_KEY_ID": ministack.catalog_keys.access_key_id,
            "GRATICULE_STS_SECRET_ACCESS_KEY": ministack.catalog_keys.secret_access_key.reveal(),
            "GRATICULE_ALLOW_PRIVATE_ENDPOINTS": "true",
            "GRATICULE_LOG_LEVEL": "warning",
            "GRATICULE_JOB_LEASE_S": "2",
            "GRATICULE_INSPECTION_PROCESSES": "1",
        }
        settings = {key.removeprefix("GRATICULE_").lower(): v for key, v in environment.items()}
        services = open_services(Settings(data_dir=tmp_path, **settings))
        admin = person_of(services, services.organisations.bootstrap().credential).principal
        prefix = f"{name}/"
        role_arn = ministack.create_role(
            name,
            trust=trust_policy(ministack.catalog_arn, admin.organisation_id),
            policy=role_policy(Location(BUCKET, name), AccessLevel.WRITE),
        )
        new = NewIntegration(
            name="lake",
            path=f"s3://{BUCKET}/{name}",
            role_arn=role_arn,
            endpoint=endpoint or ministack.endpoint,
            region=ministack.region,
            path_style=True,
        )
        services.integrations.create(admin, new)
        services.catalogs.create(admin, name="c", integration="lake")
        catalog = services.catalogs.open(admin, "c")
        arn = f"arn:aws:sqs:{ministack.region}:{ACCOUNT}:{name}"
        lake = Lake(
            ministack, services, admin, catalog, tmp_path, environment, prefix, name, url, arn
        )
        made.append(lake)
        lake.put("part-0", PARIS)
        services.job_worker.start(alone=True)
        scan = services.discovery.start(admin, catalog, prefix=f"s3://{BUCKET}/{prefix}")
        until(lambda: proposed(services, admin, catalog, scan.id))
        [outcome] = services.discovery.register(
            admin, catalog, scan.id, namespace=CITIES.namespace, names=None
        )
        assert outcome.error is None
        return lake

    yield make
    for lake in made:
        for polling in lake.polls:
            polling.close()
        lake.services.close()


def proposed(services, admin, catalog, scan_id):
    scan = services.discovery.get(admin, catalog, scan_id)
    assert scan.state is not ScanState.FAILED, scan
    return scan.state is ScanState.PROPOSED


def test_a_new_file_is_in_a_new_snapshot_and_the_message_gone(lakes):
    lake = lakes()
    lake.read_queue()  # at which the store sends a test event
    before = lake.document()["snapshots"]
    lake.poll()
    lake.put("part 1+ü", LIMA)
    until(lambda: len(lake.files()) == 2)
    until(lambda: lake.left() == (0, 0))
    assert lake.files() == ["part 1+ü.parquet", "part-0.parquet"]
    assert len(lake.document()["snapshots"]) == len(before) + 1
    until(lambda: lake.state().received_at_ms is not None)
    state = lake.state()
    assert (state.error, state.failures, state.unreadable) == (None, 0, 0)
    assert state.has_dead_letters is False


def test_what_nobody_can_read_stays_in_the_queue_and_in_nobodys_way(lakes):
    lake = lakes()
    lake.read_queue()
    for text in ("nonsense", '["a list"]', '{"Records": [{"s3": 1}]}', "[" * 100_000):
        lake.send(text)
    lake.poll()
    until(lambda: lake.state().unreadable >= 4)
    lake.put("part-1", LIMA)
    until(lambda: len(lake.files()) == 2)
    until(lambda: sum(lake.left()) == 4)
    threading.Event().wait(3)  # the queue shows them again after 2 s; we ask for 10
    state = lake.state()
    assert (state.unreadable, sum(lake.left())) == (4, 4)
    assert "JSON" in state.unreadable_error or "as S3" in state.unreadable_error


def test_who_may_not_read_says_so_and_reads_once_he_may(lakes):
    lake = lakes()
    said = lake.services.event_queues.put(lake.admin, lake.catalog, lake.queue_arn)
    lake.poll()
    until(lambda: lake.state().error is not None)
    state = lake.state()
    assert "AccessDenied" in state.error
    assert lake.queue_arn.rpartition(":")[2] in state.error
    assert state.failures == 1
    until(lambda: lake.state().next_poll_ms > time.time() * 1000 + 2_000)
    lake.attach(said.role_statement)
    lake.services.event_queues.put(lake.admin, lake.catalog, lake.queue_arn)  # try now
    until(lambda: lake.state().polled_at_ms is not None)
    assert (lake.state().error, lake.state().failures) == (None, 0)


class KillsBeforeDeleting:
    """The process that is about to delete a message is no more."""

    def __init__(self):
        self.worker = None

    def refusal(self, request):
        target = request.headers.get("X-Amz-Target") or ""
        if self.worker is None or not target.endswith("DeleteMessageBatch"):
            return None
        self.worker.kill()
        self.worker = None
        return Answers(503, "POST")

    def answered(self, _request, body):
        return body


def test_who_dies_before_deleting_loses_nothing_and_doubles_nothing(lakes, ministack):
    rules = KillsBeforeDeleting()
    with faulty(ministack.endpoint, rules) as proxy:
        lake = lakes(proxy.endpoint)
        lake.read_queue()
        lake.services.job_worker.close()
        before = len(lake.document()["snapshots"])
        with nursery(lake.folder, **lake.environment) as workers:
            rules.worker = first = workers.start()
            lake.put("part-1", LIMA)
            until(lambda: rules.worker is None and not first.is_running())
            assert sum(lake.left()) >= 1
            with write(lake.services.engine) as conn:  # as if a minute had passed
                conn.execute(update(event_queues).values(lease_until_ms=0))
            second = workers.start()
            until(lambda: len(lake.files()) == 2)
            until(lambda: lake.left() == (0, 0))
            second.stop()
        assert len(lake.document()["snapshots"]) == before + 1
