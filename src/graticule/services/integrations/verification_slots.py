"""How many verifications may run, and how many requests may wait for one, at once in a process.

A store that stalls keeps its slot for a minute.  So no organisation gets all of them, and waiting
for results never takes all the threads of other requests.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from graticule.domain.errors import Overloaded

RUNNING_MAX: Final = 32
"""Most of the time they wait."""
RUNNING_PER_ORGANISATION_MAX: Final = 8
SCHEDULED_AT_ONCE_MAX: Final = 4
WAITING_MAX: Final = 4
RETRY_AFTER_S: Final = 10


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one verification, until it is released."""

    slots: "VerificationSlots"
    organisation_id: str
    is_scheduled: bool

    def release(self) -> None:
        self.slots.give_back(self)


class VerificationSlots:
    def __init__(self) -> None:
        self._waiting = threading.BoundedSemaphore(WAITING_MAX)
        self._guard = threading.Lock()
        self._running: Counter[str] = Counter()
        self._scheduled = 0

    def take(self, organisation_id: str, *, is_scheduled: bool) -> Slot:
        """Room for one more.

        Raises:
            Overloaded: there is none, for this organisation or at all.
        """
        with self._guard:
            if (
                self._running[organisation_id] >= RUNNING_PER_ORGANISATION_MAX
                or self._running.total() >= RUNNING_MAX
            ):
                raise too_many()
            self._running[organisation_id] += 1
            self._scheduled += is_scheduled
        return Slot(self, organisation_id, is_scheduled)

    def give_back(self, slot: Slot) -> None:
        with self._guard:
            self._running[slot.organisation_id] -= 1
            if not self._running[slot.organisation_id]:
                del self._running[slot.organisation_id]
            self._scheduled -= slot.is_scheduled

    def has_room_for_scheduled(self) -> bool:
        with self._guard:
            return self._scheduled < SCHEDULED_AT_ONCE_MAX

    @contextmanager
    def waiting(self) -> Iterator[bool]:
        """True for whoever may wait inside; false when enough do."""
        may_wait = self._waiting.acquire(blocking=False)
        try:
            yield may_wait
        finally:
            if may_wait:
                self._waiting.release()


def too_many() -> Overloaded:
    return Overloaded("too many verifications at once", retry_after_s=RETRY_AFTER_S)
