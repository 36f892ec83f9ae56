"""What grants let a member see, in SQL: the same on both engines, in order, in few statements."""

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from graticule.access.grants import Standing
from graticule.db import catalogs, granted_tables, grants, namespaces, roles, schema, tables
from graticule.db.engine import read, write
from graticule.domain.catalog import NamespaceRecord
from graticule.domain.grants import (
    Grant,
    Grantee,
    GranteeKind,
    MemberRole,
    ObjectKind,
    Privilege,
    Securable,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from support.database import opened
from support.principals import ANA, BEN
from support.rows import CATALOG, NOW, create_catalogs, record_at

ADMIN = replace(ANA, organisation_id="o")
MEMBER = replace(BEN, organisation_id="o")
STRANGER = replace(BEN, member_id="stranger", organisation_id="another")
LEVELS = [("a",), ("a", "b"), ("a", "b", "c"), ("a b",), ("a!",), ("é",), ("z", "é"), ("z",)]
NAMES = ["t1", "t 2", "é"]


def namespace_id(levels):
    return "n " + ".".join(levels)


def table_id(levels, name):
    return f"{namespace_id(levels)} {name}"


def record_of(levels, name):
    return replace(
        record_at(table_id(levels, name)),
        namespace_id=namespace_id(levels),
        identifier=TableIdentifier(Namespace(levels), name),
    )


def fill(engine):
    with write(engine) as conn:
        create_catalogs(conn, CATALOG, "other")
        for levels in sorted(LEVELS):
            namespace = Namespace(levels)
            namespaces.create(
                conn, NamespaceRecord(namespace_id(levels), CATALOG, namespace, {}, NOW)
            )
            for name in NAMES:
                kind = tables.VIEW if name == "é" else tables.TABLE
                tables.create(conn, record_of(levels, name), b"{}", kind=kind)


def give(engine, to, privilege, levels=None, name=None):
    if levels is None:
        on = Securable(ObjectKind.CATALOG, CATALOG, CATALOG, CATALOG)
    elif name is None:
        on = Securable(
            ObjectKind.NAMESPACE,
            namespace_id(levels),
            CATALOG,
            CATALOG,
            namespace_id(levels),
            Namespace(levels),
        )
    else:
        on = Securable(
            ObjectKind.VIEW if name == "é" else ObjectKind.TABLE,
            table_id(levels, name),
            CATALOG,
            CATALOG,
            namespace_id(levels),
            Namespace(levels),
            name,
        )
    kind = GranteeKind.MEMBER if to == MEMBER.member_id else GranteeKind.ROLE
    grantee = Grantee(kind, to, "everyone" if to == "o" else to)
    with write(engine) as conn:
        given = Grant(str(uuid4()), "o", on, grantee, privilege, "ana", NOW)
        return grants.put(conn, given)


def children(engine, principal, parent, *, page):
    found, after = [], ""
    with read(engine) as conn:
        while True:
            part = namespaces.list_children_on_the_way(
                conn, principal, CATALOG, parent, after=after, limit=page
            )
            found += [namespace.levels for namespace in part]
            if page is None or len(part) < page:
                return found
            after = part[-1].path


def names(engine, principal, levels, *, kind=tables.TABLE, page=None):
    found, after = [], ""
    with read(engine) as conn:
        record = namespaces.require(conn, CATALOG, Namespace(levels))
        while True:
            part = granted_tables.list_names(
                conn, principal, record, kind=kind, after=after, limit=page
            )
            found += part
            if page is None or len(part) < page:
                return found
            after = part[-1]


GRANTS = st.lists(
    st.tuples(
        st.sampled_from([MEMBER.member_id, "o", "role"]),
        st.sampled_from(Privilege),
        st.none() | st.sampled_from(LEVELS),
        st.none() | st.sampled_from(NAMES),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def filled_sqlite(migrated_sqlite, tmp_path_factory):
    file = tmp_path_factory.mktemp("visibility") / "g.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    with opened(f"sqlite:///{file}") as engine:
        fill(engine)
        _with_role(engine)
        yield engine


@pytest.fixture(scope="module")
def filled_postgres(postgres, migrated_postgres):
    with postgres.database(template=migrated_postgres) as url, opened(url) as engine:
        fill(engine)
        _with_role(engine)
        yield engine


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def filled(request):
    return request.getfixturevalue(f"filled_{request.param}")


def _with_role(engine):
    with write(engine) as conn:
        conn.execute(
            schema.members.insert().values(
                id=MEMBER.member_id,
                organisation_id="o",
                kind="user",
                name=MEMBER.name,
                role="user",
                created_at_ms=NOW,
            )
        )
        roles.create(conn, MemberRole("role", "o", "role", NOW))
        conn.execute(
            schema.role_members.insert().values(member_id=MEMBER.member_id, role_id="role")
        )


@given(given=GRANTS, page=st.sampled_from([None, 1, 2]))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_sql_sees_exactly_what_the_rule_says(filled, given, page):
    """Compared with the rule applied to every object, one by one."""
    with write(filled) as conn:
        conn.execute(schema.grants.delete())
    held = {}
    for to, privilege, levels, name in given:
        on = (levels, name if levels is not None else None)
        give(filled, to, privilege, *on)
        held[to, on] = privilege

    def on_object(levels, name=None):
        reaching = {(None, None), (levels, name)}
        reaching |= {(levels[:depth], None) for depth in range(1, len(levels) + 1)}
        return max((p for (_, on), p in held.items() if on in reaching), default=None)

    def is_below(levels):
        return any(on[0] is not None and on[0][: len(levels)] == levels for _, on in held)

    with read(filled) as conn:
        for levels in LEVELS:
            found = namespaces.find(conn, MEMBER, CATALOG, Namespace(levels))
            assert found.standing == Standing(on_object(levels), is_below(levels))
            for name in NAMES:
                identifier = TableIdentifier(Namespace(levels), name)
                table = granted_tables.find(conn, MEMBER, CATALOG, identifier)
                assert table.standing == Standing(on_object(levels, name))
                assert granted_tables.look_up(filled, MEMBER, CATALOG, identifier) == table
                stranger = granted_tables.find(conn, STRANGER, CATALOG, identifier)
                assert stranger.standing == Standing(None)
                admin = granted_tables.find(conn, ADMIN, CATALOG, identifier)
                assert admin.standing.holds(Privilege.MANAGE)
        whole = max((p for (_, on), p in held.items() if on == (None, None)), default=None)
        assert catalogs.standing(conn, MEMBER, CATALOG) == Standing(whole, bool(held))
        visible = [CATALOG] if held else []
        assert [c.id for c in catalogs.page(conn, MEMBER, after=None, limit=9)] == visible
    for parent in (None, *map(Namespace, LEVELS)):
        depth = 0 if parent is None else len(parent.levels)
        expected = sorted(
            (
                levels
                for levels in LEVELS
                if len(levels) == depth + 1
                and (parent is None or levels[:depth] == parent.levels)
                and is_below(levels)
            ),
            key=lambda levels: Namespace(levels).path,
        )
        assert children(filled, MEMBER, parent, page=page) == expected
    for levels in LEVELS:
        own = {on[1] for _, on in held if on[0] == levels and on[1] is not None}
        assert names(filled, MEMBER, levels, page=page) == sorted(own - {"é"})
        assert names(filled, MEMBER, levels, kind=tables.VIEW, page=page) == sorted(own & {"é"})


def test_grants_follow_a_table_to_another_name_and_go_when_it_goes(filled):
    with write(filled) as conn:
        conn.execute(schema.grants.delete())
    give(filled, MEMBER.member_id, Privilege.READ, ("a",), "t1")
    moved = TableIdentifier(Namespace(("z",)), "moved")
    with write(filled) as conn:
        tables.rename(
            conn, table_id(("a",), "t1"), namespace_id=namespace_id(("z",)), to=moved, now_ms=NOW
        )
    assert names(filled, MEMBER, ("a",)) == []
    assert names(filled, MEMBER, ("z",)) == ["moved"]
    assert children(filled, MEMBER, None, page=None) == [("z",)]
    back = TableIdentifier(Namespace(("a",)), "t1")
    with write(filled) as conn:
        tables.rename(
            conn, table_id(("a",), "t1"), namespace_id=namespace_id(("a",)), to=back, now_ms=NOW
        )
    with write(filled) as conn:
        tables.drop(conn, table_id(("a",), "t1"))
        assert conn.execute(schema.grants.select()).all() == []
        tables.create(conn, record_of(("a",), "t1"), b"{}")


def test_pages_of_any_length_take_as_many_statements(filled):
    with write(filled) as conn:
        conn.execute(schema.grants.delete())
    for levels, name in zip(LEVELS * 2, NAMES, strict=False):
        give(filled, MEMBER.member_id, Privilege.READ, levels, name)
    seen = []

    def note(_conn, _cursor, statement, *_):
        if statement.startswith(("SELECT", "WITH")):
            seen.append(statement)

    event.listen(filled, "before_cursor_execute", note)
    counts = []
    try:
        for page in (1, 2, 100):
            seen.clear()
            with read(filled) as conn:
                found = namespaces.find(conn, MEMBER, CATALOG, Namespace(("a",)))
                granted_tables.list_names(
                    conn, MEMBER, found.record, kind=tables.TABLE, after="", limit=page
                )
                namespaces.list_children_on_the_way(
                    conn, MEMBER, CATALOG, None, after="", limit=page
                )
                identifier = TableIdentifier(Namespace(("a", "b", "c")), "t1")
                granted_tables.find(conn, MEMBER, CATALOG, identifier)
            counts.append(len(seen))
    finally:
        event.remove(filled, "before_cursor_execute", note)
    assert counts == [4, 4, 4]
