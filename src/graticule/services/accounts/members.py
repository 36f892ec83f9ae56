"""Members of an organisation: users and service accounts, from creation to deletion.

Transactions and authorisation live here; what makes them sign in does not.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import grants as grants_db
from graticule.db import issuers as issuers_db
from graticule.db import members as members_db
from graticule.db.engine import read, serialise_on, transact
from graticule.domain.audit import EventType
from graticule.domain.errors import InvalidName, LastAdmin
from graticule.domain.identifiers import check_resource_name
from graticule.domain.tenancy import Member, MemberKind, Principal, Role
from graticule.services.accounts.account_events import tell_of_member
from graticule.services.accounts.authentication import Authentication
from graticule.services.pages import Page, page

log = structlog.get_logger(__name__)

MYSELF: Final = "me"
"""Stands for the caller where a member is named."""


class Members:
    def __init__(
        self, engine: Engine, authentication: Authentication, *, now_ms: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._authentication = authentication
        self._now_ms = now_ms

    def create(self, principal: Principal, *, name: str, kind: MemberKind, role: Role) -> Member:
        """Add a member.  It has no credential yet.

        Raises:
            AlreadyExists: the organisation has one of that name.
            InvalidName: the name breaks the naming rules.
        """
        require(principal, Action.MANAGE_MEMBERS)
        _check_name(name)
        member = Member(str(uuid7()), principal.organisation_id, kind, name, role, self._now_ms())

        def create(conn: Connection) -> None:
            members_db.create(conn, member)
            tell_of_member(
                conn,
                principal,
                EventType.MEMBER_CREATED,
                member,
                now_ms=self._now_ms(),
                kind=member.kind,
                role=member.role,
            )

        transact(self._engine, create)
        log.info("member created", member_id=member.id, role=role)
        return member

    def list(
        self,
        principal: Principal,
        *,
        kind: MemberKind | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page:
        require(principal, Action.MANAGE_MEMBERS)
        with read(self._engine) as conn:
            found = members_db.page(
                conn, principal.organisation_id, kind=kind, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda member: member.id)

    def show(self, principal: Principal, member: str) -> Member:
        """A member by id or name.

        Raises:
            NoSuchMember: no such member.
        """
        require(principal, Action.MANAGE_MEMBERS)
        with read(self._engine) as conn:
            return members_db.require(conn, principal.organisation_id, member)

    def update(
        self,
        principal: Principal,
        member: str,
        *,
        name: str | None = None,
        role: Role | None = None,
        is_disabled: bool | None = None,
    ) -> Member:
        """Rename a member, change its role, disable or enable it; what is None stays.

        Takes effect at once here, and within `PRINCIPAL_CACHE_MS` in other processes.

        Raises:
            AlreadyExists: the name is taken.
            LastAdmin: no other admin would remain.
            NoSuchMember: no such member.
        """
        require(principal, Action.MANAGE_MEMBERS)
        if name is not None:
            _check_name(name)
        changed = transact(
            self._engine,
            self._update,
            principal,
            member,
            name=name,
            role=role,
            is_disabled=is_disabled,
        )
        self._authentication.forget()
        log.info(
            "member changed",
            member_id=changed.id,
            role=changed.role,
            is_disabled=changed.disabled_at_ms is not None,
        )
        return changed

    def _update(
        self,
        conn: Connection,
        principal: Principal,
        member: str,
        *,
        name: str | None,
        role: Role | None,
        is_disabled: bool | None,
    ) -> Member:
        _in_turn(conn, principal.organisation_id)
        before = members_db.require(conn, principal.organisation_id, member)
        after = replace(before, name=name or before.name, role=role or before.role)
        if is_disabled is not None and is_disabled != (before.disabled_at_ms is not None):
            after = replace(after, disabled_at_ms=self._now_ms() if is_disabled else None)
        if _is_active_admin(before) and not _is_active_admin(after):
            _require_other_admin(conn, before)
        members_db.replace(conn, after)
        if after.role is not before.role:
            # What an issuer said before must not undo it.
            issuers_db.note_synchronised(conn, after.id, at_ms=self._now_ms())
        tell_of_member(
            conn,
            principal,
            EventType.MEMBER_UPDATED,
            after,
            now_ms=self._now_ms(),
            **_changes(before, after),
        )
        return after

    def delete(self, principal: Principal, member: str) -> None:
        """Delete a member; its API keys, sessions, roles and grants end with it.

        Raises:
            LastAdmin: no other admin would remain.
            NoSuchMember: no such member.
        """
        require(principal, Action.MANAGE_MEMBERS)

        def delete(conn: Connection) -> Member:
            _in_turn(conn, principal.organisation_id)
            found = members_db.require(conn, principal.organisation_id, member)
            if _is_active_admin(found):
                _require_other_admin(conn, found)
            grants_db.remove_all_of(conn, found.id)
            members_db.delete_with_keys(conn, found.id)
            tell_of_member(conn, principal, EventType.MEMBER_DELETED, found, now_ms=self._now_ms())
            return found

        deleted = transact(self._engine, delete)
        self._authentication.forget()
        log.info("member deleted", member_id=deleted.id)


def _changes(before: Member, after: Member) -> dict[str, object]:
    """What is different, for the audit log."""
    changes: dict[str, object] = {}
    if after.name != before.name:
        changes["renamed"] = before.name
    if after.role is not before.role:
        changes["role"] = after.role
    if after.disabled_at_ms != before.disabled_at_ms:
        changes["disabled"] = after.disabled_at_ms is not None
    return changes


def _check_name(name: str) -> None:
    check_resource_name(name, of="member")
    if name == MYSELF:
        raise InvalidName(f"`{MYSELF}` stands for whoever asks; choose another name")


def _in_turn(conn: Connection, organisation_id: str) -> None:
    # Two admins who demote each other at once would leave none.
    serialise_on(conn, f"members of {organisation_id}")


def _is_active_admin(member: Member) -> bool:
    return member.role is Role.ADMIN and member.disabled_at_ms is None


def _require_other_admin(conn: Connection, member: Member) -> None:
    if not members_db.has_other_admin(conn, member.organisation_id, member.id):
        raise LastAdmin(
            f"`{member.name}` is the last admin of the organisation; make another member an "
            "admin first"
        )
