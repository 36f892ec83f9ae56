"""Passwords of users: signing in with one, changing it, and the one-time links to choose one.

No answer tells whether a name exists: an unknown one costs the same work and is throttled alike.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.access import tokens
from graticule.access.passwords import PasswordHashing, check_password
from graticule.access.policy import Action, require
from graticule.db import members as members_db
from graticule.db import organisations as organisations_db
from graticule.db import passwords as passwords_db
from graticule.db import sessions as sessions_db
from graticule.db.engine import read, transact, write
from graticule.domain.audit import EventType, Outcome, Subject, SubjectKind
from graticule.domain.errors import (
    Forbidden,
    NoSuchLink,
    Overloaded,
    Unauthenticated,
    WrongState,
)
from graticule.domain.secret import Secret
from graticule.domain.tenancy import (
    NOWHERE,
    CredentialKind,
    Member,
    MemberKind,
    Organisation,
    Origin,
    Principal,
    Role,
)
from graticule.services.accounts.account_events import as_member, operator_in, tell_of_member
from graticule.services.accounts.authentication import Authentication
from graticule.services.accounts.organisations import DEFAULT_ORGANISATION
from graticule.services.accounts.throttle import Throttle, account_of
from graticule.services.events.audit import Audit

log = structlog.get_logger(__name__)

LINK_LIFETIME_S: Final = 24 * 3600
LINK_PREFIX: Final = "glink_"
HASHES_AT_ONCE_MAX: Final = 2
"""Each takes 64 MiB and a core for a tenth of a second."""
HASH_WAIT_S: Final = 5
NAME_SHOWN_CHARACTERS_MAX: Final = 128
"""Of a name that was tried, in the audit log."""

_WRONG: Final = "the name or the password is wrong"


@dataclass(frozen=True, slots=True)
class PasswordLink:
    """A one-time link at the one moment when its token is known."""

    token: Secret
    member: Member
    expires_at_ms: int


class Passwords:
    def __init__(
        self,
        engine: Engine,
        authentication: Authentication,
        throttle: Throttle,
        audit: Audit,
        *,
        now_ms: Callable[[], int],
        hashing: PasswordHashing | None = None,
    ) -> None:
        self._engine = engine
        self._authentication = authentication
        self._throttle = throttle
        self._audit = audit
        self._now_ms = now_ms
        self._hashing = hashing or PasswordHashing()
        self._turns = threading.BoundedSemaphore(HASHES_AT_ONCE_MAX)

    # Signing in

    def verify(
        self, name: str, password: Secret, *, organisation: str | None = None, origin: Origin
    ) -> Member:
        """The member of this name and password.

        Without an organisation: the one called `default`, or the only one there is.

        Raises:
            TooManyAttempts: the account or the address has to wait.
            Unauthenticated: anything is wrong; never says what.
        """
        with read(self._engine) as conn:
            found = _organisation(conn, organisation)
        account = account_of(found.id if found else organisation or "", name)
        self._throttle.begin(account=account, address=origin.address)
        with read(self._engine) as conn:
            stored = passwords_db.load(conn, found.id if found else "", name)
        with self._turn():
            matches = self._hashing.matches(password, stored.password_hash if stored else None)
        if stored is None or not matches or not _may_sign_in(stored.member):
            log.info("sign-in refused", address=origin.address)
            if found is not None:
                self._note_refusal(found, name, origin)
            raise Unauthenticated(_WRONG)
        self._throttle.succeeded(account=account, address=origin.address)
        if self._hashing.is_outdated(stored.password_hash):
            self._store(stored.member, password)
        return stored.member

    def _note_refusal(self, organisation: Organisation, name: str, origin: Origin) -> None:
        """For admins, who see the names that were tried; the answer tells nobody."""
        shown = name[:NAME_SHOWN_CHARACTERS_MAX]
        nobody = replace(operator_in(organisation.id), name=shown, role=Role.USER, origin=origin)
        subject = Subject(SubjectKind.SESSION, shown, "password")
        self._audit.note(nobody, EventType.SIGN_IN_DENIED, subject, outcome=Outcome.DENIED)

    # Changing it

    def change(self, principal: Principal, current: Secret, new: Secret) -> None:
        """Change the caller's own password; its other sessions end.

        Raises:
            Forbidden: the current password is wrong, or the caller has none.
            InvalidRequest: the new one breaks the rules.
            TooManyAttempts: too many wrong ones before.
        """
        require(principal, Action.MANAGE_OWN_ACCOUNT)
        check_password(new, name=principal.name)
        account = account_of(principal.organisation_id, principal.name)
        self._throttle.begin(account=account, address=principal.origin.address)
        with read(self._engine) as conn:
            stored = passwords_db.load(conn, principal.organisation_id, principal.name)
        with self._turn():
            matches = self._hashing.matches(current, stored.password_hash if stored else None)
        if stored is None or not matches:
            raise Forbidden("your current password is another one")
        self._throttle.succeeded(account=account, address=principal.origin.address)
        is_session = principal.credential is CredentialKind.SESSION
        self._store(
            stored.member,
            new,
            changed_by=principal,
            ending_sessions_but=principal.key_id if is_session else "",
        )
        log.info("password changed", member_id=principal.member_id)

    # Links

    def create_link(self, principal: Principal, member: str) -> PasswordLink:
        """A link with which a user chooses a password: for a new one, or one that forgot it.

        Raises:
            NoSuchMember: no such member.
            WrongState: a service account, or a disabled user.
        """
        require(principal, Action.MANAGE_MEMBERS)
        return self._create_link(
            lambda conn: (members_db.require(conn, principal.organisation_id, member), principal)
        )

    def create_link_for(self, organisation: str, member: str) -> PasswordLink:
        """As `create_link`, for the operator, who holds the database.

        Raises:
            NoSuchOrganisation: no such organisation.
        """

        def find(conn: Connection) -> tuple[Member, Principal]:
            found = organisations_db.require_by_name(conn, organisation)
            return members_db.require(conn, found.id, member), operator_in(found.id)

        return self._create_link(find)

    def _create_link(self, find: Callable[[Connection], tuple[Member, Principal]]) -> PasswordLink:
        link = transact(self._engine, self._store_link, find)
        log.info("password link created", member_id=link.member.id)
        return link

    def _store_link(
        self, conn: Connection, find: Callable[[Connection], tuple[Member, Principal]]
    ) -> PasswordLink:
        member, principal = find(conn)
        if member.kind is not MemberKind.USER:
            raise WrongState(f"`{member.name}` is a service account; give it an API key")
        if member.disabled_at_ms is not None:
            raise WrongState(f"member `{member.name}` is disabled; enable it first")
        token = tokens.new_secret(LINK_PREFIX)
        now_ms = self._now_ms()
        expires_at_ms = now_ms + LINK_LIFETIME_S * 1000
        passwords_db.create_link(
            conn,
            tokens.hash_secret(token.reveal()),
            member.id,
            now_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
        tell_of_member(
            conn, principal, EventType.MEMBER_UPDATED, member, now_ms=now_ms, password_link=True
        )
        return PasswordLink(token, member, expires_at_ms)

    def member_of_link(self, token: str) -> Member:
        """Whose password a link sets.

        Raises:
            NoSuchLink: unknown, used, or too old.
        """
        with read(self._engine) as conn:
            return self._of_link(conn, token)

    def use_link(self, token: str, password: Secret, *, origin: Origin = NOWHERE) -> Member:
        """Set the password of the link's member; all its sessions end, and the link with them.

        Raises:
            InvalidRequest: the password breaks the rules; the link still works.
            NoSuchLink: unknown, used, or too old.
        """
        member = self.member_of_link(token)
        check_password(password, name=member.name)
        with self._turn():
            password_hash = self._hashing.hash(password)

        def use(conn: Connection) -> Member:
            found = self._of_link(conn, token)
            if not passwords_db.use_link(conn, tokens.hash_secret(token)):
                raise NoSuchLink(_NO_LINK)
            passwords_db.store(conn, found.id, password_hash, now_ms=self._now_ms())
            sessions_db.end_all(conn, found.id)
            tell_of_member(
                conn,
                as_member(found, origin=origin),
                EventType.PASSWORD_CHANGED,
                found,
                now_ms=self._now_ms(),
                password_link=True,
            )
            return found

        member = transact(self._engine, use)
        self._authentication.forget()
        self._throttle.forgive(account_of(member.organisation_id, member.name))
        log.info("password set by link", member_id=member.id)
        return member

    def checked_hash(self, password: Secret, *, name: str) -> str:
        """The hash of a password for a member that is about to be made.

        Raises:
            InvalidRequest: the password breaks the rules.
        """
        check_password(password, name=name)
        with self._turn():
            return self._hashing.hash(password)

    def remove_expired(self) -> None:
        with write(self._engine) as conn:
            passwords_db.remove_expired_links(conn, now_ms=self._now_ms())

    def _of_link(self, conn: Connection, token: str) -> Member:
        found = passwords_db.member_of_link(conn, tokens.hash_secret(token), now_ms=self._now_ms())
        if found is None or not _may_sign_in(found):
            raise NoSuchLink(_NO_LINK)
        return found

    def _store(
        self,
        member: Member,
        password: Secret,
        *,
        changed_by: Principal | None = None,
        ending_sessions_but: str = "",
    ) -> None:
        """Write a password down; when it is another one, its other sessions end."""
        with self._turn():
            password_hash = self._hashing.hash(password)

        def store(conn: Connection) -> None:
            if members_db.load(conn, member.organisation_id, member.id) is None:
                raise Unauthenticated(_WRONG)  # deleted meanwhile
            passwords_db.store(conn, member.id, password_hash, now_ms=self._now_ms())
            if changed_by is not None:
                sessions_db.end_all(conn, member.id, but=ending_sessions_but)
                tell_of_member(
                    conn,
                    changed_by,
                    EventType.PASSWORD_CHANGED,
                    member,
                    now_ms=self._now_ms(),
                )

        transact(self._engine, store)
        self._authentication.forget()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=HASH_WAIT_S):
            raise Overloaded("too many people are signing in; try again", retry_after_s=1)
        try:
            yield
        finally:
            self._turns.release()


_NO_LINK: Final = "this link is unknown, was used, or is too old; ask an admin for another one"


def _may_sign_in(member: Member) -> bool:
    return member.kind is MemberKind.USER and member.disabled_at_ms is None


def _organisation(conn: Connection, name: str | None) -> Organisation | None:
    if name is not None:
        return organisations_db.load_by_name(conn, name)
    return organisations_db.load_by_name(conn, DEFAULT_ORGANISATION) or organisations_db.load_only(
        conn
    )
