"""Identity providers, and who of theirs is which member, in SQL.  Functions over a connection."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.engine import violates
from graticule.db.members import member_of
from graticule.db.schema import issuers, member_identities, members, organisations
from graticule.domain.errors import AlreadyExists
from graticule.domain.issuer import Issuer
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Edition, Member

Open = Callable[[str, str], Secret]
"""Opens a sealed client secret; takes the issuer's id and what is stored."""


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    member: Member
    edition: Edition
    synchronised_at_ms: int


def create(conn: Connection, issuer: Issuer, *, sealed_client_secret: str | None) -> None:
    """Insert an issuer.

    Raises:
        AlreadyExists: the name or the URL is taken.
    """
    try:
        conn.execute(
            insert(issuers).values(
                id=issuer.id,
                name=issuer.name,
                url=issuer.url,
                audiences=json.dumps(issuer.audiences),
                client_id=issuer.client_id,
                sealed_client_secret=sealed_client_secret,
                organisation_id=issuer.organisation_id,
                organisation_claim=issuer.organisation_claim,
                role_claim=issuer.role_claim,
                admin_values=json.dumps(issuer.admin_values),
                user_values=json.dumps(issuer.user_values),
                name_claim=issuer.name_claim,
                auto_provision=issuer.auto_provision,
                created_at_ms=issuer.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, issuers, "name"):
            raise AlreadyExists(f"issuer `{issuer.name}` exists") from error
        if violates(error, issuers, "url"):
            raise AlreadyExists(f"the issuer at `{issuer.url}` exists") from error
        raise


def list_all(conn: Connection, *, open_secret: Open) -> list[Issuer]:
    rows = conn.execute(select(issuers).order_by(issuers.c.name))
    return [_issuer(row, open_secret) for row in rows]


def remove(conn: Connection, name: str) -> bool:
    """Delete an issuer, and who its subjects are; False if there is none."""
    return conn.execute(delete(issuers).where(issuers.c.name == name)).rowcount == 1


def find_identity(
    conn: Connection, issuer: Issuer, subject: str, *, organisation: str | None
) -> KnownIdentity | None:
    """The member behind a subject, in the named organisation or the issuer's own."""
    query = (
        select(members, organisations.c.edition, member_identities.c.synchronised_at_ms)
        .join(member_identities, member_identities.c.member_id == members.c.id)
        .join(organisations, organisations.c.id == members.c.organisation_id)
        .where(member_identities.c.issuer_id == issuer.id, member_identities.c.subject == subject)
    )
    if organisation is None:
        query = query.where(organisations.c.id == issuer.organisation_id)
    else:
        query = query.where(organisations.c.name == organisation)
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    return KnownIdentity(member_of(row), Edition(row.edition), row.synchronised_at_ms)


def load_linked(
    conn: Connection, member_id: str, issuer_name: str
) -> tuple[Member, Edition] | None:
    """A member, if somebody at the issuer of this name is it."""
    row = conn.execute(
        select(members, organisations.c.edition)
        .join(organisations, organisations.c.id == members.c.organisation_id)
        .join(member_identities, member_identities.c.member_id == members.c.id)
        .join(issuers, issuers.c.id == member_identities.c.issuer_id)
        .where(members.c.id == member_id, issuers.c.name == issuer_name)
        .limit(1)
    ).one_or_none()
    return None if row is None else (member_of(row), Edition(row.edition))


def link(
    conn: Connection, issuer_id: str, subject: str, member: Member, *, at_ms: int, now_ms: int
) -> None:
    """Make a subject of an issuer a member.

    Raises:
        AlreadyExists: it is one of this organisation already.
    """
    try:
        conn.execute(
            insert(member_identities).values(
                issuer_id=issuer_id,
                subject=subject,
                organisation_id=member.organisation_id,
                member_id=member.id,
                synchronised_at_ms=at_ms,
                created_at_ms=now_ms,
            )
        )
    except IntegrityError as error:
        raise AlreadyExists(f"the subject `{subject}` is a member already") from error


def note_synchronised(conn: Connection, member_id: str, *, at_ms: int) -> None:
    """Let no older claim count for the member's role any more."""
    conn.execute(
        update(member_identities)
        .where(
            member_identities.c.member_id == member_id,
            member_identities.c.synchronised_at_ms < at_ms,
        )
        .values(synchronised_at_ms=at_ms)
    )


def identities_of(conn: Connection, member_id: str) -> list[tuple[str, str]]:
    """Issuer names and subjects of a member."""
    rows = conn.execute(
        select(issuers.c.name, member_identities.c.subject)
        .join(member_identities, member_identities.c.issuer_id == issuers.c.id)
        .where(member_identities.c.member_id == member_id)
        .order_by(issuers.c.name, member_identities.c.subject)
    )
    return [(row.name, row.subject) for row in rows]


def unlink(conn: Connection, issuer_id: str, member_id: str) -> bool:
    statement = delete(member_identities).where(
        member_identities.c.issuer_id == issuer_id, member_identities.c.member_id == member_id
    )
    return conn.execute(statement).rowcount > 0


def _issuer(row: Row[Any], open_secret: Open) -> Issuer:
    sealed = row.sealed_client_secret
    return Issuer(
        id=row.id,
        name=row.name,
        url=row.url,
        audiences=tuple(json.loads(row.audiences)),
        client_id=row.client_id,
        client_secret=None if sealed is None else open_secret(row.id, sealed),
        organisation_id=row.organisation_id,
        organisation_claim=row.organisation_claim,
        role_claim=row.role_claim,
        admin_values=tuple(json.loads(row.admin_values)),
        user_values=tuple(json.loads(row.user_values)),
        name_claim=row.name_claim,
        auto_provision=row.auto_provision,
        created_at_ms=row.created_at_ms,
    )
