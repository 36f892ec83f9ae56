"""Group commit: who waits for the same table, or the same writer, is carried by whoever leads.

One writer leads: it takes everybody who has come by then along, does the work for all of them, and
hands the lead to one who came meanwhile.  So many writers of one table cost one write a round, not
one each.  (DeWitt et al., Implementation Techniques for Main Memory Database Systems, 1984.)
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from graticule.domain.errors import Overloaded

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

COMPANIONS_MAX: Final = 64
"""Changes that one write carries: what a leader does for others has an end."""
LEAD_TIMEOUT_S: Final = 60.0
"""How long a writer waits to be carried, or to be given the lead."""


class Place(Generic[Item, Outcome]):
    """One writer's part of a group.  Whoever does the work settles it, one way or the other."""

    __slots__ = ("_error", "_outcome", "_settled", "_uncalled", "item", "leads")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.leads = False
        self._uncalled = threading.Lock()
        self._uncalled.acquire()
        self._settled = False
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None

    @property
    def is_settled(self) -> bool:
        return self._settled

    def settle(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._settled = True

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._settled = True

    def call(self) -> None:
        """Wake the writer, once: it is settled, or has the lead."""
        self._uncalled.release()

    def wait(self, timeout_s: float) -> bool:
        return self._uncalled.acquire(timeout=timeout_s)

    def result(self) -> Outcome:
        if self._error is not None:
            raise self._error
        return self._outcome  # type: ignore[return-value]


Board = Callable[[], Sequence[Place[Item, Outcome]]]
"""Takes along who waits at the moment, the leader first."""


class Groups(Generic[Item, Outcome]):
    """Lines by key, of those who wait in the order in which they came.

    There is a line, be it an empty one, as long as somebody leads.
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[Place[Item, Outcome]]] = {}
        self._guard = threading.Lock()

    def together(
        self, key: str, item: Item, work: Callable[[Board[Item, Outcome]], None]
    ) -> Outcome:
        """The outcome of `item`, from our own `work` or from somebody else's.

        `work` is called by the leader only.  It boards once, as late as it can, and settles
        everybody on board; who is not settled when it raises is told what it raised.

        Raises:
            Overloaded: nobody came to do the work in time; nothing was started.
        """
        place: Place[Item, Outcome] = Place(item)
        with self._guard:
            place.leads = key not in self._lines
            line = self._lines.setdefault(key, [])
            line.append(place)
        if not place.leads:
            self._await(line, place)
        if place.leads:
            self._lead(key, line, place, work)
        return place.result()

    def waiting(self, key: str) -> int:
        """How many are not on board yet, the leader among them."""
        with self._guard:
            return len(self._lines.get(key, ()))

    def _await(self, line: list[Place[Item, Outcome]], place: Place[Item, Outcome]) -> None:
        while not place.wait(LEAD_TIMEOUT_S):
            with self._guard:  # who is on board already is not forgotten by its leader
                if place in line and not place.leads:
                    line.remove(place)
                    raise Overloaded(
                        "too many commits wait for their turn; nothing was changed", retry_after_s=2
                    )

    def _lead(
        self,
        key: str,
        line: list[Place[Item, Outcome]],
        place: Place[Item, Outcome],
        work: Callable[[Board[Item, Outcome]], None],
    ) -> None:
        aboard: list[Place[Item, Outcome]] = []

        try:
            work(partial(self._board, line, place, aboard))
        except BaseException as error:  # noqa: BLE001  each of them raises it in its own thread
            for other in aboard or [place]:
                if not other.is_settled:
                    other.fail(error)
        finally:
            self._pass_on(key, line, place)
            for other in aboard:
                if other is not place:
                    other.call()

    def _board(
        self,
        line: list[Place[Item, Outcome]],
        place: Place[Item, Outcome],
        aboard: list[Place[Item, Outcome]],
    ) -> Sequence[Place[Item, Outcome]]:
        with self._guard:
            line.remove(place)
            aboard.extend([place, *line[: COMPANIONS_MAX - 1]])
            del line[: COMPANIONS_MAX - 1]
        return aboard

    def _pass_on(
        self, key: str, line: list[Place[Item, Outcome]], place: Place[Item, Outcome]
    ) -> None:
        with self._guard:
            if place in line:  # it never boarded
                line.remove(place)
            if line:
                line[0].leads = True
                line[0].call()
            else:
                del self._lines[key]
