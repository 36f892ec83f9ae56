"""Webhooks: where events are announced, and how each delivery went."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from graticule.domain.audit import AuditEvent
from graticule.domain.secret import Secret

EVERYTHING: Final = ("*",)
"""Types of a webhook that wants all events."""


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Webhook:
    """`types` are event types; one that ends in `*` means all that begin so."""

    id: str
    organisation_id: str
    name: str
    url: str
    types: tuple[str, ...]
    catalog_id: str | None
    """Only events of what lies in this catalog, and of itself."""
    object_id: str | None
    """Only events about this one thing: a table, a namespace, a member, whatever has an id."""
    secret: Secret
    is_enabled: bool
    created_at_ms: int

    def wants(self, event: AuditEvent) -> bool:
        """Whether it is told: what happened before it was made is none of its business."""
        if event.at_ms < self.created_at_ms:
            return False
        if self.catalog_id is not None and event.subject.catalog_id != self.catalog_id:
            return False
        if self.object_id is not None and event.subject.id != self.object_id:
            return False
        return any(
            event.type.startswith(type_[:-1]) if type_.endswith("*") else event.type == type_
            for type_ in self.types
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook.  `attempts` counts those that began."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    payload: str
    """The CloudEvent, JSON; the same bytes at every attempt."""
    state: DeliveryState
    attempts: int
    created_at_ms: int
    not_before_ms: int
    status: int | None = None
    error: str | None = None
    finished_at_ms: int | None = None
