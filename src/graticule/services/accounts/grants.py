"""Grants: who gives what to whom, who holds what, and why.  Transactions and authorisation.

Whoever manages an object may grant it, and so may admins.  A grant that is taken back counts no
more from the next request on: nothing about what is inside a catalog is cached.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access import grants as rule
from graticule.access.explanations import Explanation, explain_action, explain_privilege
from graticule.access.grants import Standing
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import granted_tables
from graticule.db import grants as grants_db
from graticule.db import members as members_db
from graticule.db import namespaces as namespaces_db
from graticule.db.engine import read, transact
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.errors import (
    InvalidRequest,
    NoSuchCatalog,
    NoSuchGrant,
    NoSuchNamespace,
    NoSuchTable,
    NotFound,
)
from graticule.domain.grants import (
    Grant,
    Grantee,
    GranteeKind,
    ObjectKind,
    ObjectName,
    Privilege,
    Securable,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.tenancy import ALL_SCOPES, Member, Principal
from graticule.services.accounts.roles import find_role
from graticule.services.events.audit_trail import record
from graticule.services.pages import Page, page

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GranteeName:
    """Whom a request means: a member or a role, by name or id."""

    kind: GranteeKind
    name: str


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation, of whom, and about which object."""

    member: Principal
    on: Securable | None
    explanation: Explanation


