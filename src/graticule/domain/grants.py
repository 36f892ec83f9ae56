"""Grants: which member or role may do what with which catalog, namespace, table or view."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.tenancy import Member

EVERYONE: Final = "everyone"
"""The role that all members of an organisation have.  It goes by the organisation's id."""


class Privilege(IntEnum):
    """What may be done with an object.  Each implies those before it.

    Browse: see that it is there.  Read: load it, plan scans, reach its files to read.  Write:
    commit, make objects below, reach its files to write.  Manage: drop, rename, grant.
    """

    BROWSE = 1
    READ = 2
    WRITE = 3
    MANAGE = 4

    def __str__(self) -> str:
        return self.name.lower()


class ObjectKind(StrEnum):
    CATALOG = "catalog"
    NAMESPACE = "namespace"
    TABLE = "table"
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What somebody calls an object: a catalog by name or id, and what it is inside of that."""

    catalog: str
    namespace: Namespace | None = None
    name: str | None = None
    """Of a table or view, in that namespace."""


class GranteeKind(StrEnum):
    MEMBER = "member"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Securable:
    """Something that can be granted.  A table or view also has a namespace."""

    kind: ObjectKind
    id: str
    catalog_id: str
    catalog_name: str
    namespace_id: str | None = None
    namespace: Namespace | None = None
    name: str | None = None

    def __str__(self) -> str:
        """What it is and what it is called, as messages say it."""
        if self.namespace is None:
            return f"catalog `{self.catalog_name}`"
        if self.name is None:
            return f"namespace `{self.namespace}`"
        return f"{self.kind} `{TableIdentifier(self.namespace, self.name)}`"

    @property
    def path(self) -> str:
        """Of its namespace, or of the one it is in; empty for a catalog."""
        return "" if self.namespace is None else self.namespace.path

    @property
    def table_id(self) -> str | None:
        return self.id if self.name is not None else None


@dataclass(frozen=True, slots=True)
class Grantee:
    kind: GranteeKind
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Grant:
    """One row: at most one for an object and a grantee.  `on` is where it was given."""

    id: str
    organisation_id: str
    on: Securable
    grantee: Grantee
    privilege: Privilege
    granted_by: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Access:
    """What a member may do with an object, all grants and its role taken together."""

    member: Member
    privilege: Privilege


@dataclass(frozen=True, slots=True)
class MemberRole:
    """A role of an organisation's own making: a name for some of its members."""

    id: str
    organisation_id: str
    name: str
    created_at_ms: int | None
    """None for `everyone`, which always was."""

    @property
    def is_built_in(self) -> bool:
        return self.id == self.organisation_id
