"""Announces events to webhooks: fans them out into deliveries, sends those, tries again.

Every process runs this; a delivery is leased by one of them at a time.  An event is delivered at
least once: a receiver knows a repetition by its `webhook-id`.
"""

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.access.webhook_signatures import signed_headers
from graticule.db import webhooks as webhooks_db
from graticule.db.engine import read, write
from graticule.domain.audit import AuditEvent
from graticule.domain.errors import CatalogError
from graticule.domain.webhook import Delivery, DeliveryState, Webhook
from graticule.outbound.fetch import Fetcher
from graticule.services.events.webhooks import new_delivery

log = structlog.get_logger(__name__)

FANNED_OUT_AT_ONCE: Final = 200
SENT_AT_ONCE: Final = 8
LEASE_MS: Final = 120_000
RETRY_AFTER_S: Final = (5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000)
"""Pauses between attempts, each up to a fifth longer; after the last attempt it has failed."""
HISTORY_MS: Final = 30 * 86_400_000
HISTORY_BATCH: Final = 1_000

_TYPE_PREFIX: Final = "dev.graticule."
_SUCCESS: Final = range(200, 300)
_ERROR_CHARACTERS_MAX: Final = 300


class WebhookDelivery:
    def __init__(
        self, engine: Engine, keyring: Keyring, *, now_ms: Callable[[], int], fetcher: Fetcher
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._now_ms = now_ms
        self._fetcher = fetcher

    def run_due(self, stopping: threading.Event) -> None:
        """Announce what is new and send what is due, until there is neither."""
        while not stopping.is_set() and self._fan_out():
            pass
        while not stopping.is_set() and self._send_due():
            pass

    def remove_finished(self, stopping: threading.Event) -> None:
        """Forget deliveries that ended more than `HISTORY_MS` ago."""
        before_ms = self._now_ms() - HISTORY_MS
        removed = HISTORY_BATCH
        while removed == HISTORY_BATCH and not stopping.is_set():
            with write(self._engine) as conn:
                removed = webhooks_db.remove_finished(
                    conn, before_ms=before_ms, limit=HISTORY_BATCH
                )

    def _fan_out(self) -> bool:
        with read(self._engine) as conn:  # most of the time there is nothing, and nobody waits
            if not webhooks_db.has_unannounced(conn):
                return False
        with write(self._engine) as conn:
            events = webhooks_db.take_unannounced(conn, limit=FANNED_OUT_AT_ONCE)
            hooks = webhooks_db.enabled_of(
                conn, self._keyring, {event.organisation_id for event in events}
            )
            now_ms = self._now_ms()
            webhooks_db.add_deliveries(
                conn,
                (
                    new_delivery(hook, event.id, event.type, json.dumps(cloud_event(event)), now_ms)
                    for event in events
                    for hook in hooks
                    if hook.organisation_id == event.organisation_id and hook.wants(event)
                ),
            )
        return len(events) == FANNED_OUT_AT_ONCE

    def _send_due(self) -> bool:
        now_ms = self._now_ms()
        with read(self._engine) as conn:
            if not webhooks_db.has_due(conn, now_ms=now_ms):
                return False
        with write(self._engine) as conn:
            leased = webhooks_db.lease(
                conn,
                self._keyring,
                now_ms=now_ms,
                until_ms=now_ms + LEASE_MS,
                limit=SENT_AT_ONCE,
            )
        if not leased:
            return False
        with ThreadPoolExecutor(SENT_AT_ONCE) as pool:
            list(pool.map(lambda pair: self._deliver(*pair), leased))
        return True

    def _deliver(self, delivery: Delivery, webhook: Webhook) -> None:
        status, error = self._attempt(delivery, webhook)
        now_ms = self._now_ms()
        state, not_before_ms = DeliveryState.DELIVERED, now_ms
        if error is not None:
            state = DeliveryState.FAILED
            if delivery.attempts <= len(RETRY_AFTER_S):
                state = DeliveryState.PENDING
                not_before_ms += _pause_ms(delivery.attempts)
        with write(self._engine) as conn:
            webhooks_db.conclude(
                conn,
                delivery,
                state,
                status=status,
                error=error,
                not_before_ms=not_before_ms,
                now_ms=now_ms,
            )
        if state is DeliveryState.FAILED:
            log.warning("webhook delivery failed", webhook_id=webhook.id, error=error)

    def _attempt(self, delivery: Delivery, webhook: Webhook) -> tuple[int | None, str | None]:
        body = delivery.payload.encode()
        signed = signed_headers(
            webhook.secret, delivery_id=delivery.id, at_s=self._now_ms() // 1000, body=body
        )
        headers = {"Content-Type": "application/cloudevents+json; charset=utf-8", **signed}
        try:
            status = self._fetcher.request("POST", webhook.url, body=body, headers=headers).status
        except CatalogError as error:
            return None, error.message[:_ERROR_CHARACTERS_MAX]
        if status not in _SUCCESS:
            return status, f"the receiver answered {status}; only 2xx counts as received"
        return status, None


def _pause_ms(attempts: int) -> int:
    return int(RETRY_AFTER_S[attempts - 1] * 1000 * (1 + random.random() / 5))  # noqa: S311


def cloud_event(event: AuditEvent) -> dict[str, Any]:
    """The event in CloudEvents 1.0, structured JSON.

    Spec: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/organisations/{event.organisation_id}",
        "type": _TYPE_PREFIX + event.type,
        "subject": f"{event.subject.kind.value}/{event.subject.id}",
        "time": at.replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "kind": event.subject.kind.value,
            "id": event.subject.id,
            "name": event.subject.name,
            "catalog_id": event.subject.catalog_id,
            "member_id": event.member_id,
            "member_name": event.member_name,
            "outcome": event.outcome.value,
            "request_id": event.request_id,
            "details": dict(event.details),
        },
    }
