"""Whose a file is: the tables that it may belong to, in SQL.  Functions over a connection."""

import json

from sqlalchemy import Connection, or_, select

from graticule.db.schema import catalogs, namespaces, tables
from graticule.domain.identifiers import Namespace, TableIdentifier


def tables_of(conn: Connection, integration_id: str, uri: str) -> list[tuple[str, TableIdentifier]]:
    """The tables in or among whose places this object lies, each with its catalog's id."""
    places = [uri]
    while (folder := places[-1].rstrip("/").rpartition("/")[0]) != "s3:/":
        places.append(f"{folder}/")
    query = (
        select(
            tables.c.catalog_id,
            tables.c.name,
            tables.c.location,
            tables.c.sources,
            namespaces.c.path,
        )
        .join(catalogs, catalogs.c.id == tables.c.catalog_id)
        .join(namespaces, namespaces.c.id == tables.c.namespace_id)
        .where(
            catalogs.c.integration_id == integration_id,
            or_(
                tables.c.location.in_(places),
                *(tables.c.sources.contains(json.dumps(at), autoescape=True) for at in places),
            ),
        )
    )
    return [
        (row.catalog_id, TableIdentifier(Namespace.from_path(row.path), row.name))
        for row in conn.execute(query)
        if not set(places).isdisjoint([row.location, *json.loads(row.sources or "[]")])
    ]
