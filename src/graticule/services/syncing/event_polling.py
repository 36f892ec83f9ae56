"""Reads the queues of events: each by one thread of one process at a time, and for ever.

A message is deleted when the database knows which objects it was about, and not before; so whoever
dies in between leaves it to be read again, and what is known twice is looked at once.
"""

import json
import os
import platform
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.db import event_queues as event_queues_db
from graticule.db.engine import read, transact
from graticule.discovery.object_events import ObjectEvent, object_events
from graticule.domain.errors import CatalogError, InvalidRequest, NoSuchCatalog
from graticule.domain.event_queue import EventQueue, QueueFacts
from graticule.services.expiring_cache import ExpiringCache
from graticule.services.integrations.credentials import Credentials
from graticule.services.syncing.event_queues import address_of
from graticule.services.syncing.sync_schedule import SyncSchedule
from graticule.storage.message_queue import WAIT_S_MAX, Message, MessageQueue

log = structlog.get_logger(__name__)

THREADS_MAX: Final = 8
"""Queues that one process reads at once; more take turns."""
PAUSE_S: Final = 1.0
LEASE_S: Final = 60.0
"""More than a request to the token service and to the queue take, each; prolonged with each."""
BATCHES_MAX: Final = 100
"""One after the other from a queue that is full, before others have their turn."""
VISIBILITY_S_MIN: Final = 10
"""Queues that show messages again sooner are asked to hide them so long: what cannot be read
would come back at once."""
UNREADABLE_PAUSE_MS: Final = 10_000
"""After a batch of nothing that could be read."""
RETRY_MS: Final = 5_000
"""After a failure; doubles with each."""
RETRY_MS_MAX: Final = 600_000
FACTS_MS: Final = 60_000
FACTS_QUEUES_MAX: Final = 256
CLOSE_TIMEOUT_S: Final = 2.0
_DOUBLINGS_MAX: Final = 8


@dataclass(slots=True)
class _Batch:
    """What a few messages said."""

    understood: list[Message] = field(default_factory=list)
    events: list[ObjectEvent] = field(default_factory=list)
    unreadable: int = 0
    error: str | None = None


