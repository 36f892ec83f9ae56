"""Sessions of browsers: begun by whoever signed in, listed and ended by their member.

A token leaves this module once, when its session begins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access import tokens
from graticule.access.policy import Action, require
from graticule.db import sessions as sessions_db
from graticule.db.engine import read, transact, write
from graticule.domain.audit import EventType
from graticule.domain.errors import NoSuchSession
from graticule.domain.secret import Secret
from graticule.domain.tenancy import NOWHERE, Member, Origin, Principal, Session
from graticule.services.accounts.account_events import as_member, tell_of_session
from graticule.services.accounts.authentication import SESSION_PREFIX, Authentication

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session at the one moment when its token is known."""

    session: Session
    member: Member
    token: Secret


class BrowserSessions:
    def __init__(
        self,
        engine: Engine,
        authentication: Authentication,
        *,
        now_ms: Callable[[], int],
        idle_s: int,
        lifetime_s: int,
    ) -> None:
        self._engine = engine
        self._authentication = authentication
        self._now_ms = now_ms
        self._idle_ms = idle_s * 1000
        self._lifetime_ms = lifetime_s * 1000

    def begin(self, member: Member, *, method: str, origin: Origin = NOWHERE) -> NewSession:
        """Sign a member in.  How it proved itself was checked before."""
        now_ms = self._now_ms()
        token = tokens.new_secret(SESSION_PREFIX)
        session = Session(
            str(uuid7()), member.id, method, now_ms, now_ms, now_ms + self._lifetime_ms
        )

        def create(conn: Connection) -> None:
            sessions_db.create(conn, session, token_hash=tokens.hash_secret(token.reveal()))
            who = as_member(member, credential_id=session.id, origin=origin)
            tell_of_session(conn, who, EventType.SESSION_STARTED, session, now_ms=now_ms)

        transact(self._engine, create)
        log.info("signed in", member_id=member.id, method=method, session_id=session.id)
        return NewSession(session, member, token)

    def list(self, principal: Principal) -> Sequence[Session]:
        """The caller's own."""
        require(principal, Action.MANAGE_OWN_ACCOUNT)
        now_ms = self._now_ms()
        with read(self._engine) as conn:
            found = sessions_db.of_member(conn, principal.member_id, now_ms=now_ms)
        return [one for one in found if one.last_seen_at_ms > now_ms - self._idle_ms]

    def end(self, principal: Principal, session_id: str) -> None:
        """Sign out one of the caller's own sessions.

        Raises:
            NoSuchSession: the caller has no such session.
        """
        require(principal, Action.MANAGE_OWN_ACCOUNT)

        def end(conn: Connection) -> bool:
            ended = sessions_db.end(conn, principal.member_id, session_id)
            if ended is not None:
                tell_of_session(
                    conn, principal, EventType.SESSION_ENDED, ended, now_ms=self._now_ms()
                )
            return ended is not None

        ended = transact(self._engine, end)
        self._authentication.forget()
        if not ended:
            raise NoSuchSession(f"you have no session `{session_id}`")
        log.info("signed out", session_id=session_id)

    def remove_over(self) -> None:
        now_ms = self._now_ms()
        with write(self._engine) as conn:
            sessions_db.remove_over(conn, now_ms=now_ms, idle_since_ms=now_ms - self._idle_ms)
