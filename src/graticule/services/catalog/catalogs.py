"""Catalogs: made on a private storage integration, found by what a client calls a warehouse.

Transactions and authorisation live here.  Another organisation's catalog is as absent as one that
never was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.grants import sees_everything
from graticule.access.keyring import Keyring
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import grants as grants_db
from graticule.db import integrations as integrations_db
from graticule.db.engine import read, transact
from graticule.domain.audit import EventType, of_catalog
from graticule.domain.catalog import BucketType, Catalog, OpenCatalog, StorageIntegration
from graticule.domain.errors import (
    NoSuchCatalog,
    NoSuchIntegration,
    NoSuchWarehouse,
    WrongState,
)
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import check_resource_name
from graticule.domain.location import parse_sub_path
from graticule.domain.tenancy import Principal
from graticule.iceberg.properties import check_properties
from graticule.services.catalog.box_orders import check_boxes
from graticule.services.catalog.planning_modes import check_mode
from graticule.services.events import audit_trail
from graticule.services.expiring_cache import ExpiringCache
from graticule.services.pages import Page, page

log = structlog.get_logger(__name__)

CATALOG_CACHE_MS: Final = 5_000
"""A catalog's row never changes and its integration rarely does; another replica may use what was
deleted for this long, and finds it empty.  Who lost the last grant in a catalog may for this long
still be told that it is there; what is in it is asked for at every request.
"""
CATALOGS_CACHED_MAX: Final = 10_000

_ANYONE: Final = "anyone can read the tables in it, and perhaps write them"


@dataclass(frozen=True, slots=True)
class CreatedCatalog:
    catalog: Catalog
    integration: StorageIntegration
    warning: str | None


class Catalogs:
    def __init__(self, engine: Engine, keyring: Keyring, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._keyring = keyring
        self._now_ms = now_ms
        self._opened: ExpiringCache[tuple[str, str], OpenCatalog] = ExpiringCache(
            lifetime_ms=CATALOG_CACHE_MS, entries_max=CATALOGS_CACHED_MAX, now_ms=now_ms
        )

    def create(
        self,
        principal: Principal,
        *,
        name: str,
        integration: str,
        sub_path: str | None = None,
        properties: Mapping[str, str] | None = None,
        force: bool = False,
        default_access: Privilege | None = Privilege.WRITE,
    ) -> CreatedCatalog:
        """Make a catalog on an integration (by id or name), in a folder of its own.

        Its maker manages it; `default_access` is what everyone else in the organisation may do.

        Raises:
            AlreadyExists: the organisation has one of that name.
            NoSuchIntegration: the organisation has no such integration.
            WrongState: tables would be written to a public bucket, and `force` is not set.
            InvalidRequest: a property that may not be, or a `scan-planning-mode` or
                `graticule.compute-boxes` that is none.
        """
        require(principal, Action.MANAGE_CATALOGS)
        check_resource_name(name, of="catalog")
        folder = parse_sub_path(sub_path)
        check_properties(properties or {})
        check_mode(properties or {})
        check_boxes(properties or {})
        catalog_id = str(uuid7())
        created = transact(
            self._engine,
            self._create,
            principal,
            catalog_id,
            name=name,
            integration=integration,
            folder=folder,
            properties=properties or {},
            force=force,
            default_access=default_access,
        )
        log.info("catalog created", catalog_id=catalog_id, integration_id=created.integration.id)
        return created

    def _create(
        self,
        conn: Connection,
        principal: Principal,
        catalog_id: str,
        *,
        name: str,
        integration: str,
        folder: str,
        properties: Mapping[str, str],
        force: bool,
        default_access: Privilege | None,
    ) -> CreatedCatalog:
        found = integrations_db.find(conn, self._keyring, principal.organisation_id, integration)
        if found is None:
            raise NoSuchIntegration(f"no storage integration is called `{integration}`")
        warning = _check_bucket(found, force=force)
        catalog = Catalog(
            id=catalog_id,
            organisation_id=principal.organisation_id,
            integration_id=found.id,
            name=name,
            location=found.location.join(folder, catalog_id),
            properties=dict(properties),
            created_at_ms=self._now_ms(),
            forced_on=_overruled(found),
        )
        catalogs_db.create(conn, catalog)
        grants_db.own_catalog(conn, principal, catalog)
        if default_access is not None:
            grants_db.open_to_everyone(conn, catalog, default_access, by=principal.name)
        audit_trail.record(
            conn,
            principal,
            EventType.CATALOG_CREATED,
            of_catalog(catalog),
            now_ms=catalog.created_at_ms,
            details={"integration_id": found.id, "location": catalog.location.uri},
        )
        return CreatedCatalog(catalog, found, warning)

    def list(self, principal: Principal, *, after: str | None = None, limit: int) -> Page:
        require(principal, Action.LIST_CATALOGS)
        with read(self._engine) as conn:
            found = catalogs_db.page(conn, principal, after=after, limit=limit + 1)
        return page(found, limit, key=lambda catalog: catalog.id)

    def get(self, principal: Principal, id_or_name: str) -> Catalog:
        """A catalog by id or name.

        Raises:
            NoSuchCatalog: the organisation has none, or not for this principal to know of.
        """
        require(principal, Action.LIST_CATALOGS)
        with read(self._engine) as conn:
            found = catalogs_db.find(conn, principal, id_or_name)
        if found is None:
            raise NoSuchCatalog(f"no catalog is called `{id_or_name}`")
        return found

    def open(self, principal: Principal, id_or_name: str) -> OpenCatalog:
        """A catalog with its integration, for work inside it.  No SQL while it is cached.

        Which work is allowed is for the service that does it to decide.

        Raises:
            NoSuchCatalog: the organisation has none, or not for this principal to know of.
        """
        key = (_eyes_of(principal), id_or_name)
        known = self._opened.get(key)
        if known is not None:
            return known
        with read(self._engine) as conn:
            catalog = catalogs_db.find(conn, principal, id_or_name)
            integration = (
                integrations_db.load(conn, self._keyring, catalog.integration_id)
                if catalog is not None
                else None
            )
        if catalog is None or integration is None:
            raise NoSuchCatalog(f"no catalog is called `{id_or_name}`")
        opened = OpenCatalog(catalog, integration)
        self._opened.put(key, opened)
        return opened

    def forget(self) -> None:
        """Drop what is cached: an integration was changed, or who may see which catalog."""
        self._opened.clear()

    def delete(self, principal: Principal, id_or_name: str) -> None:
        """Delete an empty catalog.  Nothing in storage is touched.

        Raises:
            NoSuchCatalog: the organisation has none, or not for this principal to know of.
            InUse: it holds namespaces or tables.
        """
        require(principal, Action.MANAGE_CATALOGS)

        def delete(conn: Connection) -> Catalog:
            found = catalogs_db.find(conn, principal, id_or_name)
            if found is None or not catalogs_db.remove(conn, found.id):
                raise NoSuchCatalog(f"no catalog is called `{id_or_name}`")
            subject, now_ms = of_catalog(found), self._now_ms()
            audit_trail.record(conn, principal, EventType.CATALOG_DELETED, subject, now_ms=now_ms)
            return found

        deleted = transact(self._engine, delete)
        self._opened.clear()
        log.info("catalog deleted", catalog_id=deleted.id)

    def resolve_warehouse(self, principal: Principal, warehouse: str | None) -> Catalog:
        """The catalog a client means by `warehouse`: a name, an id, or `organisation/catalog`.

        A client that names none gets the organisation's only catalog.

        Raises:
            NoSuchWarehouse: unknown or of another organisation; or none named, and not one only.
        """
        require(principal, Action.LIST_CATALOGS)
        wanted = (warehouse or "").strip()
        with read(self._engine) as conn:
            if not wanted:
                only = catalogs_db.page(conn, principal, after=None, limit=2)
                if len(only) != 1:
                    raise NoSuchWarehouse(
                        "name a catalog with the `warehouse` property; "
                        + ("there is none yet" if not only else "there are several")
                    )
                return only[0]
            organisation, slash, catalog = wanted.partition("/")
            found = (
                catalogs_db.find_qualified(conn, principal, organisation, catalog)
                if slash
                else catalogs_db.find(conn, principal, wanted)
            )
        if found is None:
            raise NoSuchWarehouse(
                f"no catalog is called `{wanted}`; `warehouse` takes a catalog's name or id"
            )
        return found


def _overruled(integration: StorageIntegration) -> BucketType | None:
    """Why the catalog would have been refused, had `force` not been set."""
    is_refused = integration.bucket_type is BucketType.PUBLIC and not integration.read_only
    return integration.bucket_type if is_refused else None


def _eyes_of(principal: Principal) -> str:
    """Admins of an organisation see the same catalogs; every other member may see others."""
    everything = sees_everything(principal)
    return principal.organisation_id if everything else principal.member_id


def _check_bucket(integration: StorageIntegration, *, force: bool) -> str | None:
    """Refuse to keep tables in public; a warning where that is not known or was overruled.

    What is only read, as open data is, may well be public.
    """
    match integration.bucket_type:
        case BucketType.PRIVATE:
            return None
        case BucketType.UNKNOWN:
            return (
                f"`{integration.name}` has not been verified, so its bucket may be public; "
                "verify it before you write tables there"
            )
        case BucketType.REQUESTER_PAYS:
            return (
                f"the bucket of `{integration.name}` is requester-pays: this server and every "
                "engine pay for what they read, and engines read through request signing"
            )
        case BucketType.PUBLIC if force or integration.read_only:
            return f"the bucket of `{integration.name}` is public: {_ANYONE}"
        case BucketType.PUBLIC:
            raise WrongState(
                f"the bucket of `{integration.name}` is public: {_ANYONE}. Block public access and "
                "verify the integration again, or set `force` to make the catalog nevertheless"
            )
