"""What the audit log is told about members, keys, sessions, issuers and organisations.

Each is written in the transaction of the change that it tells of.
"""

from typing import Any

from sqlalchemy import Connection

from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.issuer import Issuer
from graticule.domain.tenancy import (
    ALL_SCOPES,
    NOWHERE,
    ApiKey,
    Edition,
    Member,
    Organisation,
    Origin,
    Principal,
    Role,
    Session,
)
from graticule.services.events.audit_trail import record


def as_member(member: Member, *, credential_id: str = "", origin: Origin = NOWHERE) -> Principal:
    """A member as the one who acts, where no request was authenticated as it: at signing in."""
    return Principal(
        organisation_id=member.organisation_id,
        member_id=member.id,
        name=member.name,
        edition=Edition.COMMUNITY,  # decides nothing here
        role=member.role,
        scopes=ALL_SCOPES,
        key_id=credential_id,
        origin=origin,
    )


def operator_in(organisation_id: str) -> Principal:
    """Whoever holds the database, as the one who acts."""
    return Principal(
        organisation_id=organisation_id,
        member_id="",
        name="operator",
        edition=Edition.COMMUNITY,
        role=Role.ADMIN,
        scopes=ALL_SCOPES,
        key_id="",
    )


def tell_of_member(
    conn: Connection,
    principal: Principal,
    type_: EventType,
    member: Member,
    *,
    now_ms: int,
    **details: Any,
) -> None:
    subject = Subject(SubjectKind.MEMBER, member.id, member.name)
    record(conn, principal, type_, subject, now_ms=now_ms, details=details)


def tell_of_key(
    conn: Connection, principal: Principal, type_: EventType, key: ApiKey, *, now_ms: int
) -> None:
    subject = Subject(SubjectKind.API_KEY, key.id, key.name)
    details = {"member_id": key.member_id, "scopes": sorted(key.scopes)}
    record(conn, principal, type_, subject, now_ms=now_ms, details=details)


def tell_of_session(
    conn: Connection, principal: Principal, type_: EventType, session: Session, *, now_ms: int
) -> None:
    subject = Subject(SubjectKind.SESSION, session.id, session.method)
    record(conn, principal, type_, subject, now_ms=now_ms)


def tell_of_issuer(conn: Connection, type_: EventType, issuer: Issuer, *, now_ms: int) -> None:
    subject = Subject(SubjectKind.ISSUER, issuer.id, issuer.name)
    principal = operator_in(issuer.organisation_id)
    record(conn, principal, type_, subject, now_ms=now_ms, details={"url": issuer.url})


def tell_of_organisation(
    conn: Connection, type_: EventType, organisation: Organisation, *, now_ms: int
) -> None:
    subject = Subject(SubjectKind.ORGANISATION, organisation.id, organisation.name)
    details = {"edition": organisation.edition}
    principal = operator_in(organisation.id)
    record(conn, principal, type_, subject, now_ms=now_ms, details=details)
