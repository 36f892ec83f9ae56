"""Catalogs in SQL.  Functions over a connection; services open and commit.

Every look-up names the organisation, so that another one's catalog is simply not there.
"""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, exists, insert, or_, select
from sqlalchemy.exc import IntegrityError

from graticule.access.grants import EVERYTHING, Standing, highest, sees_everything
from graticule.db import visibility
from graticule.db.engine import violates
from graticule.db.scan_parts import PartState
from graticule.db.schema import (
    catalogs,
    namespaces,
    organisations,
    purges,
    scan_parts,
    scans,
    storage_integrations,
)
from graticule.db.schema import tables as tables_
from graticule.domain.catalog import OWN_FOLDER, BucketType, Catalog
from graticule.domain.errors import AlreadyExists, InUse, InvalidLocation, NoSuchIntegration
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal


def create(conn: Connection, catalog: Catalog) -> None:
    """Insert a catalog; its integration is held until the transaction ends.

    Raises:
        AlreadyExists: the organisation has one of that name.
        NoSuchIntegration: the integration was deleted, or moved elsewhere, meanwhile.
    """
    held = (
        select(storage_integrations.c.bucket, storage_integrations.c.key)
        .where(storage_integrations.c.id == catalog.integration_id)
        .with_for_update(read=True)
    )
    place = conn.execute(held).one_or_none()
    if place is None or not catalog.location.is_within(Location(*place)):
        raise NoSuchIntegration("the storage integration was deleted or moved meanwhile")
    try:
        conn.execute(
            insert(catalogs).values(
                id=catalog.id,
                organisation_id=catalog.organisation_id,
                integration_id=catalog.integration_id,
                name=catalog.name,
                location=catalog.location.uri,
                properties=json.dumps(dict(catalog.properties)),
                forced_on=catalog.forced_on,
                created_at_ms=catalog.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, catalogs, "organisation_id", "name"):
            raise AlreadyExists(f"catalog `{catalog.name}` exists") from error
        raise


def load(conn: Connection, organisation_id: str, catalog_id: str) -> Catalog | None:
    row = conn.execute(
        select(catalogs).where(
            catalogs.c.id == catalog_id, catalogs.c.organisation_id == organisation_id
        )
    ).one_or_none()
    return _catalog(row) if row is not None else None


def find(conn: Connection, principal: Principal, id_or_name: str) -> Catalog | None:
    """A catalog of the principal's organisation that it may see; an id wins over a name."""
    named = or_(catalogs.c.id == id_or_name, catalogs.c.name == id_or_name)
    return _first(conn, principal, _visible(principal, named), id_or_name)


def find_qualified(
    conn: Connection, principal: Principal, organisation: str, catalog: str
) -> Catalog | None:
    """As `find`, for `organisation/catalog`: the organisation by its own id or name."""
    named = exists().where(
        organisations.c.id == principal.organisation_id,
        or_(organisations.c.id == organisation, organisations.c.name == organisation),
    )
    wanted = or_(catalogs.c.id == catalog, catalogs.c.name == catalog)
    return _first(conn, principal, _visible(principal, named, wanted), catalog)


def _first(
    conn: Connection, principal: Principal, query: Select[Any], id_or_name: str
) -> Catalog | None:
    query = query.order_by(catalogs.c.id != id_or_name).limit(1)
    return next(iter(_rows(conn, principal, query)), None)


def page(conn: Connection, principal: Principal, *, after: str | None, limit: int) -> list[Catalog]:
    """The catalogs of the principal's organisation that it may see, oldest first."""
    query = _visible(principal)
    if after is not None:
        query = query.where(catalogs.c.id > after)
    return _rows(conn, principal, query.order_by(catalogs.c.id).limit(limit))


def _visible(principal: Principal, *which: ColumnElement[bool]) -> Select[Any]:
    """Those catalogs of the principal's organisation that are granted, or in which something is."""
    query = select(catalogs).where(catalogs.c.organisation_id == principal.organisation_id, *which)
    if sees_everything(principal):
        return query
    held = visibility.privilege_from_scopes(0, catalogs.c.id).label("from_scopes")
    return query.add_columns(held).where(visibility.any_in_catalog())


def _rows(conn: Connection, principal: Principal, query: Select[Any]) -> list[Catalog]:
    """What is seen only on the way to something below is seen without its properties."""
    if sees_everything(principal):
        return [_catalog(row) for row in conn.execute(query)]
    asked = visibility.who(principal) | visibility.scope_paths(None)
    return [
        _catalog(row) if row.from_scopes is not None else replace(_catalog(row), properties={})
        for row in conn.execute(query, asked)
    ]


def standing(conn: Connection, principal: Principal, catalog_id: str) -> Standing:
    """What the principal may do with a catalog of its organisation."""
    if sees_everything(principal):
        return EVERYTHING
    query = select(
        visibility.privilege_from_scopes(0, catalogs.c.id).label("from_scopes"),
        visibility.any_in_catalog().label("leads_on"),
    ).where(catalogs.c.id == catalog_id)
    asked = visibility.who(principal) | visibility.scope_paths(None)
    row = conn.execute(query, asked).one_or_none()
    if row is None:
        return Standing(None)
    return Standing(highest([row.from_scopes]), bool(row.leads_on))


def organisation_of(conn: Connection, catalog_id: str) -> str | None:
    """Whose catalog it is; None if there is none of that id."""
    query = select(catalogs.c.organisation_id).where(catalogs.c.id == catalog_id)
    return conn.execute(query).scalar_one_or_none()


def locations_on(conn: Connection, integration_id: str) -> list[Location]:
    """The roots of all catalogs on an integration."""
    query = select(catalogs.c.location).where(catalogs.c.integration_id == integration_id)
    return [Location.parse(location) for location in conn.execute(query).scalars()]


def refuse_around(conn: Connection, integration_id: str, location: Location) -> None:
    """Refuse a location that holds the root of a catalog, or lies in the server's own folder there.

    Whose table it were could read what catalogs keep beside their tables, and nobody could have
    another table there.

    Raises:
        InvalidLocation: it does.
    """
    for root in locations_on(conn, integration_id):
        if root.is_within(location) or location.is_within(root.join(OWN_FOLDER)):
            raise InvalidLocation(f"`{location}` is where a catalog keeps its tables")


def remove(conn: Connection, catalog_id: str) -> bool:
    """Delete an empty catalog with the record of its scans.  False if it is gone.

    Raises:
        InUse: it holds namespaces or tables, or files of dropped ones, or of its scans, are still
            to be deleted.
    """
    in_use = InUse("the catalog holds namespaces or tables; drop them first")
    purging = exists().where(purges.c.catalog_id == catalog_id)
    if conn.execute(select(purging)).scalar():
        raise InUse("files of dropped tables are still being deleted; try again later")
    put_ready = (scan_parts.c.scan_id == scans.c.id) & (scans.c.catalog_id == catalog_id)
    if conn.execute(
        select(exists().where(put_ready, scan_parts.c.state != PartState.REMOVED))
    ).scalar():
        raise InUse(
            "what a scan put ready for other machines is still to be deleted; cancel the scan if "
            "it runs, and try again in a minute"
        )
    holds = or_(
        exists().where(namespaces.c.catalog_id == catalog_id),
        exists().where(tables_.c.catalog_id == catalog_id),
    )
    conn.execute(delete(scans).where(scans.c.catalog_id == catalog_id))
    try:
        gone = conn.execute(delete(catalogs).where(catalogs.c.id == catalog_id, ~holds)).rowcount
    except IntegrityError as error:  # a namespace was created meanwhile: the foreign key holds it
        raise in_use from error
    if gone:
        return True
    if conn.execute(select(exists().where(catalogs.c.id == catalog_id))).scalar():
        raise in_use
    return False


def _catalog(row: Row[Any]) -> Catalog:
    return Catalog(
        id=row.id,
        organisation_id=row.organisation_id,
        integration_id=row.integration_id,
        name=row.name,
        location=Location.parse(row.location),
        properties=json.loads(row.properties),
        created_at_ms=row.created_at_ms,
        forced_on=BucketType(row.forced_on) if row.forced_on is not None else None,
    )