class EventPolling:
    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        schedule: SyncSchedule,
        *,
        now_ms: Callable[[], int],
        wake: Callable[[], None],
        wait_s: int = WAIT_S_MAX,
        lease_s: float = LEASE_S,
    ) -> None:
        """`wake` is told that a sync was ordered."""
        self._engine = engine
        self._credentials = credentials
        self._schedule = schedule
        self._now_ms = now_ms
        self._wake = wake
        self._wait_s = wait_s
        self._lease_s = lease_s
        self._owner = f"{platform.node()[:64]}:{os.getpid()}:{secrets.token_hex(8)}"
        self._slots = threading.BoundedSemaphore(THREADS_MAX)
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._guard = threading.Lock()
        self._reading: dict[EventQueue, threading.Thread] = {}
        self._dispatcher: threading.Thread | None = None
        self._facts: ExpiringCache[tuple[str, str], QueueFacts] = ExpiringCache(
            lifetime_ms=FACTS_MS, entries_max=FACTS_QUEUES_MAX, now_ms=now_ms
        )

    def start(self) -> None:
        """Begin to read whatever queue is nobody's."""
        self._dispatcher = threading.Thread(target=self._dispatch, name="queues", daemon=True)
        self._dispatcher.start()

    def close(self) -> None:
        """Read no more.  What a request that is under way brings is left for the next reader."""
        self._stopping.set()
        self._due.set()
        if self._dispatcher is None:
            return
        self._dispatcher.join()
        with self._guard:
            reading = dict(self._reading)
        for queue, thread in reading.items():
            thread.join(CLOSE_TIMEOUT_S / len(reading))
            if thread.is_alive():
                self._let_go(queue, after_ms=0)

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._due.clear()
            try:
                self._begin_due()
            except CatalogError as error:
                log.warning("queues cannot be looked for", reason=error.message)
            except Exception:
                log.exception("queues cannot be looked for")
            self._due.wait(PAUSE_S)

    def _begin_due(self) -> None:
        with read(self._engine) as conn:
            due = event_queues_db.due(conn, now_ms=self._now_ms(), limit=THREADS_MAX)
        for queue in due:
            if self._stopping.is_set() or not self._slots.acquire(blocking=False):
                return
            try:
                is_ours = self._claim(queue)
            except BaseException:
                self._slots.release()
                raise
            if not is_ours:
                self._slots.release()
                continue
            thread = threading.Thread(target=self._read, args=(queue,), name="queue", daemon=True)
            with self._guard:
                self._reading[queue] = thread
            thread.start()

    def _claim(self, queue: EventQueue) -> bool:
        return transact(
            self._engine,
            event_queues_db.claim,
            queue,
            self._owner,
            now_ms=self._now_ms(),
            lease_s=self._lease_s,
        )

    # In a thread of each queue

    def _read(self, queue: EventQueue) -> None:
        try:
            after_ms = self._read_on(queue)
        except CatalogError as error:
            after_ms = self._failed(queue, error.message)
        except Exception:
            log.exception("queue not read", url=queue.url)
            after_ms = self._failed(queue, "the log of the server has the reason")
        finally:
            with self._guard:
                self._reading.pop(queue, None)
            self._slots.release()
        if not self._stopping.is_set():
            self._let_go(queue, after_ms=after_ms)
        self._due.set()

    def _read_on(self, queue: EventQueue) -> int:
        """Read until there is nothing left; returns for how long to leave the queue alone."""
        for _ in range(BATCHES_MAX):
            with read(self._engine) as conn:
                catalog_ids = event_queues_db.readers(conn, queue)
                kms_key_arn = event_queues_db.key_of(conn, queue)
            if not catalog_ids or not self._prolong(queue):
                return 0
            integration = self._schedule.opened(catalog_ids[0]).integration
            address = address_of(integration, queue.url)
            waiting = self._credentials.queue_for(
                integration, address, kms_key_arn=kms_key_arn, wait_s=self._wait_s
            )
            facts = self._facts_of(queue, waiting)
            if not self._prolong(queue):
                return 0
            is_hasty = facts.visibility_s < VISIBILITY_S_MIN
            messages = waiting.receive(visibility_s=VISIBILITY_S_MIN if is_hasty else None)
            if self._stopping.is_set():
                return 0
            if messages and not self._prolong(queue):
                return 0  # they are shown again to whoever has taken over
            batch = _understood(messages)
            self._take_in(queue, batch.events)
            waiting.delete(batch.understood)
            self._tell(queue, facts, batch)
            if not batch.understood:
                return UNREADABLE_PAUSE_MS if messages else 0
        return 0

    def _facts_of(self, queue: EventQueue, waiting: MessageQueue) -> QueueFacts:
        key = (queue.integration_id, queue.url)
        known = self._facts.get(key)
        if known is None:
            known = waiting.facts()
            self._facts.put(key, known)
        return known

    def _take_in(self, queue: EventQueue, events: list[ObjectEvent]) -> None:
        """Have everybody know who reads the queue; those who came to it just now as well."""
        if not events:
            return
        with read(self._engine) as conn:
            catalog_ids = event_queues_db.readers(conn, queue)
        taken = 0
        for catalog_id in catalog_ids:
            try:
                taken += self._schedule.take_in(self._schedule.opened(catalog_id), events)
            except NoSuchCatalog:
                continue
        if taken:
            self._wake()

    def _tell(self, queue: EventQueue, facts: QueueFacts, batch: _Batch) -> None:
        transact(
            self._engine,
            event_queues_db.tell_answered,
            queue,
            facts,
            now_ms=self._now_ms(),
            received=len(batch.understood) + batch.unreadable,
            unreadable=batch.unreadable,
            unreadable_error=batch.error,
        )

    def _failed(self, queue: EventQueue, reason: str) -> int:
        """Write down why; returns for how long to leave the queue alone."""
        log.warning("queue not read", url=queue.url, reason=reason)
        self._facts.clear()

        def tell(conn: Connection) -> int:
            event_queues_db.tell_failed(conn, queue, reason)
            told = event_queues_db.load(conn, queue.catalog_id)
            return 1 if told is None else told.failures

        try:
            failures = transact(self._engine, tell)
        except CatalogError:
            failures = 1  # the database is away
        return min(RETRY_MS_MAX, RETRY_MS << min(failures - 1, _DOUBLINGS_MAX))

    def _prolong(self, queue: EventQueue) -> bool:
        return transact(
            self._engine,
            event_queues_db.prolong,
            queue,
            self._owner,
            now_ms=self._now_ms(),
            lease_s=self._lease_s,
        )

    def _let_go(self, queue: EventQueue, *, after_ms: int) -> None:
        try:
            transact(
                self._engine,
                event_queues_db.release,
                queue,
                self._owner,
                next_poll_ms=self._now_ms() + after_ms,
            )
        except CatalogError as error:
            log.warning("queue not let go", url=queue.url, reason=error.message)


def _understood(messages: list[Message]) -> _Batch:
    """Tell the messages that are about objects from those that nobody can read."""
    batch = _Batch()
    for message in messages:
        try:
            batch.events += _events_of(message.body)
        except InvalidRequest as error:
            batch.unreadable += 1
            batch.error = error.message
        else:
            batch.understood.append(message)
    return batch


def _events_of(text: str) -> list[ObjectEvent]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the message is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidRequest("the message is not an object of JSON")
    return object_events(body)
