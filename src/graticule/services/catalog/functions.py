"""What can be done with SQL functions.  Transactions and authorisation live here.

The specification only lists and loads them; changes come by the management API, and each names the
version it was made from.  The document lives in the database: functions have no files.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import functions as functions_db
from graticule.db.engine import read, write
from graticule.domain.audit import EventType, of_function
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import AlreadyExists, CommitConflict, InvalidRequest, NoSuchFunction
from graticule.domain.function import FunctionRecord
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import Namespace, check_object_name
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.iceberg.functions import new_function, replaced_function
from graticule.services.catalog import objects
from graticule.services.events import audit_trail
from graticule.services.pages import Page, page

Json = dict[str, Any]
log = structlog.get_logger(__name__)

DOCUMENT_BYTES_MAX: Final = 1024 * 1024


class Functions:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def list_names(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        *,
        after: str = "",
        limit: int | None = None,
    ) -> Page:
        """The names of a namespace's functions, in order.

        Raises:
            NoSuchNamespace: it is not there.
        """
        require(principal, Action.READ_CATALOG)
        with read(self._engine) as conn:
            there = objects.visible_namespace(conn, principal, catalog, namespace)
            if not there.standing.holds(Privilege.BROWSE):
                return Page((), None)
            found = functions_db.list_names(
                conn, there.record.id, after=after, limit=None if limit is None else limit + 1
            )
        return page(found, limit, key=str)

    def list(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        *,
        after: str | None,
        limit: int,
    ) -> Page:
        """The functions of a namespace, in the order they were made.

        Raises:
            NoSuchNamespace: it is not there.
        """
        require(principal, Action.READ_CATALOG)
        with read(self._engine) as conn:
            there = objects.visible_namespace(conn, principal, catalog, namespace)
            if not there.standing.holds(Privilege.BROWSE):
                return Page((), None)
            found = functions_db.page(conn, there.record.id, after=after, limit=limit + 1)
        return page(found, limit, key=lambda function: function.id)

    def load(
        self, principal: Principal, catalog: OpenCatalog, namespace: Namespace, name: str
    ) -> FunctionRecord:
        """A function with all its definitions.

        Raises:
            NoSuchNamespace: its namespace is not there.
            NoSuchFunction: it is not there.
        """
        require(principal, Action.READ_CATALOG)
        with read(self._engine) as conn:
            return _require(conn, principal, catalog, namespace, name, needed=Privilege.READ)

    def create(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        name: str,
        wanted: Json,
    ) -> FunctionRecord:
        """Make a function; `wanted` says what it does, see `iceberg.functions`.

        Raises:
            NoSuchNamespace: its namespace is not there.
            AlreadyExists: the namespace has one of that name.
            InvalidRequest: `wanted` makes no function.
        """
        require(principal, Action.WRITE_CATALOG)
        check_object_name(name, of="function name")
        now_ms = self._now_ms()
        document = new_function(wanted, function_uuid=str(uuid7()), now_ms=now_ms)
        _check_size(document)
        with write(self._engine) as conn:
            found = objects.namespace(conn, principal, catalog, namespace, Privilege.WRITE)
            record = FunctionRecord(
                id=str(uuid7()),
                catalog_id=catalog.catalog.id,
                namespace_id=found.id,
                namespace=namespace,
                name=name,
                document=document,
                version=1,
                created_at_ms=now_ms,
                updated_at_ms=now_ms,
            )
            if functions_db.load(conn, found.id, name) is not None:
                raise AlreadyExists(f"Function already exists: {record}")
            functions_db.create(conn, record)
            self._tell(conn, principal, EventType.FUNCTION_CREATED, record)
        log.info("function created", function=str(record), function_id=record.id)
        return record

    def replace(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        name: str,
        wanted: Json,
        *,
        version: int,
    ) -> FunctionRecord:
        """Say anew what a function does, if it still is at `version`.

        What does the same as before stays as it is, and leaves the version as it is.

        Raises:
            NoSuchFunction: it is not there.
            CommitConflict: it is at another version.
            InvalidRequest: `wanted` makes no function.
        """
        require(principal, Action.WRITE_CATALOG)
        now_ms = self._now_ms()
        with write(self._engine) as conn:
            record = _require(conn, principal, catalog, namespace, name, needed=Privilege.WRITE)
            _check_version(record, version)
            before = dict(record.document)
            document = replaced_function(before, wanted, now_ms=now_ms)
            if document is before:
                return record
            _check_size(document)
            changed = replace(
                record, document=document, version=record.version + 1, updated_at_ms=now_ms
            )
            if not functions_db.replace(conn, changed, expected_version=version):
                raise _conflict(record, version)
            self._tell(conn, principal, EventType.FUNCTION_REPLACED, changed)
        log.info("function replaced", function=str(changed), version=changed.version)
        return changed

    def drop(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        name: str,
        *,
        version: int | None,
    ) -> None:
        """Forget a function; if a version is given, only when it still is at that one.

        Raises:
            NoSuchFunction: it is not there.
            CommitConflict: it is at another version.
        """
        require(principal, Action.WRITE_CATALOG)
        with write(self._engine) as conn:
            record = _require(conn, principal, catalog, namespace, name, needed=Privilege.WRITE)
            if version is not None:
                _check_version(record, version)
            if not functions_db.drop(conn, record.id, expected_version=record.version):
                raise _conflict(record, record.version)
            self._tell(conn, principal, EventType.FUNCTION_DROPPED, record)
        log.info("function dropped", function=str(record), function_id=record.id)

    def _tell(
        self, conn: Connection, principal: Principal, type_: EventType, record: FunctionRecord
    ) -> None:
        subject, by = of_function(record), Privilege.WRITE
        audit_trail.record(conn, principal, type_, subject, now_ms=self._now_ms(), by=by)


def _require(
    conn: Connection,
    principal: Principal,
    catalog: OpenCatalog,
    namespace: Namespace,
    name: str,
    *,
    needed: Privilege,
) -> FunctionRecord:
    """A function, of which nothing is granted by itself: what counts is held on its namespace."""
    found = objects.namespace(conn, principal, catalog, namespace, needed)
    record = functions_db.load(conn, found.id, name)
    if record is None:
        raise NoSuchFunction(f"Function does not exist: {namespace}.{name}")
    return record


def _check_version(record: FunctionRecord, version: int) -> None:
    if record.version != version:
        raise _conflict(record, version)


def _conflict(record: FunctionRecord, version: int) -> CommitConflict:
    return CommitConflict(
        f"function `{record}` is not at version {version} any more; "
        "load it and make the change again"
    )


def _check_size(document: Json) -> None:
    size_bytes = len(metadata.encode(document))
    if size_bytes > DOCUMENT_BYTES_MAX:
        raise InvalidRequest(
            f"the function's metadata takes {size_bytes} bytes; at most {DOCUMENT_BYTES_MAX} "
            "are kept"
        )
