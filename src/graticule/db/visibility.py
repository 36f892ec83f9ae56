"""What grants let a principal see and do, as parts of other modules' statements.

The rule is that of `access.grants`.  The parts take bind parameters of fixed names, so that a
statement is built once for each depth of namespace and its text never changes; `who` and
`scope_paths` give them their values.  For an admin none of this is needed.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    Subquery,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from graticule.access.grants import paths_above
from graticule.db.schema import catalogs, grants, role_members, tables
from graticule.domain.identifiers import NAMESPACE_SEPARATOR, Namespace
from graticule.domain.tenancy import Principal

_MEMBER: Final = "grants_member"
_ORGANISATION: Final = "grants_organisation"
_PATH: Final = "grants_path_{}"
_AFTER_SEPARATOR: Final = " "
"""Follows 0x1F, the only character below it that a path can hold: `path` to `path + this` is
exactly the namespace and all below it.
"""


NO_LIMIT: Final = 2**31 - 1
"""Stands for all of a list."""

_OF_NO_TABLE: Final[ColumnElement[str]] = literal_column("''")
"""The name in grants on catalogs and namespaces; in the text of the statement, see `db.lookup`."""


class _Position(FunctionElement[int]):
    """Where a text begins in another, counted from 1; 0 if it is not there."""

    inherit_cache = True
    type = Integer()


@compiles(_Position, "sqlite")
def _position_on_sqlite(element: _Position, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_on_postgresql(element: _Position, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def who(principal: Principal) -> dict[str, str]:
    """The bind parameters that say who asks."""
    return who_is(principal.member_id, principal.organisation_id)


def who_is(member_id: str, organisation_id: str) -> dict[str, str]:
    return {_MEMBER: member_id, _ORGANISATION: organisation_id}


def scope_paths(namespace: Namespace | None) -> dict[str, str]:
    """The bind parameters of `privilege_from_scopes`, of a namespace of that depth."""
    return {_PATH.format(depth): path for depth, path in enumerate(paths_above(namespace))}


def grantees() -> Subquery:
    """The ids that grants to the asking member go by: its own, everyone's, its roles'.

    To be joined: asking whether an id is among them, PostgreSQL would sort them for every row.
    """
    ids = union_all(
        select(bindparam(_MEMBER, type_=grants.c.grantee_id.type).label("id")),
        select(bindparam(_ORGANISATION, type_=grants.c.grantee_id.type)),
        select(role_members.c.role_id).where(role_members.c.member_id == bindparam(_MEMBER)),
    )
    return ids.subquery("grantees")


def _granted(*what: ColumnElement[Any]) -> Select[Any]:
    """What is to be told of the grants to the asking member."""
    asking = grantees()
    return select(*what).select_from(asking.join(grants, grants.c.grantee_id == asking.c.id))


def privilege_from_scopes(depth: int, catalog: ColumnElement[str]) -> ScalarSelect[Any]:
    """What grants on the catalog, and on a namespace `depth` levels deep and those above, give."""
    paths: list[ColumnElement[str]] = [bindparam(_PATH.format(level)) for level in range(depth + 1)]
    return (
        _granted(func.max(grants.c.privilege))
        .where(
            grants.c.catalog_id == catalog,
            grants.c.path.in_(paths),
            grants.c.name == _OF_NO_TABLE,
        )
        .scalar_subquery()
    )


def privilege_from_table(table_id: ColumnElement[str]) -> ScalarSelect[Any]:
    """What grants on a table or view itself give."""
    return (
        _granted(func.max(grants.c.privilege))
        .where(grants.c.object_id == table_id)
        .correlate(tables)
        .scalar_subquery()
    )


def granted_names() -> Select[Any]:
    """The names of a namespace's tables, or views, that are granted one by one, in order.

    Bind parameters: `catalog`, `path`, `kind`, `after` and `limit`, beside those of `who`.
    """

    def first(after: ColumnElement[str]) -> tuple[ColumnElement[str], list[ColumnElement[bool]]]:
        return grants.c.name, [
            grants.c.path == bindparam("path"),
            grants.c.name > after,
            grants.c.kind == bindparam("kind"),
        ]

    return _walk(first(bindparam("after")), first)


def children_on_the_way(*, at_top: bool) -> Select[Any]:
    """The paths of those children of a namespace that are granted, or in which something is.

    Bind parameters: `catalog`, `from`, `depth_characters`, `limit`, and `end` unless `at_top`; see
    `child_range`; beside those of `who`.
    """
    begins = bindparam("depth_characters", type_=Integer)
    rest = func.substr(grants.c.path, begins + 1)
    ends = _Position(rest, literal(NAMESPACE_SEPARATOR))
    child = case((ends == 0, grants.c.path), else_=func.substr(grants.c.path, 1, begins + ends - 1))

    def first(from_: ColumnElement[str]) -> tuple[ColumnElement[str], list[ColumnElement[bool]]]:
        end = [] if at_top else [grants.c.path < bindparam("end")]
        return child, [grants.c.path >= from_, *end]

    def after(found: ColumnElement[str]) -> tuple[ColumnElement[str], list[ColumnElement[bool]]]:
        return first(found.concat(_AFTER_SEPARATOR))

    return _walk(first(bindparam("from")), after)


def child_range(parent: Namespace | None, after: str) -> dict[str, str | int]:
    """The bind parameters of `children_on_the_way`, for the children after the path `after`."""
    if parent is None:
        return {"from": after + _AFTER_SEPARATOR, "depth_characters": 0}
    begin = parent.path + NAMESPACE_SEPARATOR
    return {
        "from": after + _AFTER_SEPARATOR if after else begin,
        "end": parent.path + _AFTER_SEPARATOR,
        "depth_characters": len(begin),
    }


_Found = tuple[ColumnElement[str], list[ColumnElement[bool]]]
"""What is looked for, and where it may be."""


def _walk(begin: _Found, after: Callable[[ColumnElement[str]], _Found]) -> Select[Any]:
    """Distinct things that are granted, in order: from one to the next, for each grantee.

    An index is entered once for every thing that is found, so a page costs as much as its length,
    however much there is that the member sees, or does not.
    """
    asking = grantees()

    def nearest(grantee: ColumnElement[str], found: _Found) -> ScalarSelect[Any]:
        what, where = found
        return (
            select(what)
            .where(
                grants.c.grantee_id == grantee, grants.c.catalog_id == bindparam("catalog"), *where
            )
            .order_by(grants.c.path, grants.c.name)
            .limit(literal_column("1"))
            .correlate_except(grants)
            .scalar_subquery()
        )

    limit = bindparam("limit", type_=Integer)
    walk = select(
        asking.c.id.label("grantee"),
        nearest(asking.c.id, begin).label("found"),
        literal_column("1", Integer).label("step"),
    ).cte("walk", recursive=True)
    walk = walk.union_all(
        select(
            walk.c.grantee,
            nearest(walk.c.grantee, after(walk.c.found)),
            walk.c.step + literal_column("1"),
        ).where(walk.c.found.is_not(None), walk.c.step < limit)
    )
    return (
        select(walk.c.found)
        .where(walk.c.found.is_not(None))
        .distinct()
        .order_by(walk.c.found)
        .limit(limit)
    )


def any_below(catalog: ColumnElement[str], path: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a namespace, or anything in it however deep, is granted to the asking member."""
    return exists(
        _granted(literal(1)).where(
            grants.c.catalog_id == catalog,
            grants.c.path >= path,
            grants.c.path < path.concat(_AFTER_SEPARATOR),
        )
    )


def any_in_catalog() -> ColumnElement[bool]:
    """Whether a catalog, or anything in it, is granted to the asking member."""
    return exists(
        _granted(literal(1)).where(grants.c.catalog_id == catalogs.c.id).correlate(catalogs)
    )
