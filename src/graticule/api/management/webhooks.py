"""Webhooks.  The signing secret is in one answer only: the one to the creation."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response, no_content
from graticule.api.idempotency import landed_id, once_managed
from graticule.api.management.bodies import Body, body_of, page_of
from graticule.api.management.representations import moment, page_to_json
from graticule.domain.webhook import EVERYTHING, Delivery, Webhook

Json = dict[str, Any]


class NewWebhook(Body):
    name: str
    url: str
    types: list[str] | None = None
    """Event types; one that ends in `*` means all that begin so.  All of them by default."""
    catalog: str | None = None
    """Id or name; events of all catalogs, and of what lies in none, unless given."""
    object_id: str | None = None
    """Of the one thing whose events are wanted."""


class WebhookChange(Body):
    enabled: bool


def list_webhooks(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.webhooks.list(call.principal, after=asked.after, limit=asked.limit)
    return json_response(page_to_json(found, webhook_to_json))


@once_managed
def create_webhook(call: Call) -> Response:
    """Sent again under its Idempotency-Key, it is answered without the secret: that was lost."""
    body = body_of(call, NewWebhook)
    landed = landed_id(call)
    if landed is not None:
        known = call.services.webhooks.get(call.principal, landed)
        shown = webhook_to_json(known)
        return json_response(shown, status=201, headers={"Cache-Control": "no-store"})
    made = call.services.webhooks.create(
        call.principal,
        name=body.name,
        url=body.url,
        types=EVERYTHING if body.types is None else tuple(body.types),
        catalog=body.catalog,
        object_id=body.object_id,
    )
    return json_response(
        {**webhook_to_json(made), "secret": made.secret.reveal()},
        status=201,
        headers={"Cache-Control": "no-store"},
    )


def show_webhook(call: Call) -> Response:
    found = call.services.webhooks.get(call.principal, call.name("webhook"))
    return json_response(webhook_to_json(found))


@once_managed
def update_webhook(call: Call) -> Response:
    body = body_of(call, WebhookChange)
    landed = landed_id(call)
    if landed is not None:
        changed = call.services.webhooks.get(call.principal, landed)
    else:
        changed = call.services.webhooks.set_enabled(
            call.principal, call.name("webhook"), is_enabled=body.enabled
        )
    return json_response(webhook_to_json(changed))


@once_managed
def delete_webhook(call: Call) -> Response:
    call.services.webhooks.delete(call.principal, call.name("webhook"))
    return no_content()


def list_deliveries(call: Call) -> Response:
    asked = page_of(call)
    found = call.services.webhooks.deliveries(
        call.principal, call.name("webhook"), after=asked.after, limit=asked.limit
    )
    return json_response(page_to_json(found, delivery_to_json))


def redeliver(call: Call) -> Response:
    again = call.services.webhooks.redeliver(
        call.principal, call.name("webhook"), call.name("delivery")
    )
    return json_response(delivery_to_json(again), status=202)


def webhook_to_json(webhook: Webhook) -> Json:
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "types": list(webhook.types),
        "catalog_id": webhook.catalog_id,
        "object_id": webhook.object_id,
        "enabled": webhook.is_enabled,
        "created_at": moment(webhook.created_at_ms),
    }


def delivery_to_json(delivery: Delivery) -> Json:
    waits = delivery.finished_at_ms is None
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": delivery.error,
        "created_at": moment(delivery.created_at_ms),
        "next_attempt_at": moment(delivery.not_before_ms) if waits else None,
        "finished_at": moment(delivery.finished_at_ms),
    }


_DELIVERIES: Final = "/webhooks/{webhook}/deliveries"

ROUTES: Final[Sequence[Line]] = (
    ("GET", "/webhooks", list_webhooks, Action.MANAGE_WEBHOOKS),
    ("POST", "/webhooks", create_webhook, Action.MANAGE_WEBHOOKS),
    ("GET", "/webhooks/{webhook}", show_webhook, Action.MANAGE_WEBHOOKS),
    ("PATCH", "/webhooks/{webhook}", update_webhook, Action.MANAGE_WEBHOOKS),
    ("DELETE", "/webhooks/{webhook}", delete_webhook, Action.MANAGE_WEBHOOKS),
    ("GET", _DELIVERIES, list_deliveries, Action.MANAGE_WEBHOOKS),
    ("POST", f"{_DELIVERIES}/{{delivery}}/redeliver", redeliver, Action.MANAGE_WEBHOOKS),
)
