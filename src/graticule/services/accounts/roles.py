"""Roles of an organisation's own making, and who has them.  Transactions and authorisation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import members as members_db
from graticule.db import roles as roles_db
from graticule.db.engine import read, transact
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.errors import AlreadyExists, InvalidRequest, NoSuchRole, NotFound
from graticule.domain.grants import EVERYONE, MemberRole
from graticule.domain.identifiers import check_resource_name
from graticule.domain.tenancy import Member, Principal
from graticule.services.events.audit_trail import record
from graticule.services.pages import Page, page

log = structlog.get_logger(__name__)

_ALL_HAVE_IT: Final = f"all members have the role `{EVERYONE}`; it stays as it is"


class Roles:
    def __init__(
        self, engine: Engine, *, now_ms: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        """`on_change` is called when somebody may see more, or less, than before."""
        self._engine = engine
        self._now_ms = now_ms
        self._on_change = on_change

    def create(self, principal: Principal, *, name: str) -> MemberRole:
        """Make a role that nobody has yet.

        Raises:
            AlreadyExists: the organisation has one of that name.
            InvalidName: the name breaks the naming rules.
        """
        require(principal, Action.MANAGE_ROLES)
        role = MemberRole(
            str(uuid7()), principal.organisation_id, _checked_name(name), self._now_ms()
        )

        def create(conn: Connection) -> None:
            roles_db.create(conn, role)
            self._record(conn, principal, EventType.ROLE_CREATED, role)

        transact(self._engine, create)
        log.info("role created", role_id=role.id)
        return role

    def list(self, principal: Principal, *, after: str | None = None, limit: int) -> Page:
        """The roles there are, `everyone` on the first page."""
        require(principal, Action.LIST_CATALOGS)
        organisation_id = principal.organisation_id
        with read(self._engine) as conn:
            found = roles_db.page(conn, organisation_id, after=after, limit=limit + 1)
        cut = page(found, limit, key=lambda role: role.id)
        if after is None:
            return Page([everyone(organisation_id), *cut.items], cut.next_after)
        return cut

    def get(self, principal: Principal, id_or_name: str) -> MemberRole:
        """A role by id or name.

        Raises:
            NoSuchRole: the organisation has none.
        """
        require(principal, Action.LIST_CATALOGS)
        with read(self._engine) as conn:
            return find_role(conn, principal.organisation_id, id_or_name)

    def rename(self, principal: Principal, id_or_name: str, *, name: str) -> MemberRole:
        """Give a role another name; what it was granted stays.

        Raises:
            NoSuchRole: the organisation has none.
            AlreadyExists: the name is taken.
            InvalidRequest: it is `everyone`.
        """
        require(principal, Action.MANAGE_ROLES)
        new_name = _checked_name(name)

        def rename(conn: Connection) -> MemberRole:
            role = _own_role(conn, principal, id_or_name)
            roles_db.rename(conn, role.id, new_name)
            renamed = replace(role, name=new_name)
            self._record(conn, principal, EventType.ROLE_UPDATED, renamed, renamed=role.name)
            return renamed

        return transact(self._engine, rename)

    def delete(self, principal: Principal, id_or_name: str) -> None:
        """Delete a role, and take back whatever it was granted.

        Raises:
            NoSuchRole: the organisation has none.
            InvalidRequest: it is `everyone`.
        """
        require(principal, Action.MANAGE_ROLES)

        def delete(conn: Connection) -> MemberRole:
            role = _own_role(conn, principal, id_or_name)
            roles_db.remove(conn, role.id)
            self._record(conn, principal, EventType.ROLE_DELETED, role)
            return role

        deleted = transact(self._engine, delete)
        self._on_change()
        log.info("role deleted", role_id=deleted.id)

    def list_members(
        self, principal: Principal, id_or_name: str, *, after: str | None = None, limit: int
    ) -> Page:
        """Who has a role.

        Raises:
            NoSuchRole: the organisation has none.
        """
        require(principal, Action.MANAGE_ROLES)
        organisation_id = principal.organisation_id
        with read(self._engine) as conn:
            role = find_role(conn, organisation_id, id_or_name)
            if role.is_built_in:
                found = members_db.page(conn, organisation_id, after=after, limit=limit + 1)
            else:
                found = roles_db.page_of_members(conn, role.id, after=after, limit=limit + 1)
        return page(found, limit, key=lambda member: member.id)

    def add_member(self, principal: Principal, id_or_name: str, member: str) -> None:
        """Give a member a role; that it has it already is fine.

        Raises:
            NoSuchRole: the organisation has none.
            NoSuchMember: it has no such member.
            InvalidRequest: it is `everyone`.
        """
        require(principal, Action.MANAGE_ROLES)

        def add(conn: Connection) -> tuple[MemberRole, Member]:
            role = _own_role(conn, principal, id_or_name)
            found = members_db.require(conn, principal.organisation_id, member)
            roles_db.add_member(conn, role, found)
            self._record(conn, principal, EventType.ROLE_UPDATED, role, added=found.name)
            return role, found

        role, added = transact(self._engine, add)
        self._on_change()
        log.info("role given", role_id=role.id, member_id=added.id)

    def remove_member(self, principal: Principal, id_or_name: str, member: str) -> None:
        """Take a role from a member.

        Raises:
            NoSuchRole: the organisation has none.
            NotFound: it has no such member, or that one does not have the role.
            InvalidRequest: it is `everyone`.
        """
        require(principal, Action.MANAGE_ROLES)

        def remove(conn: Connection) -> tuple[MemberRole, Member]:
            role = _own_role(conn, principal, id_or_name)
            found = members_db.require(conn, principal.organisation_id, member)
            if not roles_db.remove_member(conn, role.id, found.id):
                raise NotFound(f"`{found.name}` does not have the role `{role.name}`")
            self._record(conn, principal, EventType.ROLE_UPDATED, role, removed=found.name)
            return role, found

        role, removed = transact(self._engine, remove)
        self._on_change()
        log.info("role taken", role_id=role.id, member_id=removed.id)

    def _record(
        self,
        conn: Connection,
        principal: Principal,
        type_: EventType,
        role: MemberRole,
        **details: str,
    ) -> None:
        subject = Subject(SubjectKind.ROLE, role.id, role.name)
        record(conn, principal, type_, subject, now_ms=self._now_ms(), details=details)


def everyone(organisation_id: str) -> MemberRole:
    """The built-in role: it goes by the organisation's id, and no row says who has it."""
    return MemberRole(organisation_id, organisation_id, EVERYONE, None)


def find_role(conn: Connection, organisation_id: str, id_or_name: str) -> MemberRole:
    """A role by id or name, `everyone` among them.

    Raises:
        NoSuchRole: the organisation has none.
    """
    if id_or_name in {EVERYONE, organisation_id}:
        return everyone(organisation_id)
    found = roles_db.find(conn, organisation_id, id_or_name)
    if found is None:
        raise NoSuchRole(f"no role is called `{id_or_name}`")
    return found


def _own_role(conn: Connection, principal: Principal, id_or_name: str) -> MemberRole:
    role = find_role(conn, principal.organisation_id, id_or_name)
    if role.is_built_in:
        raise InvalidRequest(_ALL_HAVE_IT)
    return role


def _checked_name(name: str) -> str:
    if name == EVERYONE:
        raise AlreadyExists(f"`{EVERYONE}` is the role that all members have")
    return check_resource_name(name, of="role")
