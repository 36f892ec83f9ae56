"""Organisations in SQL.  Functions over a connection."""

from typing import Any

from sqlalchemy import Connection, Select, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.engine import violates
from graticule.db.schema import organisations
from graticule.domain.errors import AlreadyExists, NoSuchOrganisation
from graticule.domain.tenancy import Edition, Organisation


def has_any(conn: Connection) -> bool:
    return bool(conn.execute(select(exists(select(organisations.c.id)))).scalar())


def create(conn: Connection, organisation: Organisation) -> None:
    """Insert an organisation.

    Raises:
        AlreadyExists: the name is taken.
    """
    try:
        conn.execute(
            insert(organisations).values(
                id=organisation.id,
                name=organisation.name,
                edition=organisation.edition,
                created_at_ms=organisation.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, organisations, "name"):
            raise AlreadyExists(f"organisation `{organisation.name}` exists") from error
        raise


def load(conn: Connection, organisation_id: str) -> Organisation | None:
    return _organisation(conn, select(organisations).where(organisations.c.id == organisation_id))


def load_by_name(conn: Connection, name: str) -> Organisation | None:
    return _organisation(conn, select(organisations).where(organisations.c.name == name))


def require_by_name(conn: Connection, name: str) -> Organisation:
    """An organisation by name.

    Raises:
        NoSuchOrganisation: no such organisation.
    """
    found = load_by_name(conn, name)
    if found is None:
        raise NoSuchOrganisation(f"no organisation is called `{name}`")
    return found


def load_only(conn: Connection) -> Organisation | None:
    """The organisation of a server that has one."""
    found = list_all(conn)
    return found[0] if len(found) == 1 else None


def _organisation(conn: Connection, query: Select[Any]) -> Organisation | None:
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    return Organisation(row.id, row.name, Edition(row.edition), row.created_at_ms)


def list_all(conn: Connection) -> list[Organisation]:
    """Every organisation of the server: for its operator, never for a member."""
    rows = conn.execute(select(organisations).order_by(organisations.c.id))
    return [Organisation(row.id, row.name, Edition(row.edition), row.created_at_ms) for row in rows]


def set_edition(conn: Connection, organisation_id: str, edition: Edition) -> None:
    conn.execute(
        update(organisations).where(organisations.c.id == organisation_id).values(edition=edition)
    )