class Grants:
    def __init__(
        self, engine: Engine, *, now_ms: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        """`on_change` is called when somebody may see more, or less, than before."""
        self._engine = engine
        self._now_ms = now_ms
        self._on_change = on_change

    def grant(
        self, principal: Principal, on: ObjectName, to: GranteeName, privilege: Privilege
    ) -> Grant:
        """Give a privilege, in place of what the grantee had on that very object.

        Raises:
            NotFound: the object is not there, or not for this principal to know of; or the grantee.
            Forbidden: the object is not its to manage.
        """
        require(principal, Action.MANAGE_GRANTS)

        def grant(conn: Connection) -> Grant:
            securable = self._managed(conn, principal, on)
            grantee = _grantee(conn, principal.organisation_id, to)
            given = Grant(
                id=str(uuid7()),
                organisation_id=principal.organisation_id,
                on=securable,
                grantee=grantee,
                privilege=privilege,
                granted_by=principal.name,
                created_at_ms=self._now_ms(),
            )
            given = grants_db.put(conn, given)
            _record(conn, principal, EventType.GRANT_CREATED, given, now_ms=self._now_ms())
            return given

        given = transact(self._engine, grant)
        self._on_change()
        log.info(
            "privilege granted",
            on=given.on.id,
            to=given.grantee.id,
            privilege=str(privilege),
        )
        return given

    def get(self, principal: Principal, grant_id: str) -> Grant:
        """A grant on something that the principal manages.

        Raises:
            NoSuchGrant: it is not there, or not for this principal to know of.
            Forbidden: what it is on is not its to manage.
        """
        require(principal, Action.MANAGE_GRANTS)
        with read(self._engine) as conn:
            return _managed_grant(conn, principal, grant_id)

    def revoke(self, principal: Principal, grant_id: str) -> None:
        """Take a grant back.

        Raises:
            NoSuchGrant: it is not there, or not for this principal to know of.
            Forbidden: what it is on is not its to manage.
        """
        require(principal, Action.MANAGE_GRANTS)

        def revoke(conn: Connection) -> Grant:
            grant = _managed_grant(conn, principal, grant_id)
            if not grants_db.remove(conn, grant.id):
                raise _no_such_grant(grant_id)
            _record(conn, principal, EventType.GRANT_REVOKED, grant, now_ms=self._now_ms())
            return grant

        revoked = transact(self._engine, revoke)
        self._on_change()
        log.info("privilege revoked", on=revoked.on.id, to=revoked.grantee.id)

    def list_on(
        self, principal: Principal, on: ObjectName, *, after: str | None = None, limit: int
    ) -> Page:
        """The grants on an object itself, oldest first.

        Raises:
            NotFound: it is not there, or not for this principal to know of.
            Forbidden: it is not its to manage.
        """
        require(principal, Action.MANAGE_GRANTS)
        with read(self._engine) as conn:
            securable = self._managed(conn, principal, on)
            found = grants_db.page_on(conn, securable, after=after, limit=limit + 1)
        return page(found, limit, key=lambda grant: grant.id)

    def list_to(
        self, principal: Principal, to: GranteeName, *, after: str | None = None, limit: int
    ) -> Page:
        """All that was granted to a member or role itself: for admins, or about oneself.

        Raises:
            NotFound: no such member or role.
            Forbidden: it is another one, and the principal no admin.
        """
        require(principal, Action.MANAGE_GRANTS)
        own = to.kind is GranteeKind.MEMBER and to.name in {principal.member_id, principal.name}
        if not own:
            require(principal, Action.MANAGE_MEMBERS)
        with read(self._engine) as conn:
            grantee = _grantee(conn, principal.organisation_id, to)
            found = grants_db.page_to(
                conn, principal.organisation_id, grantee.id, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda grant: grant.id)

    def list_access(
        self, principal: Principal, on: ObjectName, *, after: str | None = None, limit: int
    ) -> Page:
        """Which members may do what with an object, all grants and roles taken together.

        Raises:
            NotFound: it is not there, or not for this principal to know of.
            Forbidden: it is not its to manage.
        """
        require(principal, Action.MANAGE_GRANTS)
        with read(self._engine) as conn:
            securable = self._managed(conn, principal, on)
            found = grants_db.page_of_access(
                conn, principal.organisation_id, securable, after=after, limit=limit + 1
            )
        return page(found, limit, key=lambda access: access.member.id)

    def explain_privilege(
        self, principal: Principal, needed: Privilege, on: ObjectName, *, member: str | None
    ) -> Explained:
        """Why a member holds a privilege on an object, or does not; the asking one by default.

        Raises:
            NotFound: the object is not there, or not for this principal to know of; or the member.
            Forbidden: it is about another member, and the object not the principal's to manage.
        """
        with read(self._engine) as conn:
            about = self._about(conn, principal, member)
            if about is principal:
                securable, standing, absent = _find(conn, principal, on)
                if not standing.is_visible:
                    raise absent
            else:
                require(principal, Action.MANAGE_GRANTS)
                securable = self._managed(conn, principal, on)
            reaching = grants_db.reaching(conn, securable, about.member_id, about.organisation_id)
        explanation = explain_privilege(
            about, needed, securable, reaching, knows_scopes=about is principal
        )
        return Explained(about, securable, explanation)

    def explain_action(
        self, principal: Principal, action: Action, *, member: str | None
    ) -> Explained:
        """Why a member may do something that concerns no one object, or may not.

        Raises:
            NotFound: no such member.
            Forbidden: it is about another member, and the principal no admin.
        """
        with read(self._engine) as conn:
            about = self._about(conn, principal, member)
        if about is not principal:
            require(principal, Action.MANAGE_MEMBERS)
        return Explained(
            about, None, explain_action(about, action, knows_scopes=about is principal)
        )

    @staticmethod
    def _about(conn: Connection, principal: Principal, member: str | None) -> Principal:
        """The member as a principal that no credential narrows; the asking one as it is."""
        if member is None or member in {principal.member_id, principal.name}:
            return principal
        return _unnarrowed(principal, members_db.require(conn, principal.organisation_id, member))

    @staticmethod
    def _managed(conn: Connection, principal: Principal, on: ObjectName) -> Securable:
        securable, standing, absent = _find(conn, principal, on)
        rule.require(standing, Privilege.MANAGE, what=str(securable), absent=absent)
        return securable


def _unnarrowed(principal: Principal, member: Member) -> Principal:
    return replace(
        principal,
        member_id=member.id,
        name=member.name,
        role=member.role,
        scopes=ALL_SCOPES,
        key_id="",
    )


def _managed_grant(conn: Connection, principal: Principal, grant_id: str) -> Grant:
    absent = _no_such_grant(grant_id)
    grant = grants_db.load(conn, principal.organisation_id, grant_id)
    if grant is None:
        raise absent
    on = ObjectName(grant.on.catalog_id, grant.on.namespace, grant.on.name)
    try:
        securable, standing, _ = _find(conn, principal, on)
    except NotFound:
        raise absent from None
    rule.require(standing, Privilege.MANAGE, what=str(securable), absent=absent)
    return grant


def _record(
    conn: Connection, principal: Principal, type_: EventType, grant: Grant, *, now_ms: int
) -> None:
    record(
        conn,
        principal,
        type_,
        Subject(SubjectKind.GRANT, grant.id, str(grant.on), grant.on.catalog_id),
        now_ms=now_ms,
        by=Privilege.MANAGE,
        details={
            "privilege": str(grant.privilege),
            "grantee_kind": grant.grantee.kind.value,
            "grantee_id": grant.grantee.id,
            "grantee": grant.grantee.name,
        },
    )


def _no_such_grant(grant_id: str) -> NoSuchGrant:
    return NoSuchGrant(f"no grant has the id `{grant_id}`")


def _grantee(conn: Connection, organisation_id: str, wanted: GranteeName) -> Grantee:
    if wanted.kind is GranteeKind.MEMBER:
        member = members_db.require(conn, organisation_id, wanted.name)
        return Grantee(wanted.kind, member.id, member.name)
    role = find_role(conn, organisation_id, wanted.name)
    return Grantee(wanted.kind, role.id, role.name)


def _find(
    conn: Connection, principal: Principal, on: ObjectName
) -> tuple[Securable, Standing, NotFound]:
    """An object, how the principal stands towards it, and how it would be missed.

    Raises:
        NotFound: nothing there goes by that name, or it may not be known.
    """
    catalog = catalogs_db.find(conn, principal, on.catalog)
    no_catalog = NoSuchCatalog(f"no catalog is called `{on.catalog}`")
    if catalog is None:
        raise no_catalog
    if on.namespace is None:
        if on.name is not None:
            raise InvalidRequest("a table or view is named with its namespace")
        whole = Securable(ObjectKind.CATALOG, catalog.id, catalog.id, catalog.name)
        return whole, catalogs_db.standing(conn, principal, catalog.id), no_catalog
    if on.name is None:
        return _namespace(conn, principal, (catalog.id, catalog.name), on.namespace)
    identifier = TableIdentifier(on.namespace, on.name)
    absent = NoSuchTable(f"no table or view is called `{identifier}`")
    found = granted_tables.find(conn, principal, catalog.id, identifier)
    if found is None:
        raise absent
    securable = Securable(
        kind=ObjectKind(found.kind),
        id=found.record.id,
        catalog_id=catalog.id,
        catalog_name=catalog.name,
        namespace_id=found.record.namespace_id,
        namespace=on.namespace,
        name=on.name,
    )
    return securable, found.standing, absent


def _namespace(
    conn: Connection, principal: Principal, catalog: tuple[str, str], namespace: Namespace
) -> tuple[Securable, Standing, NotFound]:
    absent = NoSuchNamespace(f"no namespace is called `{namespace}`")
    found = namespaces_db.find(conn, principal, catalog[0], namespace)
    if found is None:
        raise absent
    securable = Securable(
        ObjectKind.NAMESPACE, found.record.id, *catalog, found.record.id, namespace
    )
    return securable, found.standing, absent
