"""Organisations: the first one, further ones, their editions, and the way back into one.

What no member does but the operator of the server, who holds the database, takes no principal.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access import tokens
from graticule.access.tokens import NewKey
from graticule.db import members as members_db
from graticule.db import organisations as organisations_db
from graticule.db import passwords as passwords_db
from graticule.db.engine import read, transact
from graticule.domain.audit import EventType
from graticule.domain.errors import AlreadyExists, NoSuchOrganisation
from graticule.domain.identifiers import check_resource_name
from graticule.domain.tenancy import (
    ALL_SCOPES,
    Edition,
    Member,
    MemberKind,
    Organisation,
    Principal,
    Role,
)
from graticule.services.accounts.account_events import (
    operator_in,
    tell_of_member,
    tell_of_organisation,
)
from graticule.services.accounts.api_keys import store_key

log = structlog.get_logger(__name__)

DEFAULT_ORGANISATION: Final = "default"
DEFAULT_ADMIN: Final = "admin"


class Organisations:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def organisation(self, principal: Principal) -> Organisation:
        """The principal's own.

        Raises:
            NoSuchOrganisation: it is gone.
        """
        with read(self._engine) as conn:
            found = organisations_db.load(conn, principal.organisation_id)
        if found is None:
            raise NoSuchOrganisation("the organisation is gone")
        return found

    # For the operator

    def bootstrap(
        self, *, name: str = DEFAULT_ORGANISATION, admin: str = DEFAULT_ADMIN
    ) -> NewKey | None:
        """Make the first organisation, its admin and an API key.

        None when there is an organisation already, or when another replica was quicker: exactly
        one caller ever gets the credential, and it cannot be read again.
        """

        def bootstrap(conn: Connection) -> NewKey | None:
            if organisations_db.has_any(conn):
                return None
            return self._create_with_key(conn, name, Edition.ENTERPRISE, admin)[1]

        try:
            return transact(self._engine, bootstrap)
        except AlreadyExists:  # the unique name decides between replicas
            return None

    def bootstrap_with_password(
        self, *, name: str, admin: str, password_hash: Callable[[], str]
    ) -> bool:
        """As `bootstrap`, for an admin that has a password and no API key.

        `password_hash` is asked only when it is needed.  False when nothing was to be made.
        """
        with read(self._engine) as conn:
            if organisations_db.has_any(conn):
                return False
        hashed = password_hash()

        def bootstrap(conn: Connection) -> bool:
            if organisations_db.has_any(conn):
                return False
            _, member = self._create(conn, name, Edition.ENTERPRISE, admin)
            passwords_db.store(conn, member.id, hashed, now_ms=self._now_ms())
            return True

        try:
            return transact(self._engine, bootstrap)
        except AlreadyExists:
            return False

    def create(
        self, name: str, *, edition: Edition, admin: str = DEFAULT_ADMIN
    ) -> tuple[Organisation, NewKey]:
        """A further organisation with an admin, whose key can be read only here.

        Raises:
            AlreadyExists: the name is taken.
            InvalidName: a name breaks the naming rules.
        """
        return transact(self._engine, self._create_with_key, name, edition, admin)

    def _create_with_key(
        self, conn: Connection, name: str, edition: Edition, admin: str
    ) -> tuple[Organisation, NewKey]:
        organisation, member = self._create(conn, name, edition, admin)
        new = tokens.new_key()
        store_key(
            conn,
            operator_in(organisation.id),
            new,
            member,
            name="first start",
            scopes=ALL_SCOPES,
            now_ms=self._now_ms(),
        )
        return organisation, new

    def _create(
        self, conn: Connection, name: str, edition: Edition, admin: str
    ) -> tuple[Organisation, Member]:
        check_resource_name(name, of="organisation")
        check_resource_name(admin, of="member")
        now_ms = self._now_ms()
        organisation = Organisation(str(uuid7()), name, edition, now_ms)
        organisations_db.create(conn, organisation)
        member = _new_admin(organisation, admin, now_ms)
        members_db.create(conn, member)
        tell_of_organisation(conn, EventType.ORGANISATION_CREATED, organisation, now_ms=now_ms)
        _tell_of_admin(conn, EventType.MEMBER_CREATED, member, now_ms=now_ms)
        log.info("organisation created", organisation=organisation.name)
        return organisation, member

    def list_all(self) -> Sequence[Organisation]:
        """Every organisation of this server."""
        with read(self._engine) as conn:
            return organisations_db.list_all(conn)

    def set_edition(self, name: str, edition: Edition) -> Organisation:
        """Move an organisation to another edition.

        Running servers follow within `PRINCIPAL_CACHE_MS`.

        Raises:
            NoSuchOrganisation: no such organisation.
        """

        def change(conn: Connection) -> Organisation:
            found = organisations_db.require_by_name(conn, name)
            organisations_db.set_edition(conn, found.id, edition)
            changed = replace(found, edition=edition)
            tell_of_organisation(
                conn, EventType.ORGANISATION_UPDATED, changed, now_ms=self._now_ms()
            )
            return changed

        changed = transact(self._engine, change)
        log.info("edition changed", organisation=name, edition=edition)
        return changed

    def recover_admin(
        self, organisation: str = DEFAULT_ORGANISATION, *, admin: str = DEFAULT_ADMIN
    ) -> NewKey:
        """A new key for an admin, for whoever holds the database but lost every way in.

        The admin is made when it is gone, and made an active admin again when it is not one.

        Raises:
            NoSuchOrganisation: no such organisation.
        """
        new = tokens.new_key()

        def recover(conn: Connection) -> None:
            member = self._restored_admin(conn, organisation, admin)
            store_key(
                conn,
                operator_in(member.organisation_id),
                new,
                member,
                name="recovery",
                scopes=ALL_SCOPES,
                now_ms=self._now_ms(),
            )

        transact(self._engine, recover)
        log.warning("admin key recovered", organisation=organisation, key_id=new.client_id)
        return new

    def restore_admin(self, organisation: str, *, admin: str) -> Member:
        """As `recover_admin`, without a key.

        Raises:
            NoSuchOrganisation: no such organisation.
        """
        return transact(self._engine, self._restored_admin, organisation, admin)

    def _restored_admin(self, conn: Connection, organisation: str, admin: str) -> Member:
        found = organisations_db.require_by_name(conn, organisation)
        member = members_db.load(conn, found.id, admin)
        if member is None:
            member = _new_admin(found, check_resource_name(admin, of="member"), self._now_ms())
            members_db.create(conn, member)
            _tell_of_admin(conn, EventType.MEMBER_CREATED, member, now_ms=self._now_ms())
        elif member.role is not Role.ADMIN or member.disabled_at_ms is not None:
            member = replace(member, role=Role.ADMIN, disabled_at_ms=None)
            members_db.replace(conn, member)
            _tell_of_admin(conn, EventType.MEMBER_UPDATED, member, now_ms=self._now_ms())
        return member


def _tell_of_admin(conn: Connection, type_: EventType, member: Member, *, now_ms: int) -> None:
    operator = operator_in(member.organisation_id)
    tell_of_member(conn, operator, type_, member, now_ms=now_ms, role=member.role)


def _new_admin(organisation: Organisation, name: str, now_ms: int) -> Member:
    return Member(str(uuid7()), organisation.id, MemberKind.USER, name, Role.ADMIN, now_ms)
