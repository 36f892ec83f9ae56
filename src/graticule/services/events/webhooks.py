"""Webhooks: made, listed, switched, deleted, and their deliveries looked at and sent again.

Transactions and authorisation live here; sending is next door.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access import webhook_signatures
from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import webhooks as webhooks_db
from graticule.db.engine import read, transact, write
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.errors import InvalidRequest, NoSuchWebhook
from graticule.domain.identifiers import check_resource_name
from graticule.domain.tenancy import Principal
from graticule.domain.webhook import EVERYTHING, Delivery, DeliveryState, Webhook
from graticule.outbound.gate import Outbound
from graticule.services.events.audit_trail import record
from graticule.services.pages import Page, page

TYPES_MAX: Final = 50


class Webhooks:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        *,
        now_ms: Callable[[], int],
        outbound: Outbound,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._now_ms = now_ms
        self._outbound = outbound

    def create(
        self,
        principal: Principal,
        *,
        name: str,
        url: str,
        types: tuple[str, ...] = EVERYTHING,
        catalog: str | None = None,
        object_id: str | None = None,
    ) -> Webhook:
        """Announce events of these types at a URL from now on.

        Only those of a catalog, by id or name, or only those about one object, by its id, if given.

        Raises:
            AlreadyExists: the organisation has a webhook of that name.
            InvalidRequest: a URL this server must not call, or a type that cannot be.
        """
        require(principal, Action.MANAGE_WEBHOOKS)
        check_resource_name(name, of="webhook")
        if not 1 <= len(types) <= TYPES_MAX:
            raise InvalidRequest(f"`types` must name 1 to {TYPES_MAX} event types; `*` means all")
        for type_ in types:
            if not _names_a_type(type_):
                raise InvalidRequest(
                    f"`{type_[:70]}` is no event type; write `table.created`, `table.*` or `*`"
                )
        checked = self._outbound.check_url(url, of="url")

        def create(conn: Connection) -> Webhook:
            now_ms = self._now_ms()
            webhook = Webhook(
                id=str(uuid7()),
                organisation_id=principal.organisation_id,
                name=name,
                url=checked,
                types=types,
                catalog_id=self._catalog_id(conn, principal, catalog),
                object_id=object_id,
                secret=webhook_signatures.new_secret(),
                is_enabled=True,
                created_at_ms=now_ms,
            )
            webhooks_db.create(conn, self._keyring, webhook)
            record(conn, principal, EventType.WEBHOOK_CREATED, _subject(webhook), now_ms=now_ms)
            return webhook

        return transact(self._engine, create)

    def _catalog_id(
        self, conn: Connection, principal: Principal, catalog: str | None
    ) -> str | None:
        if catalog is None:
            return None
        found = catalogs_db.find(conn, principal, catalog)
        if found is None:
            raise InvalidRequest(f"no catalog is called `{catalog}`")
        return found.id

    def list(self, principal: Principal, *, after: str | None = None, limit: int) -> Page:
        require(principal, Action.MANAGE_WEBHOOKS)
        with read(self._engine) as conn:
            found = webhooks_db.page(
                conn, self._keyring, principal.organisation_id, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda webhook: webhook.id)

    def get(self, principal: Principal, id_or_name: str) -> Webhook:
        """A webhook by id or name.

        Raises:
            NoSuchWebhook: the organisation has none.
        """
        require(principal, Action.MANAGE_WEBHOOKS)
        with read(self._engine) as conn:
            return self._find(conn, principal, id_or_name)

    def _find(self, conn: Connection, principal: Principal, id_or_name: str) -> Webhook:
        found = webhooks_db.find(conn, self._keyring, principal.organisation_id, id_or_name)
        if found is None:
            raise NoSuchWebhook(f"no webhook is called `{id_or_name}`")
        return found

    def set_enabled(self, principal: Principal, id_or_name: str, *, is_enabled: bool) -> Webhook:
        """Switch a webhook on or off.  What waits for it is kept, and goes out once it is on."""
        require(principal, Action.MANAGE_WEBHOOKS)

        def switch(conn: Connection) -> Webhook:
            found = self._find(conn, principal, id_or_name)
            webhooks_db.set_enabled(conn, found.id, is_enabled=is_enabled)
            did = EventType.WEBHOOK_ENABLED if is_enabled else EventType.WEBHOOK_DISABLED
            record(conn, principal, did, _subject(found), now_ms=self._now_ms())
            return replace(found, is_enabled=is_enabled)

        return transact(self._engine, switch)

    def delete(self, principal: Principal, id_or_name: str) -> None:
        """Delete a webhook, with the history of its deliveries."""
        require(principal, Action.MANAGE_WEBHOOKS)

        def delete(conn: Connection) -> None:
            found = self._find(conn, principal, id_or_name)
            webhooks_db.remove(conn, found.id)
            record(
                conn,
                principal,
                EventType.WEBHOOK_DELETED,
                _subject(found),
                now_ms=self._now_ms(),
            )

        transact(self._engine, delete)

    def deliveries(
        self, principal: Principal, id_or_name: str, *, after: str | None = None, limit: int
    ) -> Page:
        """What was sent and how it went, newest first."""
        webhook = self.get(principal, id_or_name)
        with read(self._engine) as conn:
            found = webhooks_db.page_of_deliveries(conn, webhook.id, after=after, limit=limit + 1)
        return page(found, limit, key=lambda delivery: delivery.id)

    def redeliver(self, principal: Principal, id_or_name: str, delivery_id: str) -> Delivery:
        """Send an event once more, as a delivery of its own.

        Raises:
            NoSuchWebhook: no such webhook, or it never had such a delivery.
        """
        webhook = self.get(principal, id_or_name)
        with write(self._engine) as conn:
            earlier = webhooks_db.load_delivery(conn, webhook.id, delivery_id)
            if earlier is None:
                raise NoSuchWebhook(f"`{webhook.name}` has no delivery `{delivery_id}`")
            again = new_delivery(
                webhook, earlier.event_id, earlier.event_type, earlier.payload, self._now_ms()
            )
            webhooks_db.add_deliveries(conn, [again])
        return again


def new_delivery(
    webhook: Webhook, event_id: str, event_type: str, payload: str, now_ms: int
) -> Delivery:
    return Delivery(
        id=str(uuid7()),
        webhook_id=webhook.id,
        event_id=event_id,
        event_type=event_type,
        payload=payload,
        state=DeliveryState.PENDING,
        attempts=0,
        created_at_ms=now_ms,
        not_before_ms=now_ms,
    )


def _names_a_type(pattern: str) -> bool:
    if pattern.endswith("*"):
        return any(type_.startswith(pattern[:-1]) for type_ in EventType)
    return pattern in set(EventType)


def _subject(webhook: Webhook) -> Subject:
    return Subject(SubjectKind.WEBHOOK, webhook.id, webhook.name)
