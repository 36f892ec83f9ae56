"""What grants let a principal see and do, as parts of other modules' statements.

The rule is that of `access.grants`.  The parts take bind parameters of fixed names, so that a
statement is built once for each depth of namespace and its text never changes; `who` and
`scope_paths` give them their values.  For an admin none of this is needed.
"""

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    bindparam,
    exists,
    func,
    literal,
    select,
    union_all,
)

from graticule.access.grants import paths_above
from graticule.db.schema import catalogs, grants, role_members, tables
from graticule.domain.identifiers import Namespace
from graticule.domain.tenancy import Principal

_MEMBER: Final = "grants_member"
_ORGANISATION: Final = "grants_organisation"
_PATH: Final = "grants_path_{}"
_AFTER_SEPARATOR: Final = " "
"""Follows 0x1F, the only character below it that a path can hold: `path` to `path + this` is
exactly the namespace and all below it.
"""


def who(principal: Principal) -> dict[str, str]:
    """The bind parameters that say who asks."""
    return who_is(principal.member_id, principal.organisation_id)


def who_is(member_id: str, organisation_id: str) -> dict[str, str]:
    return {_MEMBER: member_id, _ORGANISATION: organisation_id}


def scope_paths(namespace: Namespace | None) -> dict[str, str]:
    """The bind parameters of `privilege_from_scopes`, of a namespace of that depth."""
    return {_PATH.format(depth): path for depth, path in enumerate(paths_above(namespace))}


def grantees() -> Select[Any]:
    """The ids that grants to the asking member go by: its own, everyone's, its roles'."""
    own = union_all(
        select(bindparam(_MEMBER, type_=grants.c.grantee_id.type)),
        select(bindparam(_ORGANISATION, type_=grants.c.grantee_id.type)),
        select(role_members.c.role_id).where(role_members.c.member_id == bindparam(_MEMBER)),
    ).subquery()
    return select(own.c[0])


def privilege_from_scopes(depth: int, catalog: ColumnElement[str]) -> ScalarSelect[Any]:
    """What grants on the catalog, and on a namespace `depth` levels deep and those above, give."""
    paths: list[ColumnElement[str]] = [bindparam(_PATH.format(level)) for level in range(depth + 1)]
    return (
        select(func.max(grants.c.privilege))
        .where(
            grants.c.grantee_id.in_(grantees()),
            grants.c.catalog_id == catalog,
            grants.c.path.in_(paths),
            grants.c.table_id.is_(None),
        )
        .scalar_subquery()
    )


def privilege_from_table(table_id: ColumnElement[str]) -> ScalarSelect[Any]:
    """What grants on a table or view itself give."""
    return (
        select(func.max(grants.c.privilege))
        .where(grants.c.object_id == table_id, grants.c.grantee_id.in_(grantees()))
        .correlate(tables)
        .scalar_subquery()
    )


def granted_tables(catalog: str, namespace: str) -> Select[Any]:
    """The ids of the tables and views of a namespace that have grants of their own; the names of
    the bind parameters for the catalog's id and the namespace's path are given.
    """
    return select(grants.c.table_id).where(
        grants.c.grantee_id.in_(grantees()),
        grants.c.catalog_id == bindparam(catalog),
        grants.c.path == bindparam(namespace),
        grants.c.table_id.is_not(None),
    )


def any_below(catalog: ColumnElement[str], path: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a namespace, or anything in it however deep, is granted to the asking member."""
    return exists(
        select(literal(1)).where(
            grants.c.grantee_id.in_(grantees()),
            grants.c.catalog_id == catalog,
            grants.c.path >= path,
            grants.c.path < path.concat(_AFTER_SEPARATOR),
        )
    )


def any_in_catalog() -> ColumnElement[bool]:
    """Whether a catalog, or anything in it, is granted to the asking member."""
    return exists(
        select(literal(1))
        .where(grants.c.grantee_id.in_(grantees()), grants.c.catalog_id == catalogs.c.id)
        .correlate(catalogs)
    )
