"""Members with credentials, roles and grants: straight through the services, without HTTP."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import uuid4

from graticule.domain.grants import GranteeKind, ObjectName, Privilege
from graticule.domain.identifiers import Namespace
from graticule.domain.tenancy import ALL_SCOPES, Edition, MemberKind, Principal, Role, Scope
from graticule.services.accounts.grants import GranteeName
from graticule.wiring import Services


@dataclass(frozen=True)
class Person:
    """A member, what it acts as, and the credential that says so over HTTP."""

    principal: Principal
    credential: str

    @property
    def id(self) -> str:
        return self.principal.member_id

    @property
    def name(self) -> str:
        return self.principal.name


def person_of(services: Services, credential: str) -> Person:
    """Whoever a credential belongs to."""
    bearer = credential.replace(":", ".", 1)
    return Person(services.authentication.of_bearer(bearer), credential)


def new_organisation(services: Services, name: str) -> Person:
    """The admin of an organisation of its own."""
    _, key = services.organisations.create(name, edition=Edition.ENTERPRISE)
    return person_of(services, key.credential)


def new_person(
    services: Services,
    admin: Person,
    *,
    name: str | None = None,
    role: Role = Role.USER,
    scopes: Iterable[Scope] = ALL_SCOPES,
) -> Person:
    """A new member of the admin's organisation."""
    member = services.members.create(
        admin.principal,
        name=name or f"m {uuid4().hex[:8]}",
        kind=MemberKind.SERVICE_ACCOUNT,
        role=role,
    )
    return with_key(services, admin, member.id, scopes)


def with_key(services: Services, admin: Person, member: str, scopes: Iterable[Scope]) -> Person:
    """A member with one more key, of these scopes."""
    _, key = services.api_keys.create(admin.principal, name="a key", member=member, scopes=scopes)
    return person_of(services, key.credential)


def grant(
    services: Services,
    by: Person,
    privilege: str,
    *,
    to: Person | str,
    catalog: str,
    namespace: tuple[str, ...] | None = None,
    name: str | None = None,
) -> str:
    """Give a privilege to a member, or to the role of that name; the grant's id."""
    grantee = (
        GranteeName(GranteeKind.ROLE, to)
        if isinstance(to, str)
        else GranteeName(GranteeKind.MEMBER, to.id)
    )
    on = ObjectName(catalog, None if namespace is None else Namespace(namespace), name)
    given = services.grants.grant(by.principal, on, grantee, Privilege[privilege.upper()])
    return given.id
