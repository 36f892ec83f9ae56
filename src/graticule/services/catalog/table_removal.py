"""How a table goes: forgotten, or purged with its files.  Transactions and authorisation live here.

`services.maintenance` deletes the files, from what the transaction leaves behind.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import idempotency as idempotency_db
from graticule.db import purges as purges_db
from graticule.db import tables as tables_db
from graticule.db.engine import write
from graticule.domain.audit import EventType, of_table
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import InvalidRequest, Unavailable
from graticule.domain.grants import Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.iceberg.properties import allows_purge
from graticule.services.catalog import objects
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.index_orders import index_files_of, order_removal
from graticule.services.catalog.objects import no_such_table
from graticule.services.events import audit_trail

PURGE_ATTEMPTS_MAX: Final = 4
"""Commits that may come in between reading a table's document and dropping the table."""


class TableRemoval:
    def __init__(self, engine: Engine, documents: Documents, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._documents = documents
        self._now_ms = now_ms

    def drop(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        purge: bool = False,
        request: IdempotentRequest | None = None,
    ) -> None:
        """Forget a table.  Its files stay, or are deleted later on if they are to be purged.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            Forbidden: it is not its to manage.
            InvalidRequest: its files may belong to others as well (`gc.enabled`).
            ReadOnlyStorage: they are to be purged, where nothing may be deleted.
        """
        require(principal, Action.WRITE_CATALOG)
        if purge:
            catalog.integration.require_writable()
            self._purge(principal, catalog, identifier, request)
            return
        with write(self._engine) as conn:
            idempotency_db.claim(conn, request)
            record = objects.table(conn, principal, catalog, identifier, Privilege.MANAGE).record
            files = index_files_of(conn, record)
            if not tables_db.drop(conn, record.id):
                raise no_such_table(identifier)
            order_removal(conn, principal, record, files)
            self._tell(conn, principal, record)

    def _purge(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: IdempotentRequest | None,
    ) -> None:
        """Drop the very version that was looked at, and order its files deleted."""
        for _ in range(PURGE_ATTEMPTS_MAX):
            record = objects.look_up_table(
                self._engine, principal, catalog, identifier, Privilege.MANAGE
            ).record
            document = self._documents.parsed(record, catalog.integration)
            if not allows_purge(metadata.properties(document)):
                raise InvalidRequest(
                    "Cannot purge table: GC is disabled (deleting files may corrupt other tables)"
                )
            with write(self._engine) as conn:
                if tables_db.drop(conn, record.id, expected=record.metadata_location):
                    idempotency_db.claim(conn, request)
                    purges_db.create(conn, record, purge_id=str(uuid7()), now_ms=self._now_ms())
                    self._tell(conn, principal, record, purged=True)
                    return
        raise Unavailable(f"`{identifier}` is being written to; nothing was dropped, try again")

    def _tell(
        self, conn: Connection, principal: Principal, record: TableRecord, **details: bool
    ) -> None:
        audit_trail.record(
            conn,
            principal,
            EventType.TABLE_DROPPED,
            of_table(record),
            now_ms=self._now_ms(),
            by=Privilege.MANAGE,
            details=details,
        )
