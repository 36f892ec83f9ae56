"""What a bucket announces in a queue comes into its tables: once, whoever dies, and no sooner lost.

The store is MiniStack, which sends its events to queues itself and obeys the policies of both.
"""

import json
import re
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
from sqlalchemy import update

from graticule.db import dirty_objects as dirty_objects_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.db.schema import event_queues
from graticule.domain.catalog import AccessLevel
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.scan import ScanState
from graticule.iceberg import metadata
from graticule.services.integrations.integrations import NewIntegration
from graticule.services.syncing import event_polling
from graticule.services.syncing.event_polling import LEASE_S, EventPolling
from graticule.settings import Settings
from graticule.storage.iam_policy import role_policy, trust_policy
from graticule.storage.manifests import read_manifest, read_manifest_list
from graticule.storage.message_queue import WAIT_S_MAX
from graticule.wiring import open_services, wall_clock_ms
from support.faults import Answers, faulty
from support.lake import cities
from support.ministack import ACCOUNT, BUCKET
from support.patience import until
from support.people import person_of
from support.worker_nursery import nursery

pytestmark = pytest.mark.iam

CITIES = TableIdentifier(Namespace(("found",)), "cities")
PARIS, LIMA, TOKYO = (1, 2.35, 48.86), (2, -77.03, -12.05), (3, 139.69, 35.69)
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


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

    def read_queue(self, *, kms_key_arn=None):
        """Have the catalog read the queue, which its owner permits with what that says."""
        said = self.services.event_queues.put(
            self.admin, self.catalog, self.queue_arn, kms_key_arn=kms_key_arn
        )
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
        self.attach(*said.role_statements)

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

    def show_again(self, receipts):
        """Have the queue show messages that it hides, as if it had hidden them long enough."""
        for receipt in receipts:
            self.ministack.client("sqs").change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=receipt, VisibilityTimeout=0
            )

    def poll(self, *, now_ms=wall_clock_ms, wait_s=1):
        """Begin to read queues, in this process, as one server of several would."""
        services = self.services
        polling = EventPolling(
            services.engine,
            services.credentials,
            services.sync_schedule,
            now_ms=now_ms,
            wake=services.job_worker.wake,
            wait_s=wait_s,
        )
        self.polls.append(polling)
        polling.start()
        return polling

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
    lake.attach(*said.role_statements)
    lake.services.event_queues.put(lake.admin, lake.catalog, lake.queue_arn)  # try now
    until(lambda: lake.state().polled_at_ms is not None)
    assert (lake.state().error, lake.state().failures) == (None, 0)


def asks_to(what, request):
    return (request.headers.get("X-Amz-Target") or "").endswith(f".{what}")


def receipts_in(body):
    return [message["ReceiptHandle"] for message in json.loads(body).get("Messages") or ()]


class EncryptsQueue:
    """A queue under a key: only a session whose own policy has the key gets what is in it."""

    def __init__(self):
        self.policies = {}

    def refusal(self, request):
        if not asks_to("ReceiveMessage", request):
            return None
        [key_id] = re.findall(r"Credential=([^/]+)/", request.headers["Authorization"])
        allowed = [statement["Resource"] for statement in self.policies[key_id]["Statement"]]
        if KEY in allowed:
            return None
        said = {"__type": "com.amazonaws.sqs#KmsAccessDenied", "message": "no kms:Decrypt"}
        kind = ("Content-Type", "application/x-amz-json-1.0")
        return Answers(400, "POST", (kind,), json.dumps(said).encode())

    def answered(self, request, body):
        asked = parse_qs(request.body.decode("utf-8", "replace"))
        if asked.get("Action") == ["AssumeRole"] and "Policy" in asked:
            [key_id] = re.findall(r"<AccessKeyId>([^<]+)<", body.decode())
            self.policies[key_id] = json.loads(asked["Policy"][0])
        return body


