"""What is built in this room: the audit log, and who hears of it."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.outbound.fetch import Fetcher
from graticule.outbound.gate import Outbound
from graticule.services.events.audit import Audit
from graticule.services.events.webhook_delivery import WebhookDelivery
from graticule.services.events.webhooks import Webhooks


@dataclass(frozen=True, kw_only=True)
class EventsRoom:
    audit: Audit
    webhooks: Webhooks
    webhook_delivery: WebhookDelivery


def open_events(
    engine: Engine,
    keyring: Keyring,
    *,
    now_ms: Callable[[], int],
    outbound: Outbound,
    fetcher: Fetcher,
    retention_days: int,
) -> EventsRoom:
    return EventsRoom(
        audit=Audit(engine, now_ms=now_ms, retention_days=retention_days),
        webhooks=Webhooks(engine, keyring, now_ms=now_ms, outbound=outbound),
        webhook_delivery=WebhookDelivery(engine, keyring, now_ms=now_ms, fetcher=fetcher),
    )
