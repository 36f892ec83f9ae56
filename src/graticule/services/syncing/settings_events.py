"""What the audit log is told about the settings of syncs."""

from typing import Any

from sqlalchemy import Connection

from graticule.domain.audit import EventType, of_catalog
from graticule.domain.catalog import OpenCatalog
from graticule.domain.tenancy import Principal
from graticule.services.events import audit_trail


def tell_of_settings(
    conn: Connection, principal: Principal, catalog: OpenCatalog, *, now_ms: int, **details: Any
) -> None:
    """Write down that a catalog's settings, or those of a table in it, were changed."""
    audit_trail.record(
        conn,
        principal,
        EventType.SYNC_SETTINGS_CHANGED,
        of_catalog(catalog.catalog),
        now_ms=now_ms,
        details=details,
    )
