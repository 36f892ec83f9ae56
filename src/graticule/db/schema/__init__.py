"""The tables of the database, as SQLAlchemy Core sees them.

Every change here needs a migration in `migrations/versions`; a test keeps the two equal.
Times are epoch milliseconds, ids are UUIDv7 texts, JSON is text that Python encodes.
"""

from graticule.db.schema.access import grants, role_members, roles
from graticule.db.schema.accounts import (
    api_keys,
    devices,
    issuers,
    member_identities,
    member_passwords,
    members,
    organisations,
    password_links,
    sessions,
    sign_in_attempts,
)
from graticule.db.schema.catalogs import (
    catalogs,
    computed_boxes,
    functions,
    namespaces,
    spatial_indexes,
    storage_integrations,
    table_documents,
    tables,
    verifications,
)
from graticule.db.schema.columns import metadata
from graticule.db.schema.discovery import (
    bucket_objects,
    dirty_objects,
    discovered_files,
    discovered_tables,
    event_queues,
    file_inspections,
    listing_pages,
    scan_policies,
    scans,
    sync_settings,
    syncs,
    table_sync_settings,
)
from graticule.db.schema.operations import (
    audit_events,
    idempotency_keys,
    jobs,
    metrics_reports,
    purges,
    webhook_deliveries,
    webhooks,
)

__all__ = [
    "api_keys",
    "audit_events",
    "bucket_objects",
    "catalogs",
    "computed_boxes",
    "devices",
    "dirty_objects",
    "discovered_files",
    "discovered_tables",
    "event_queues",
    "file_inspections",
    "functions",
    "grants",
    "idempotency_keys",
    "issuers",
    "jobs",
    "listing_pages",
    "member_identities",
    "member_passwords",
    "members",
    "metadata",
    "metrics_reports",
    "namespaces",
    "organisations",
    "password_links",
    "purges",
    "role_members",
    "roles",
    "scan_policies",
    "scans",
    "sessions",
    "sign_in_attempts",
    "spatial_indexes",
    "storage_integrations",
    "sync_settings",
    "syncs",
    "table_documents",
    "table_sync_settings",
    "tables",
    "verifications",
    "webhook_deliveries",
    "webhooks",
]
