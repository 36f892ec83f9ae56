"""Webhooks against a real receiver: what is sent, to whom, how often, and what is kept of it."""

import base64
import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from graticule.db.engine import write
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InvalidRequest,
    NoSuchWebhook,
)
from graticule.domain.tenancy import Role
from graticule.domain.webhook import DeliveryState
from graticule.outbound.fetch import Fetcher
from graticule.outbound.gate import ANYWHERE, PUBLIC_ONLY
from graticule.services.events.audit_trail import record
from graticule.services.events.webhook_delivery import (
    HISTORY_MS,
    LEASE_MS,
    RETRY_AFTER_S,
    WebhookDelivery,
)
from graticule.services.events.webhooks import Webhooks
from support.principals import ANA
from support.tenants import RING, ZOE
from support.webhook_receiver import receiver

__all__ = ["receiver"]

LAKES = Subject(SubjectKind.TABLE, "t-1", "geo.lakes", "c-1")
LONGEST_PAUSE_S = max(RETRY_AFTER_S) * 2


@pytest.fixture
def webhooks(tenants, clock):
    return Webhooks(tenants, RING, now_ms=clock, outbound=ANYWHERE)


@pytest.fixture
def courier(tenants, clock):
    return new_courier(tenants, clock)


def new_courier(engine, clock, outbound=ANYWHERE):
    return WebhookDelivery(engine, RING, now_ms=clock, fetcher=Fetcher(outbound))


@pytest.fixture
def happens(tenants, clock):
    def happen(type_=EventType.TABLE_CREATED, subject=LAKES, principal=ANA):
        with write(tenants) as conn:
            record(conn, principal, type_, subject, now_ms=clock())

    return happen


def run(courier):
    courier.run_due(Event())


def test_an_event_arrives_signed_as_a_cloud_event(webhooks, courier, happens, receiver, clock):
    made = webhooks.create(ANA, name="ci", url=f"{receiver.url}/hook?a=b")
    happens(EventType.TABLE_COMMITTED)

    run(courier)

    by_type = {
        json.loads(body)["type"]: (path, headers, body) for path, headers, body in receiver.received
    }
    assert set(by_type) == {"dev.graticule.webhook.created", "dev.graticule.table.committed"}
    path, headers, body = by_type["dev.graticule.table.committed"]
    told = json.loads(body)
    assert path == "/hook?a=b"
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert told["specversion"] == "1.0"
    assert told["subject"] == "table/t-1"
    assert told["data"]["name"] == "geo.lakes"
    assert told["data"]["member_name"] == ANA.name
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(made.secret.reveal().removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == str(clock() // 1000)


def test_it_gets_what_it_asked_for_and_nothing_of_others(webhooks, courier, happens, receiver):
    webhooks.create(ANA, name="drops", url=receiver.url, types=("table.dropped", "view.*"))
    happens(EventType.TABLE_CREATED)
    happens(EventType.TABLE_DROPPED)
    happens(EventType.VIEW_RENAMED)
    happens(EventType.TABLE_DROPPED, principal=ZOE)

    run(courier)

    types = [json.loads(body)["type"] for _, _, body in receiver.received]
    assert sorted(types) == ["dev.graticule.table.dropped", "dev.graticule.view.renamed"]


def test_it_may_ask_for_one_object_or_for_one_catalog(
    webhooks, catalogs, lake, courier, happens, receiver
):
    mine = catalogs.create(ANA, name="mine", integration=lake.id).catalog
    webhooks.create(ANA, name="one", url=f"{receiver.url}/one", object_id="t-2")
    webhooks.create(ANA, name="all", url=f"{receiver.url}/all", catalog="mine", types=("table.*",))
    for table, catalog_id in (("t-1", mine.id), ("t-2", "c-2"), ("t-2", mine.id)):
        happens(subject=Subject(SubjectKind.TABLE, table, "a", catalog_id))

    run(courier)

    told = sorted((path, json.loads(body)["data"]["id"]) for path, _, body in receiver.received)
    assert told == [("/all", "t-1"), ("/all", "t-2"), ("/one", "t-2"), ("/one", "t-2")]


def test_what_happened_before_the_first_webhook_is_not_told(webhooks, courier, happens, receiver):
    happens()
    webhooks.create(ANA, name="late", url=receiver.url, types=("table.*",))

    run(courier)

    assert receiver.received == []


def test_a_webhook_is_not_told_what_happened_before_it_was_made(
    webhooks, courier, happens, receiver, clock
):
    webhooks.create(ANA, name="first", url=f"{receiver.url}/first", types=("table.*",))
    happens()
    clock.advance(ms=1)
    webhooks.create(ANA, name="late", url=f"{receiver.url}/late", types=("table.*",))

    run(courier)

    assert [path for path, _, _ in receiver.received] == ["/first"]


def test_a_refused_delivery_is_tried_again_under_the_same_id_until_it_is_taken(
    webhooks, courier, happens, receiver, clock
):
    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    happens()
    receiver.status = 503
    run(courier)
    run(courier)
    assert len(receiver.received) == 1, "not before its time"
    (waiting,) = webhooks.deliveries(ANA, "ci", limit=10).items
    assert (waiting.state, waiting.status) == (DeliveryState.PENDING, 503)

    receiver.status = 200
    clock.advance(s=RETRY_AFTER_S[0] * 2)
    run(courier)

    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1
    (done,) = webhooks.deliveries(ANA, "ci", limit=10).items
    assert (done.state, done.attempts, done.status, done.error) == (
        DeliveryState.DELIVERED,
        2,
        200,
        None,
    )


def test_it_is_given_up_after_the_last_pause_and_can_be_sent_again_by_hand(
    webhooks, courier, happens, receiver, clock
):
    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    happens()
    receiver.status = 500
    for _ in range(len(RETRY_AFTER_S) + 3):
        run(courier)
        clock.advance(s=LONGEST_PAUSE_S)
    (failed,) = webhooks.deliveries(ANA, "ci", limit=10).items
    assert (failed.state, failed.attempts) == (DeliveryState.FAILED, len(RETRY_AFTER_S) + 1)

    receiver.status = 200
    again = webhooks.redeliver(ANA, "ci", failed.id)
    run(courier)

    newest, _ = webhooks.deliveries(ANA, "ci", limit=10).items
    assert (newest.id, newest.state) == (again.id, DeliveryState.DELIVERED)
    assert receiver.received[-1][2] == receiver.received[0][2]


def test_a_redirect_is_a_refusal_and_not_followed(webhooks, courier, happens, receiver):
    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    receiver.status, receiver.headers = 307, {"Location": f"{receiver.url}/elsewhere"}
    happens()

    run(courier)

    assert [path for path, _, _ in receiver.received] == ["/"]
    (delivery,) = webhooks.deliveries(ANA, "ci", limit=10).items
    assert (delivery.state, delivery.status) == (DeliveryState.PENDING, 307)


def test_an_address_that_is_no_longer_permitted_is_not_called(
    tenants, clock, webhooks, happens, receiver
):
    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    happens()

    run(new_courier(tenants, clock, PUBLIC_ONLY))

    assert receiver.received == []
    (delivery,) = webhooks.deliveries(ANA, "ci", limit=10).items
    assert delivery.state is DeliveryState.PENDING
    assert "GRATICULE_ALLOW_PRIVATE_ENDPOINTS" in (delivery.error or "")


def test_several_processes_deliver_each_event_once(tenants, clock, webhooks, happens, receiver):
    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    for _ in range(30):
        happens()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, [new_courier(tenants, clock) for _ in range(3)]))
    run(new_courier(tenants, clock))

    assert len(receiver.ids) == len(set(receiver.ids)) == 30


