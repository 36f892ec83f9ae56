"""Functions in SQL.  Functions over a connection; services open and commit."""

import json
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.schema import functions, namespaces
from graticule.domain.errors import AlreadyExists
from graticule.domain.function import FunctionRecord
from graticule.domain.identifiers import Namespace

Json = dict[str, Any]


def _record(row: Row[Any]) -> FunctionRecord:
    return FunctionRecord(
        id=row.id,
        catalog_id=row.catalog_id,
        namespace_id=row.namespace_id,
        namespace=Namespace.from_path(row.namespace_path),
        name=row.name,
        document=json.loads(row.document),
        version=row.version,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
    )


def _select(namespace_id: str) -> Select[Any]:
    return (
        select(functions, namespaces.c.path.label("namespace_path"))
        .join(namespaces, namespaces.c.id == functions.c.namespace_id)
        .where(functions.c.namespace_id == namespace_id)
    )


def create(conn: Connection, record: FunctionRecord) -> None:
    """Insert a function.

    Raises:
        AlreadyExists: the namespace has one of that name.
    """
    try:
        conn.execute(
            insert(functions).values(
                id=record.id,
                catalog_id=record.catalog_id,
                namespace_id=record.namespace_id,
                name=record.name,
                function_uuid=record.document["function-uuid"],
                document=json.dumps(dict(record.document)),
                version=record.version,
                created_at_ms=record.created_at_ms,
                updated_at_ms=record.updated_at_ms,
            )
        )
    except IntegrityError as error:
        raise AlreadyExists(f"Function already exists: {record}") from error


def load(conn: Connection, namespace_id: str, name: str) -> FunctionRecord | None:
    row = conn.execute(_select(namespace_id).where(functions.c.name == name)).one_or_none()
    return _record(row) if row is not None else None


def list_names(conn: Connection, namespace_id: str, *, after: str, limit: int | None) -> list[str]:
    """Names in order, those after `after`; all of them without a limit."""
    query = (
        select(functions.c.name)
        .where(functions.c.namespace_id == namespace_id, functions.c.name > after)
        .order_by(functions.c.name)
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def page(
    conn: Connection, namespace_id: str, *, after: str | None, limit: int
) -> list[FunctionRecord]:
    """Functions in the order they were made, those after the id `after`."""
    query = _select(namespace_id)
    if after is not None:
        query = query.where(functions.c.id > after)
    return [_record(row) for row in conn.execute(query.order_by(functions.c.id).limit(limit))]


def replace(conn: Connection, record: FunctionRecord, *, expected_version: int) -> bool:
    """Put `record` in place of its earlier self.  False if that is not at `expected_version`."""
    replaced = conn.execute(
        update(functions)
        .where(functions.c.id == record.id, functions.c.version == expected_version)
        .values(
            document=json.dumps(dict(record.document)),
            version=record.version,
            updated_at_ms=record.updated_at_ms,
        )
    )
    return replaced.rowcount == 1


def drop(conn: Connection, function_id: str, *, expected_version: int) -> bool:
    """Forget a function.  False if it is gone, or not at `expected_version`."""
    dropped = conn.execute(
        delete(functions).where(
            functions.c.id == function_id, functions.c.version == expected_version
        )
    )
    return dropped.rowcount == 1
