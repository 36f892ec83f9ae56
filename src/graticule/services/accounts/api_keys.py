"""API keys, which are personal access tokens too: made, listed, revoked.

A secret leaves this module once, when it is made.  Members see to their own keys, admins to all.
"""

from collections.abc import Callable, Iterable
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.access import tokens
from graticule.access.policy import Action, Allowed, decide, require
from graticule.access.tokens import NewKey
from graticule.db import api_keys as api_keys_db
from graticule.db import members as members_db
from graticule.db.engine import read, transact
from graticule.domain.audit import EventType
from graticule.domain.errors import (
    Forbidden,
    InvalidRequest,
    NoSuchApiKey,
    WrongState,
)
from graticule.domain.identifiers import check_resource_name
from graticule.domain.tenancy import ApiKey, Member, Principal, Scope
from graticule.services.accounts.account_events import tell_of_key
from graticule.services.accounts.authentication import Authentication
from graticule.services.accounts.members import MYSELF
from graticule.services.pages import Page, page

log = structlog.get_logger(__name__)

KEY_LIFETIME_S_MAX: Final = 10 * 366 * 86_400


class ApiKeys:
    def __init__(
        self, engine: Engine, authentication: Authentication, *, now_ms: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._authentication = authentication
        self._now_ms = now_ms

    def create(
        self,
        principal: Principal,
        *,
        name: str,
        member: str | None = None,
        scopes: Iterable[Scope] | None = None,
        lifetime_s: int | None = None,
    ) -> tuple[ApiKey, NewKey]:
        """Make a key for a member (by id or name; the caller by default).

        Raises:
            Forbidden: another member's key, by no admin; or scopes that the caller lacks.
            NoSuchMember: no such member.
            WrongState: the member is disabled.
        """
        require(principal, Action.MANAGE_OWN_ACCOUNT)
        check_resource_name(name, of="API key")
        wanted = frozenset(principal.scopes if scopes is None else scopes)
        if not wanted:
            raise InvalidRequest("an API key needs at least one scope: read, write or manage")
        if wanted - principal.scopes:
            # Otherwise a key that only manages could make itself one that reads everything.
            missing = ", ".join(sorted(wanted - principal.scopes))
            raise Forbidden(f"your credential lacks the scope {missing}, so it cannot grant it")
        if lifetime_s is not None and not 0 < lifetime_s <= KEY_LIFETIME_S_MAX:
            raise InvalidRequest(
                f"the lifetime of an API key is between 1 and {KEY_LIFETIME_S_MAX} seconds"
            )
        new = tokens.new_key()

        def create(conn: Connection) -> ApiKey:
            owner = self._member(conn, principal, member)
            if owner.disabled_at_ms is not None:
                raise WrongState(f"member `{owner.name}` is disabled; enable it first")
            return store_key(
                conn,
                principal,
                new,
                owner,
                name=name,
                scopes=wanted,
                now_ms=self._now_ms(),
                lifetime_s=lifetime_s,
            )

        key = transact(self._engine, create)
        log.info("API key created", key_id=key.id, member_id=key.member_id)
        return key, new

    def list(
        self,
        principal: Principal,
        *,
        member: str | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page:
        """One member's keys; by default all of the organisation for an admin, else the caller's.

        Raises:
            Forbidden: another member's keys, by no admin.
            NoSuchMember: no such member.
        """
        require(principal, Action.MANAGE_OWN_ACCOUNT)
        with read(self._engine) as conn:
            if member is None and _sees_all(principal):
                member_id = None
            else:
                member_id = self._member(conn, principal, member).id
            found = api_keys_db.page(
                conn, principal.organisation_id, member_id=member_id, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda key: key.id)

    def get(self, principal: Principal, key_id: str) -> ApiKey:
        """A key, also one that was revoked.

        Raises:
            NoSuchApiKey: no such key that the caller may see.
        """
        require(principal, Action.MANAGE_OWN_ACCOUNT)
        with read(self._engine) as conn:
            found = api_keys_db.load(conn, principal.organisation_id, key_id)
        is_own = found is not None and found.member_id == principal.member_id
        if found is None or not (is_own or _sees_all(principal)):
            raise NoSuchApiKey(f"no API key is called `{key_id}`")
        return found

    def revoke(self, principal: Principal, key_id: str) -> None:
        """End a key, and every access token made with it.

        Raises:
            NoSuchApiKey: no such key that the caller may see, or it was revoked before.
        """
        require(principal, Action.MANAGE_OWN_ACCOUNT)
        member_id = None if _sees_all(principal) else principal.member_id

        def revoke(conn: Connection) -> bool:
            now_ms = self._now_ms()
            revoked = api_keys_db.revoke(
                conn, principal.organisation_id, key_id, member_id=member_id, now_ms=now_ms
            )
            if revoked is not None:
                tell_of_key(conn, principal, EventType.API_KEY_REVOKED, revoked, now_ms=now_ms)
            return revoked is not None

        revoked = transact(self._engine, revoke)
        self._authentication.forget()
        if not revoked:
            raise NoSuchApiKey(f"no API key `{key_id}` is in use")
        log.info("API key revoked", key_id=key_id)

    @staticmethod
    def _member(conn: Connection, principal: Principal, member: str | None) -> Member:
        """The member whose keys are meant: the caller itself, or anybody for an admin."""
        is_own = member in {None, MYSELF, principal.member_id, principal.name}
        if not is_own:
            require(principal, Action.MANAGE_KEYS)
        wanted = principal.member_id if is_own or member is None else member
        return members_db.require(conn, principal.organisation_id, wanted)


def store_key(
    conn: Connection,
    principal: Principal,
    new: NewKey,
    member: Member,
    *,
    name: str,
    scopes: frozenset[Scope],
    now_ms: int,
    lifetime_s: int | None = None,
) -> ApiKey:
    """Write a key down as a hash.  That `principal` may make it was decided before."""
    key = ApiKey(
        id=new.client_id,
        organisation_id=member.organisation_id,
        member_id=member.id,
        name=name,
        scopes=scopes,
        created_at_ms=now_ms,
        expires_at_ms=None if lifetime_s is None else now_ms + lifetime_s * 1000,
        revoked_at_ms=None,
    )
    api_keys_db.create(conn, key, secret_hash=tokens.hash_secret(new.client_secret.reveal()))
    tell_of_key(conn, principal, EventType.API_KEY_CREATED, key, now_ms=now_ms)
    return key


def _sees_all(principal: Principal) -> bool:
    return isinstance(decide(principal, Action.MANAGE_KEYS), Allowed)