def test_a_queue_under_a_key_is_read_once_its_key_is_named(lakes, ministack):
    with faulty(ministack.endpoint, EncryptsQueue()) as proxy:
        lake = lakes(proxy.endpoint)
        lake.read_queue()
        lake.put("part-1", LIMA)
        polling = lake.poll()
        until(lambda: lake.state().error is not None)
        assert "KmsAccessDenied" in lake.state().error
        assert "`--kms-key`" in lake.state().error
        another = KEY.replace("1234abcd-", "0000abcd-")
        lake.read_queue(kms_key_arn=another)
        until(lambda: f"may decrypt with `{another}`" in lake.state().error)
        lake.read_queue(kms_key_arn=KEY)
        until(lambda: len(lake.files()) == 2)
        until(lambda: lake.left() == (0, 0))
        until(lambda: lake.state().error is None)
        polling.close()


class HoldsFirst:
    """Who receives messages first hears of it only when the test says so."""

    def __init__(self):
        self.receiving = 0
        self.deleting = 0
        self.receipts = []
        self.is_held = threading.Event()
        self.goes_on = threading.Event()

    def refusal(self, request):
        self.receiving += asks_to("ReceiveMessage", request)
        self.deleting += asks_to("DeleteMessageBatch", request)

    def answered(self, request, body):
        if asks_to("ReceiveMessage", request) and not self.is_held.is_set():
            self.receipts = receipts_in(body)
            self.is_held.set()
            self.goes_on.wait()
        return body


class Clock:
    """Of a server whose time the test makes pass; it counts how often it was looked at."""

    def __init__(self):
        self.ahead_ms = 0
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return wall_clock_ms() + self.ahead_ms


def test_who_stalls_past_his_lease_is_followed_by_another_and_acts_no_more(
    lakes, ministack, monkeypatch
):
    monkeypatch.setattr(event_polling, "PAUSE_S", 0.02)
    rules, clock = HoldsFirst(), Clock()
    with faulty(ministack.endpoint, rules) as proxy:
        lake = lakes(proxy.endpoint)
        lake.read_queue()
        before = len(lake.document()["snapshots"])
        lake.put("part-1", LIMA)
        until(lambda: lake.left() == (2, 0))  # with the store's test event
        lake.poll(wait_s=WAIT_S_MAX)
        assert rules.is_held.wait(30)
        assert len(rules.receipts) == 2

        second = lake.poll(now_ms=clock)
        until(lambda: clock.looks >= 50)  # it looked for a queue to read, again and again
        assert rules.receiving == 1
        lake.show_again(rules.receipts)
        clock.ahead_ms = round(LEASE_S * 1000) + 1
        until(lambda: len(lake.files()) == 2)
        until(lambda: lake.left() == (0, 0))
        second.close()

        deleting = rules.deleting
        rules.goes_on.set()
        until(lambda: not any(thread.name == "queue" for thread in threading.enumerate()))
        assert rules.deleting == deleting
        with read(lake.services.engine) as conn:
            assert dirty_objects_db.catalogs_with_any(conn) == []
        assert len(lake.document()["snapshots"]) == before + 1
        assert (lake.state().error, lake.state().failures) == (None, 0)


class KillsBeforeDeleting:
    """The process that is about to delete a message is no more."""

    def __init__(self):
        self.worker = None
        self.receipts = []

    def refusal(self, request):
        if self.worker is None or not asks_to("DeleteMessageBatch", request):
            return None
        self.worker.kill()
        self.worker = None
        return Answers(503, "POST")

    def answered(self, request, body):
        if asks_to("ReceiveMessage", request):
            self.receipts = receipts_in(body)
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
            lake.show_again(rules.receipts)
            with write(lake.services.engine) as conn:  # as if a minute had passed
                conn.execute(update(event_queues).values(lease_until_ms=0))
            second = workers.start()
            until(lambda: len(lake.files()) == 2)
            until(lambda: lake.left() == (0, 0))
            second.stop()
        assert len(lake.document()["snapshots"]) == before + 1