def test_a_process_that_dies_while_sending_is_replaced_when_its_lease_ends(
    tenants, clock, webhooks, courier, happens, receiver
):
    class Died(BaseException):
        pass

    class Dying(Fetcher):
        def request(self, *_args, **_more):
            raise Died

    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    happens()
    with pytest.raises(Died):
        run(WebhookDelivery(tenants, RING, now_ms=clock, fetcher=Dying(ANYWHERE)))
    run(courier)
    assert receiver.received == []

    clock.advance(ms=LEASE_MS)
    run(courier)

    assert len(receiver.received) == 1


def test_a_receiver_out_of_reach_says_so_in_the_history(courier, webhooks, happens):
    webhooks.create(ANA, name="ci", url="http://127.0.0.1:9", types=("table.*",))
    happens()

    run(courier)

    (delivery,) = webhooks.deliveries(ANA, "ci", limit=10).items
    assert delivery.status is None
    assert "no usable answer came" in (delivery.error or "")


def test_a_disabled_webhook_is_left_alone_and_one_that_is_enabled_goes_on(
    webhooks, courier, happens, receiver
):
    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    webhooks.set_enabled(ANA, "ci", is_enabled=False)
    happens()
    run(courier)
    assert receiver.received == []

    webhooks.set_enabled(ANA, "ci", is_enabled=True)
    happens()
    run(courier)

    assert len(receiver.received) == 1


def test_history_is_forgotten_in_time(webhooks, courier, happens, receiver, clock):
    webhooks.create(ANA, name="ci", url=receiver.url, types=("table.*",))
    happens()
    run(courier)
    clock.advance(ms=HISTORY_MS)
    courier.remove_finished(Event())
    assert len(webhooks.deliveries(ANA, "ci", limit=10).items) == 1

    clock.advance(ms=1)
    courier.remove_finished(Event())

    assert webhooks.deliveries(ANA, "ci", limit=10).items == []


@pytest.mark.parametrize("types", [(), ("table.creatd",), ("tab le.*",), ("nothing*",)])
def test_a_type_that_cannot_be_is_refused(webhooks, types):
    with pytest.raises(InvalidRequest, match="type"):
        webhooks.create(ANA, name="ci", url="https://example.org", types=types)


def test_a_webhook_is_its_organisations_own_and_for_admins(webhooks, receiver):
    webhooks.create(ANA, name="ci", url=receiver.url)

    with pytest.raises(AlreadyExists, match="webhook `ci` exists"):
        webhooks.create(ANA, name="ci", url=receiver.url)
    with pytest.raises(NoSuchWebhook):
        webhooks.get(ZOE, "ci")
    with pytest.raises(Forbidden):
        webhooks.list(replace(ANA, role=Role.USER), limit=1)
    with pytest.raises(InvalidRequest, match="no catalog is called `theirs`"):
        webhooks.create(ANA, name="other", url=receiver.url, catalog="theirs")

    webhooks.delete(ANA, "ci")
    with pytest.raises(NoSuchWebhook):
        webhooks.get(ANA, "ci")
