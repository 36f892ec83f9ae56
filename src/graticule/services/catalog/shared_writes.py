"""Transactions of several threads in one, where the database has one writer anyway.

SQLite writes one transaction after the other, and makes each of them last.  So whoever comes while
one is under way is carried by the next, with all who came meanwhile: it begins and ends once for
all of them.  On PostgreSQL transactions run beside each other, and everybody has its own.
"""

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, Engine

from graticule.db.engine import is_sqlite, write
from graticule.services.catalog.groups import Board, Groups, Place

Act = Callable[[Connection], None]
"""What is to be written.  May run twice, the first time in a transaction that is rolled back."""

_THE_WRITER: Final = "writer"


class _NotTogether(Exception):
    """Ends a transaction of several of which one failed."""


class SharedWrites:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._groups: Groups[Act, None] = Groups()

    def run(self, act: Act) -> None:
        """Run `act` in a transaction, its own or one that it shares, and return once that landed.

        Who shares one is never told of another's failure: `act` raises only to its own caller, and
        has then written nothing.  What ends the transaction as a whole is raised to all in it.

        Raises:
            SerialisationFailure, Unavailable: nothing was changed; as for `db.engine.write`.
            CommitStateUnknown: the changes of all in it may or may not be there.
        """
        if is_sqlite(self._engine):
            self._groups.together(_THE_WRITER, act, self._carry)
        else:
            with write(self._engine) as conn:
                act(conn)

    def waiting(self) -> int:
        """How many wait for the next transaction, whoever will begin it among them."""
        return self._groups.waiting(_THE_WRITER)

    def _carry(self, board: Board[Act, None]) -> None:
        aboard: Sequence[Place[Act, None]] = ()
        try:
            with write(self._engine) as conn:
                aboard = board()  # nobody has to wait any more
                self._together(conn, aboard)
        except _NotTogether:
            for place in aboard:
                self._alone(place)
        for place in aboard:
            if not place.is_settled:
                place.settle(None)

    @staticmethod
    def _together(conn: Connection, aboard: Sequence[Place[Act, None]]) -> None:
        try:
            for place in aboard:
                place.item(conn)
        except Exception as error:
            if len(aboard) == 1:
                raise
            raise _NotTogether from error

    def _alone(self, place: Place[Act, None]) -> None:
        try:
            with write(self._engine) as conn:
                place.item(conn)
        except Exception as error:  # noqa: BLE001  its own, raised in its own thread
            place.fail(error)
        else:
            place.settle(None)
