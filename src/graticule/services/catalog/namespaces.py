"""What can be done with namespaces.  Transactions and authorisation live here."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Final

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import grants as grants_db
from graticule.db import idempotency as idempotency_db
from graticule.db import namespaces as namespaces_db
from graticule.db.engine import read, write
from graticule.domain.audit import EventType, of_namespace
from graticule.domain.catalog import NamespaceRecord, OpenCatalog
from graticule.domain.errors import AlreadyExists, InvalidRequest, UnprocessableProperties
from graticule.domain.grants import Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import Namespace
from graticule.domain.tenancy import Principal
from graticule.services.catalog import objects
from graticule.services.events import audit_trail
from graticule.services.pages import Page, page

PROPERTIES_BYTES_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class PropertiesChange:
    updated: Sequence[str]
    removed: Sequence[str]
    missing: Sequence[str]


class Namespaces:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def list_children(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        parent: Namespace | None,
        *,
        after: str = "",
        limit: int | None = None,
    ) -> Page:
        """Those direct children of a namespace, or of the top level, that may be seen.

        Raises:
            NoSuchNamespace: the parent is not there, or not for this principal to know of.
        """
        require(principal, Action.READ_CATALOG)
        catalog_id = catalog.catalog.id
        at_most = None if limit is None else limit + 1
        with read(self._engine) as conn:
            if parent is not None:
                standing = objects.visible_namespace(conn, principal, catalog, parent).standing
            else:
                standing = catalogs_db.standing(conn, principal, catalog_id)
            if standing.holds(Privilege.BROWSE):
                found = namespaces_db.list_children(
                    conn, catalog_id, parent, after=after, limit=at_most
                )
            else:
                found = namespaces_db.list_children_on_the_way(
                    conn, principal, catalog_id, parent, after=after, limit=at_most
                )
        return page(found, limit, key=lambda namespace: namespace.path)

    def load(
        self, principal: Principal, catalog: OpenCatalog, namespace: Namespace
    ) -> NamespaceRecord:
        """A namespace; without its properties, if it is seen only on the way to something below.

        Raises:
            NoSuchNamespace: it is not there, or not for this principal to know of.
        """
        require(principal, Action.READ_CATALOG)
        with read(self._engine) as conn:
            found = objects.visible_namespace(conn, principal, catalog, namespace)
        if found.standing.holds(Privilege.BROWSE):
            return found.record
        return replace(found.record, properties={})

    def ensure(self, principal: Principal, catalog: OpenCatalog, namespace: Namespace) -> None:
        """Create a namespace and those above it, as far as they are not there.

        Raises:
            Forbidden: what one is to be created in is not its to write.
        """
        for depth in range(1, len(namespace.levels) + 1):
            with suppress(AlreadyExists):
                self.create(principal, catalog, Namespace(namespace.levels[:depth]), {})

    def create(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        properties: Mapping[str, str],
        *,
        request: IdempotentRequest | None = None,
    ) -> NamespaceRecord:
        """Create a namespace below one that is there, or at the top.

        Raises:
            AlreadyExists: the catalog has it.
            NoSuchNamespace: its parent is not there, or not for this principal to know of.
            Forbidden: the parent, or the catalog, is not its to write.
        """
        require(principal, Action.WRITE_CATALOG)
        _check(properties)
        record = NamespaceRecord(
            id=str(uuid7()),
            catalog_id=catalog.catalog.id,
            namespace=namespace,
            properties=dict(properties),
            created_at_ms=self._now_ms(),
        )
        if request is not None and request.landed is not None:
            return record  # the same request made the same namespace
        with write(self._engine) as conn:
            objects.parent(conn, principal, catalog, namespace.parent, Privilege.WRITE)
            idempotency_db.claim(conn, request, {"namespace": record.id})
            namespaces_db.create(conn, record)
            grants_db.own_namespace(conn, principal, record)
            self._tell(conn, principal, EventType.NAMESPACE_CREATED, record, Privilege.WRITE)
        return record

    def drop(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        *,
        request: IdempotentRequest | None = None,
    ) -> None:
        """Drop an empty namespace.

        Raises:
            NoSuchNamespace: it is not there, or not for this principal to know of.
            Forbidden: it is not its to manage.
            NamespaceNotEmpty: it holds tables, views or namespaces.
        """
        require(principal, Action.WRITE_CATALOG)
        with write(self._engine) as conn:
            record = objects.namespace(conn, principal, catalog, namespace, Privilege.MANAGE)
            idempotency_db.claim(conn, request)
            namespaces_db.drop(conn, catalog.catalog.id, namespace)
            self._tell(conn, principal, EventType.NAMESPACE_DROPPED, record, Privilege.MANAGE)

    def update_properties(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        *,
        removals: Sequence[str],
        updates: Mapping[str, str],
        request: IdempotentRequest | None = None,
    ) -> PropertiesChange:
        """Set and remove properties at once; names to remove that are not there are reported.

        Raises:
            UnprocessableProperties: a name is to be both set and removed.
            NoSuchNamespace: it is not there, or not for this principal to know of.
            Forbidden: it is not its to write.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            return PropertiesChange(**request.landed)
        both = sorted(set(removals) & set(updates))
        if both:
            raise UnprocessableProperties(
                f"cannot set and remove the same property: {', '.join(both)}"
            )
        with write(self._engine) as conn:
            objects.namespace(conn, principal, catalog, namespace, Privilege.WRITE)
            record = namespaces_db.load_for_update(conn, catalog.catalog.id, namespace)
            removed = [name for name in dict.fromkeys(removals) if name in record.properties]
            missing = [name for name in dict.fromkeys(removals) if name not in record.properties]
            kept = {k: v for k, v in record.properties.items() if k not in set(removed)}
            properties = {**kept, **updates}
            _check(properties)
            change = PropertiesChange(updated=list(updates), removed=removed, missing=missing)
            idempotency_db.claim(conn, request, asdict(change))
            namespaces_db.set_properties(conn, record.id, properties)
            self._tell(conn, principal, EventType.NAMESPACE_UPDATED, record, Privilege.WRITE)
        return change

    def _tell(
        self,
        conn: Connection,
        principal: Principal,
        type_: EventType,
        record: NamespaceRecord,
        by: Privilege,
    ) -> None:
        subject = of_namespace(record)
        audit_trail.record(conn, principal, type_, subject, now_ms=self._now_ms(), by=by)


def _check(properties: Mapping[str, str]) -> None:
    if "" in properties:
        raise InvalidRequest("a property needs a name")
    size = len(json.dumps(dict(properties)))
    if size > PROPERTIES_BYTES_MAX:
        raise InvalidRequest(
            f"the properties take {size} bytes; at most {PROPERTIES_BYTES_MAX} are kept"
        )
