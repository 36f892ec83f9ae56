"""Which queue tells a catalog of changed objects, and what its owner has to permit.

`event_polling` reads the queues.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from graticule.access.policy import Action, require
from graticule.db import event_queues as event_queues_db
from graticule.db.engine import read, transact
from graticule.discovery.queue_address import QueueAddress, check_queue_key, parse_queue
from graticule.domain.catalog import OpenCatalog, StorageIntegration
from graticule.domain.errors import InvalidRequest
from graticule.domain.event_queue import EventQueue
from graticule.domain.tenancy import Principal
from graticule.services.syncing.settings_events import tell_of_settings
from graticule.storage.iam_policy import partition_of
from graticule.storage.queue_policy import (
    key_statements,
    queue_policy,
    queue_reader_statements,
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A catalog's queue, and the documents that make it work."""

    queue: EventQueue
    arn: str | None
    """None if the integration has moved elsewhere since, as are the documents."""
    role_statements: list[Json] | None
    """To add to the policy of the integration's role or user."""
    queue_policy: Json | None
    """To attach to the queue."""
    key_statements: list[Json] | None
    """To add to the policy of the queue's KMS key; None if it has none."""


class EventQueues:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def get(self, principal: Principal, catalog: OpenCatalog) -> QueueSettings | None:
        """The catalog's queue with what came of reading it; None if it has none."""
        require(principal, Action.SCAN_CATALOG)
        with read(self._engine) as conn:
            queue = event_queues_db.load(conn, catalog.catalog.id)
        return None if queue is None else _settings(catalog.integration, queue)

    def put(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        queue: str,
        *,
        kms_key_arn: str | None = None,
    ) -> QueueSettings:
        """Read a queue, by URL or ARN, in place of the one before.

        Whether it can be read shows when it is: rights may come later.  Without a key, the one that
        is known of the queue stays.

        Raises:
            InvalidRequest: it is not a queue where the integration's bucket is, nobody could open
                it, or the key is none that SQS could have encrypted it with.
        """
        require(principal, Action.SCAN_CATALOG)
        integration = catalog.integration
        if integration.is_anonymous:
            raise InvalidRequest(
                f"storage integration `{integration.name}` has no identity that could open a "
                "queue; use a role or access keys, or have the store call the webhook"
            )
        address = address_of(integration, queue)
        url = address.url
        if kms_key_arn is not None:
            check_queue_key(kms_key_arn, address)

        def put(conn: Connection) -> EventQueue:
            kept = event_queues_db.keep(
                conn,
                catalog.catalog.id,
                integration_id=integration.id,
                url=url,
                kms_key_arn=kms_key_arn,
                now_ms=self._now_ms(),
            )
            tell_of_settings(
                conn,
                principal,
                catalog,
                now_ms=self._now_ms(),
                queue=url,
                queue_kms_key_arn=kept.kms_key_arn,
            )
            return kept

        return _settings(integration, transact(self._engine, put))

    def remove(self, principal: Principal, catalog: OpenCatalog) -> None:
        """Read the catalog's queue no more; what is in it stays there."""
        require(principal, Action.SCAN_CATALOG)

        def remove(conn: Connection) -> None:
            if not event_queues_db.remove(conn, catalog.catalog.id):
                return
            tell_of_settings(conn, principal, catalog, now_ms=self._now_ms(), queue=None)

        transact(self._engine, remove)


def address_of(integration: StorageIntegration, queue: str) -> QueueAddress:
    """Where a queue is, which must be where the integration is.

    Raises:
        InvalidRequest: it is not, or is no queue.
    """
    return parse_queue(
        queue,
        partition=partition_of(role_arn=integration.role_arn, region=integration.region),
        region=integration.region,
        endpoint=integration.endpoint,
    )


def _settings(integration: StorageIntegration, queue: EventQueue) -> QueueSettings:
    try:
        address = address_of(integration, queue.url)
    except InvalidRequest:  # which is what reading it says as well
        return QueueSettings(queue, None, None, None, None)
    bucket = integration.location.bucket
    return QueueSettings(
        queue=queue,
        arn=address.arn,
        role_statements=queue_reader_statements(address, queue.kms_key_arn),
        queue_policy=queue_policy(address, bucket, role_arn=integration.role_arn),
        key_statements=None
        if queue.kms_key_arn is None
        else key_statements(address, queue.kms_key_arn, role_arn=integration.role_arn),
    )
