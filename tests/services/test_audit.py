"""The audit log: what is in it, who reads it, and when it forgets."""

from dataclasses import replace
from threading import Event

import pytest
from uuid6 import uuid7

from graticule.db import audit as audit_db
from graticule.db.engine import read, write
from graticule.domain.audit import AuditFilter, EventType, Outcome, Subject, SubjectKind
from graticule.domain.errors import Forbidden
from graticule.domain.tenancy import Origin, Role
from graticule.services.events.audit import EXPORT_PAGE_EVENTS, Audit
from graticule.services.events.audit_trail import record
from support.principals import ANA
from support.tenants import ZOE

LAKES = Subject(SubjectKind.TABLE, "t-1", "geo.lakes", "c-1")
ROADS = Subject(SubjectKind.TABLE, "t-2", "geo.roads", "c-1")
DAY_MS = 86_400_000
ALL = AuditFilter()


@pytest.fixture
def audit(tenants, clock):
    return Audit(tenants, now_ms=clock, retention_days=7)


@pytest.fixture
def did(tenants, clock):
    def write_event(principal, type_, subject, **more):
        with write(tenants) as conn:
            record(conn, principal, type_, subject, now_ms=clock(), **more)

    return write_event


def names(page):
    return [(event.type.value, event.subject.name) for event in page.items]


def test_an_event_says_who_did_what_on_what_when_from_where_and_by_what_right(audit, did, clock):
    ana = replace(ANA, origin=Origin(request_id="r-1", address="192.0.2.7"))
    did(ana, EventType.TABLE_CREATED, LAKES, details={"version": 2})

    (event,) = audit.list(ANA, ALL, limit=10).items

    assert (event.type, event.subject, event.outcome) == (
        EventType.TABLE_CREATED,
        LAKES,
        Outcome.SUCCEEDED,
    )
    assert (event.member_id, event.member_name, event.credential_id) == (
        ANA.member_id,
        ANA.name,
        ANA.key_id,
    )
    assert (event.request_id, event.address, event.at_ms) == ("r-1", "192.0.2.7", clock())
    assert (event.allowed_by, event.details, event.occurrences) == (
        "role admin",
        {"version": 2},
        1,
    )


def test_an_event_is_not_there_when_its_change_is_not(audit, tenants):
    def change():
        with write(tenants) as conn:
            record(conn, ANA, EventType.TABLE_CREATED, LAKES, now_ms=1)
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        change()

    assert audit.list(ANA, ALL, limit=10).items == []


def test_only_admins_read_it_and_only_their_own_organisation(audit, did):
    did(ANA, EventType.TABLE_CREATED, LAKES)

    assert audit.list(ZOE, ALL, limit=10).items == []
    assert list(audit.export(ZOE, ALL)) == []
    with pytest.raises(Forbidden):
        audit.list(replace(ANA, role=Role.USER), ALL, limit=10)
    with pytest.raises(Forbidden):
        audit.export(replace(ANA, role=Role.USER), ALL)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (AuditFilter(type="table.created"), ["geo.lakes"]),
        (AuditFilter(type="table.*"), ["geo.roads", "geo.lakes"]),
        (AuditFilter(type="table"), []),
        (AuditFilter(subject="t-2"), ["geo.roads"]),
        (AuditFilter(subject="geo.lakes"), ["geo.lakes"]),
        (AuditFilter(member="bob"), ["geo.roads"]),
        (AuditFilter(catalog_id="c-2"), ["sat"]),
        (AuditFilter(outcome=Outcome.DENIED), []),
        (AuditFilter(since_ms=20), ["sat", "geo.roads"]),
        (AuditFilter(since_ms=10, until_ms=20), ["geo.lakes"]),
    ],
)
def test_events_are_found_by(audit, tenants, asked, expected):
    bob = replace(ANA, member_id="m-bob", name="bob")
    with write(tenants) as conn:
        record(conn, ANA, EventType.TABLE_CREATED, LAKES, now_ms=10)
        record(conn, bob, EventType.TABLE_DROPPED, ROADS, now_ms=20)
        sat = Subject(SubjectKind.CATALOG, "c-2", "sat", "c-2")
        record(conn, ANA, EventType.CATALOG_CREATED, sat, now_ms=30)

    assert [event.subject.name for event in audit.list(ANA, asked, limit=10).items] == expected


def test_a_percent_sign_in_a_type_is_not_a_wildcard(audit, did):
    did(ANA, EventType.TABLE_CREATED, LAKES)

    assert audit.list(ANA, AuditFilter(type="t%*"), limit=10).items == []


def test_pages_go_back_in_time_without_a_gap(audit, did):
    for _ in range(5):
        did(ANA, EventType.TABLE_COMMITTED, LAKES)

    seen, after = [], None
    while True:
        page = audit.list(ANA, ALL, after=after, limit=2)
        seen += [event.id for event in page.items]
        after = page.next_after
        if after is None:
            break

    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


def test_an_export_is_longer_than_a_page_and_in_the_order_of_events(audit, tenants, did):
    did(ANA, EventType.TABLE_COMMITTED, LAKES)
    with read(tenants) as conn:
        (one,) = audit_db.page(conn, ANA.organisation_id, ALL, after=None, limit=1)
    more = [replace(one, id=str(uuid7())) for _ in range(EXPORT_PAGE_EVENTS)]
    with write(tenants) as conn:
        audit_db.record(conn, *more)

    exported = [event.id for event in audit.export(ANA, ALL)]

    assert exported == [one.id, *(event.id for event in more)]


def test_equal_events_of_one_moment_are_one_with_a_count(audit):
    for _ in range(3):
        audit.note(ANA, EventType.CREDENTIAL_VENDED, LAKES)
    audit.note(ANA, EventType.CREDENTIAL_VENDED, ROADS)
    audit.note(ANA, EventType.REQUEST_DENIED, LAKES, outcome=Outcome.DENIED)
    audit.flush()
    audit.note(ANA, EventType.CREDENTIAL_VENDED, LAKES)
    audit.flush()

    found = audit.list(ANA, ALL, limit=10).items
    assert [(e.type.value, e.subject.name, e.occurrences) for e in found] == [
        ("table.credential_vended", "geo.lakes", 1),
        ("request.denied", "geo.lakes", 1),
        ("table.credential_vended", "geo.roads", 1),
        ("table.credential_vended", "geo.lakes", 3),
    ]


def test_nobody_in_particular_is_not_noted(audit):
    audit.note(replace(ANA, organisation_id=""), EventType.REQUEST_DENIED, LAKES)
    audit.flush()

    assert audit.list(ANA, ALL, limit=10).items == []


def test_events_are_forgotten_when_the_retention_is_over_and_not_before(audit, did, clock):
    did(ANA, EventType.TABLE_CREATED, LAKES)
    clock.advance(ms=7 * DAY_MS)
    did(ANA, EventType.TABLE_DROPPED, LAKES)

    audit.remove_expired(Event())
    assert len(audit.list(ANA, ALL, limit=10).items) == 2
    clock.advance(ms=1)
    audit.remove_expired(Event())

    assert names(audit.list(ANA, ALL, limit=10)) == [("table.dropped", "geo.lakes")]
