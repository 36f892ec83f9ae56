"""The tables of the database, as SQLAlchemy Core sees them.

Every change here needs a migration in `migrations/versions`; a test keeps the two equal.
Times are epoch milliseconds, ids are UUIDv7 texts, JSON is text that Python encodes.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


# Byte order everywhere: prefix ranges on locations and keyset pages must not depend on a locale.
_Text = Text().with_variant(Text(collation="C"), "postgresql")


def _id() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def _belongs_to(table: str, *, name: str | None = None) -> Column[str]:
    column = name or f"{table.removesuffix('s')}_id"
    return Column(column, String(36), ForeignKey(f"{table}.id"), nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=false())


def _of_member(*, primary_key: bool = False) -> Column[str]:
    """What lets somebody act as a member ends with it."""
    return Column(
        "member_id",
        String(36),
        ForeignKey("members.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


# Who

organisations = Table(
    "organisations",
    metadata,
    _id(),
    Column("name", _Text, nullable=False, unique=True),
    Column("edition", String(16), nullable=False),
    _ms("created_at_ms"),
)

members = Table(
    "members",
    metadata,
    _id(),
    _belongs_to("organisations"),
    Column("kind", String(16), nullable=False),
    Column("name", _Text, nullable=False),
    Column("role", String(16), nullable=False),
    _ms("created_at_ms"),
    _ms("disabled_at_ms", nullable=True),
    UniqueConstraint("organisation_id", "name"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True, comment="the client id"),
    _belongs_to("organisations"),
    _belongs_to("members"),
    Column("name", _Text, nullable=False),
    Column("secret_hash", String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"),
    Column("scopes", Text, nullable=False, comment="space-separated"),
    _ms("created_at_ms"),
    _ms("expires_at_ms", nullable=True),
    _ms("revoked_at_ms", nullable=True),
    _ms("last_used_at_ms", nullable=True),
    Index(None, "organisation_id", "id"),
    Index(None, "member_id"),
)

member_passwords = Table(
    "member_passwords",
    metadata,
    _of_member(primary_key=True),
    Column("password_hash", Text, nullable=False, comment="Argon2id, with its parameters"),
    _ms("changed_at_ms"),
)

password_links = Table(
    "password_links",
    metadata,
    Column("token_hash", String(64), primary_key=True, comment="SHA-256 of 256 random bits, hex"),
    _of_member(),
    _ms("created_at_ms"),
    _ms("expires_at_ms"),
    Index(None, "member_id"),
    comment="One-time links with which a user chooses a password",
)

issuers = Table(
    "issuers",
    metadata,
    _id(),
    Column("name", _Text, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("audiences", Text, nullable=False, comment="JSON list"),
    Column("client_id", Text, nullable=True),
    Column("sealed_client_secret", Text, nullable=True),
    _belongs_to("organisations"),
    Column("organisation_claim", Text, nullable=True),
    Column("role_claim", Text, nullable=True),
    Column("admin_values", Text, nullable=False, comment="JSON list"),
    Column("user_values", Text, nullable=False, comment="JSON list"),
    Column("name_claim", Text, nullable=False),
    Column("auto_provision", Boolean, nullable=False),
    _ms("created_at_ms"),
    Index(None, "url", unique=True),
    comment="Identity providers that the operator trusts",
)

member_identities = Table(
    "member_identities",
    metadata,
    Column("issuer_id", String(36), ForeignKey("issuers.id", ondelete="CASCADE"), primary_key=True),
    Column("subject", _Text, primary_key=True),
    Column("organisation_id", String(36), ForeignKey("organisations.id"), primary_key=True),
    _of_member(),
    _ms("synchronised_at_ms"),  # the newest claims that counted for the role
    _ms("created_at_ms"),
    Index(None, "member_id"),
    comment="Who is which member, by issuer and subject",
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    Column("token_hash", String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"),
    _of_member(),
    Column("method", Text, nullable=False, comment="password, link, or an identity provider"),
    _ms("created_at_ms"),
    _ms("last_seen_at_ms"),
    _ms("expires_at_ms"),
    Index(None, "token_hash", unique=True),
    Index(None, "member_id"),
    Index(None, "expires_at_ms"),
    comment="Browsers that are signed in",
)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("subject", String(64), primary_key=True, comment="SHA-256 of an account or address"),
    Column("failures", Integer, nullable=False),
    _ms("blocked_until_ms"),
    Index(None, "blocked_until_ms"),
    comment="Failed attempts to sign in; subjects may be names that nobody has",
)

devices = Table(
    "devices",
    metadata,
    Column("code_hash", String(64), primary_key=True, comment="SHA-256 of 256 random bits, hex"),
    Column("user_code", String(16), nullable=False),
    Column("name", Text, nullable=False, comment="as the device calls itself"),
    Column("state", String(16), nullable=False, comment="pending, approved or denied"),
    Column("member_id", String(36), ForeignKey("members.id", ondelete="CASCADE"), nullable=True),
    Column("scopes", Text, nullable=False, comment="space-separated; of who approved"),
    _ms("created_at_ms"),
    _ms("polled_at_ms", nullable=True),
    _ms("expires_at_ms"),
    Index(None, "user_code", unique=True),
    Index(None, "expires_at_ms"),
    comment="Command lines that wait for somebody to sign them in (RFC 8628)",
)

# Where

storage_integrations = Table(
    "storage_integrations",
    metadata,
    _id(),
    _belongs_to("organisations"),
    Column("name", _Text, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("key", Text, nullable=False, comment="folder inside the bucket, empty for all of it"),
    Column("region", Text, nullable=False),
    Column("endpoint", Text, nullable=False, comment="empty for AWS"),
    Column("path_style", Boolean, nullable=False),
    Column("role_arn", Text, nullable=True),
    Column("access_key_id", Text, nullable=True),
    Column("sealed_secret_access_key", Text, nullable=True),
    Column("kms_key_arn", Text, nullable=True, comment="the key that encrypts what is written"),
    _flag("read_only"),
    _flag("requester_pays"),  # declared, or learnt by a verification
    _flag("allow_static_credentials"),  # consent to hand out the access keys themselves
    Column("bucket_type", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    _ms("created_at_ms"),
    _ms("verified_at_ms", nullable=True),
    Column("verification_status", String(16), nullable=False, server_default="unverified"),
    _ms("verify_at_ms", nullable=True),  # when to look again; a lease while somebody does
    Column("verify_because", String(16), nullable=True),
    UniqueConstraint("organisation_id", "name"),
    UniqueConstraint("organisation_id", "endpoint", "bucket"),
    CheckConstraint("(role_arn IS NULL) <> (access_key_id IS NULL)", name="one_identity"),
    Index(None, "role_arn"),
    Index(None, "verify_at_ms"),
)

verifications = Table(
    "verifications",
    metadata,
    _id(),
    Column(
        "integration_id",
        String(36),
        ForeignKey("storage_integrations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("trigger", String(16), nullable=False),
    Column("requested_by", Text, nullable=True, comment="name of the member who asked"),
    Column("state", String(16), nullable=False),
    Column("checks", Text, nullable=False, comment="findings so far, JSON"),
    Column("waiting", Text, nullable=False),
    Column("bucket_type", String(16), nullable=False),
    _ms("started_at_ms"),
    _ms("ends_by_ms"),
    _ms("finished_at_ms", nullable=True),
    Index(None, "integration_id", "id"),
)

catalogs = Table(
    "catalogs",
    metadata,
    _id(),
    _belongs_to("organisations"),
    _belongs_to("storage_integrations", name="integration_id"),
    Column("name", _Text, nullable=False),
    Column("location", _Text, nullable=False, comment="root of generated table locations"),
    Column("properties", Text, nullable=False),
    Column("forced_on", String(16), nullable=True, comment="bucket type that was overruled"),
    _ms("created_at_ms"),
    UniqueConstraint("organisation_id", "name"),
    Index(None, "integration_id"),
)

# What

namespaces = Table(
    "namespaces",
    metadata,
    _id(),
    _belongs_to("catalogs"),
    Column("path", _Text, nullable=False, comment="levels joined by 0x1F"),
    Column("parent", _Text, nullable=False, comment="path of the parent, empty at the top"),
    Column("properties", Text, nullable=False),
    _ms("created_at_ms"),
    UniqueConstraint("catalog_id", "path"),
    Index(None, "catalog_id", "parent", "path"),
)

tables = Table(
    "tables",
    metadata,
    _id(),
    _belongs_to("catalogs"),
    _belongs_to("namespaces"),
    Column("name", _Text, nullable=False),
    Column("kind", String(8), nullable=False, comment="table or view: they share one name space"),
    Column("table_uuid", String(36), nullable=False),
    Column("location", _Text, nullable=False, comment="with a trailing slash"),
    Column("sources", Text, nullable=True, comment="JSON list of places read beside the location"),
    Column("metadata_location", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    _ms("created_at_ms"),
    _ms("updated_at_ms"),
    UniqueConstraint("namespace_id", "name"),
    UniqueConstraint("catalog_id", "table_uuid"),
    Index(None, "location", unique=True),
    Index(None, "catalog_id"),
    CheckConstraint("kind IN ('table', 'view')", name="kind"),
)

table_documents = Table(
    "table_documents",
    metadata,
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE"), primary_key=True),
    Column("metadata_location", Text, nullable=False),
    Column("document", LargeBinary, nullable=False, comment="the metadata file's bytes, zlib"),
    comment="A copy of each table's current metadata file, so that a load need not go to S3",
)

spatial_indexes = Table(
    "spatial_indexes",
    metadata,
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE"), primary_key=True),
    Column("snapshot_id", BigInteger, primary_key=True),
    Column("place", Text, primary_key=True, comment="field ids of what bounds rows"),
    Column("index_location", Text, nullable=False),
    Column("file_count", BigInteger, nullable=False),
    Column("unknown_count", BigInteger, nullable=False),
    _ms("created_at_ms"),
)

scans = Table(
    "scans",
    metadata,
    _id(),
    _belongs_to("catalogs"),
    Column("prefix", Text, nullable=False, comment="the location that was scanned"),
    Column("state", String(16), nullable=False, comment="running, proposed, registered or failed"),
    Column("digest", String(64), nullable=True, comment="of all that its proposals come from"),
    Column("progress", Text, nullable=False, comment="JSON counters"),
    Column("report", Text, nullable=True, comment="JSON: proposals, skipped objects, error"),
    Column("requested_by", Text, nullable=False),
    _ms("created_at_ms"),
    _ms("updated_at_ms"),  # a running scan's heartbeat: one that stops beating was interrupted
    _ms("finished_at_ms", nullable=True),
    Index(None, "catalog_id", "id"),
)

scan_policies = Table(
    "scan_policies",
    metadata,
    Column(
        "catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("ignored", Text, nullable=False, comment="JSON: patterns of keys"),
    Column("auto_approve", String(8), nullable=True, comment="confidence that needs no asking"),
    comment="What the scans of a catalog pass over, and register by themselves",
)

discovered_tables = Table(
    "discovered_tables",
    metadata,
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", BigInteger, nullable=False, comment="of what is known of its files"),
    comment="Tables over files where they lie, which are kept in step with the bucket",
)

discovered_files = Table(
    "discovered_files",
    metadata,
    Column(
        "table_id",
        String(36),
        ForeignKey("discovered_tables.table_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", _Text, primary_key=True, comment="relative to the bucket"),
    Column("etag", Text, nullable=False, comment="empty if only the size is known"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False, comment="taken, left-out, foreign or undone"),
    Column("reason", Text, nullable=False, comment="why it is not taken"),
    Column("manifest", Text, nullable=False, comment="name of the manifest with its entry: a hint"),
    comment="What a table's files were when discovery last looked",
)

syncs = Table(
    "syncs",
    metadata,
    _id(),
    Column("catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), nullable=False),
    Column("state", String(24), nullable=False),
    Column("trigger", String(16), nullable=False, comment="request, schedule or event"),
    Column("parameters", Text, nullable=False, comment="JSON"),
    Column("report", Text, nullable=True, comment="JSON: what became of each table"),
    Column("requested_by", Text, nullable=False),
    _ms("created_at_ms"),
    _ms("updated_at_ms"),
    _ms("finished_at_ms", nullable=True),
    Index(None, "catalog_id", "id"),
)

sync_settings = Table(
    "sync_settings",
    metadata,
    Column(
        "catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("interval_minutes", Integer, nullable=True),
    _ms("next_run_ms", nullable=True),
    Column("deleted_percent_max", Integer, nullable=False),
    Column("deleted_files_max", Integer, nullable=False),
    Column("finds_tables", Boolean, nullable=False, comment="scan for new tables after each sync"),
    Column("token_hash", String(64), nullable=True, comment="SHA-256 of 256 random bits, hex"),
    Index(None, "next_run_ms"),
)

dirty_objects = Table(
    "dirty_objects",
    metadata,
    Column(
        "catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("key", _Text, primary_key=True, comment="relative to the bucket"),
    Column("sequencer", Text, nullable=False, comment="of the newest event, empty if it had none"),
    _ms("received_at_ms"),
    comment="Objects that events said have changed: hints of what to look at",
)

bucket_objects = Table(
    "bucket_objects",
    metadata,
    Column(
        "integration_id",
        String(36),
        ForeignKey("storage_integrations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", _Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    _ms("last_modified_ms"),
    _ms("missing_since_ms", nullable=True),  # a listing that is not at its end did not have it
    comment="What the last listings of a bucket held",
    sqlite_with_rowid=False,
)

listing_pages = Table(
    "listing_pages",
    metadata,
    Column(
        "integration_id",
        String(36),
        ForeignKey("storage_integrations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("after_key", _Text, primary_key=True, comment="the page begins behind it"),
    Column("until_key", _Text, nullable=False, comment="what it says it says up to here"),
    Column("last_key", _Text, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("object_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    comment="Pages of listings whose objects are in bucket_objects, all of them, as they are",
)

file_inspections = Table(
    "file_inspections",
    metadata,
    Column(
        "integration_id",
        String(36),
        ForeignKey("storage_integrations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", _Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("inspection", LargeBinary, nullable=True, comment="by discovery.inspection_codec"),
    Column("error", Text, nullable=True, comment="why there is none"),
    Column("is_final", Boolean, nullable=False, comment="true of this version for ever"),
    comment="What the footers of files said; of another version of a file it says nothing",
)

functions = Table(
    "functions",
    metadata,
    _id(),
    _belongs_to("catalogs"),
    _belongs_to("namespaces"),
    Column("name", _Text, nullable=False),
    Column("function_uuid", String(36), nullable=False),
    Column("document", Text, nullable=False, comment="function metadata, JSON"),
    Column("version", BigInteger, nullable=False),
    _ms("created_at_ms"),
    _ms("updated_at_ms"),
    UniqueConstraint("namespace_id", "name"),
    Index(None, "catalog_id"),
)

# Who may do what with it

roles = Table(
    "roles",
    metadata,
    _id(),
    _belongs_to("organisations"),
    Column("name", _Text, nullable=False),
    _ms("created_at_ms"),
    UniqueConstraint("organisation_id", "name"),
)

role_members = Table(
    "role_members",
    metadata,
    Column("member_id", String(36), ForeignKey("members.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", String(36), ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "role_id", "member_id"),
)

grants = Table(
    "grants",
    metadata,
    _id(),
    _belongs_to("organisations"),
    Column("catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), nullable=False),
    Column("namespace_id", String(36), ForeignKey("namespaces.id", ondelete="CASCADE")),
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE")),
    Column("object_id", String(36), nullable=False, comment="the innermost of the three"),
    Column("kind", String(16), nullable=False, comment="catalog, namespace, table or view"),
    Column("path", _Text, nullable=False, comment="of the namespace, empty for a catalog"),
    Column("name", _Text, nullable=False, comment="of the table or view, else empty"),
    Column("grantee_id", String(36), nullable=False, comment="everyone: the organisation's id"),
    Column("grantee_kind", String(8), nullable=False),
    Column(
        "privilege", SmallInteger, nullable=False, comment="1 browse, 2 read, 3 write, 4 manage"
    ),
    Column("granted_by", Text, nullable=False),
    _ms("created_at_ms"),
    UniqueConstraint("object_id", "grantee_id"),
    # What a grantee sees in, or anywhere below, a namespace: one range, in the order of lists.
    Index(None, "grantee_id", "catalog_id", "path", "name", "kind"),
    Index(None, "namespace_id"),
    Index(None, "table_id"),
    CheckConstraint("privilege BETWEEN 1 AND 4", name="privilege"),
    CheckConstraint("grantee_kind IN ('member', 'role')", name="grantee_kind"),
    CheckConstraint("kind IN ('catalog', 'namespace', 'table', 'view')", name="kind"),
)

# What clients do

metrics_reports = Table(
    "metrics_reports",
    metadata,
    _id(),
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE"), nullable=False),
    Column("report_type", String(32), nullable=False),
    Column("snapshot_id", BigInteger, nullable=True),
    Column("principal", Text, nullable=False),
    Column("report", Text, nullable=False, comment="as the client sent it, JSON"),
    _ms("received_at_ms"),
    Index(None, "table_id", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("member_id", String(36), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("request_hash", String(64), nullable=False, comment="SHA-256 of method, path and body"),
    Column("status", Integer, nullable=True, comment="of a refusal; empty if it landed"),
    Column("body", LargeBinary, nullable=False, comment="the refusal, or the result; zlib"),
    _ms("created_at_ms"),
    _ms("expires_at_ms"),
    Index(None, "expires_at_ms"),
    comment="What was done under a key a client chose, kept in the transaction that did it",
)

purges = Table(
    "purges",
    metadata,
    _id(),
    _belongs_to("catalogs"),
    Column("location", Text, nullable=False, comment="of the dropped table, with a trailing slash"),
    Column("metadata_location", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=True, comment="why the last attempt failed"),
    _ms("requested_at_ms"),
    _ms("not_before_ms"),
    Index(None, "not_before_ms"),
    comment="Dropped tables whose files are still to be deleted",
)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    _belongs_to("organisations"),
    Column("kind", String(16), nullable=False),
    Column("subject_id", String(36), nullable=False, comment="of the catalog, table, …"),
    Column("key", _Text, nullable=False, comment="one job of a key is active at a time"),
    Column("state", String(16), nullable=False),
    Column("parameters", Text, nullable=False, comment="JSON"),
    Column("progress", Text, nullable=True, comment="JSON, for people"),
    Column("checkpoint", Text, nullable=True, comment="JSON: where the next attempt goes on"),
    Column("result", Text, nullable=True, comment="JSON"),
    Column("error", Text, nullable=True, comment="why it, or its last attempt, failed"),
    Column("attempts", Integer, nullable=False, comment="since it last got any further"),
    Column("requests", Integer, nullable=False, comment="while it was active"),
    Column("is_cancelling", Boolean, nullable=False),
    _ms("run_after_ms"),
    Column("lease_owner", String(128), nullable=True, comment="the attempt that runs"),
    _ms("lease_until_ms", nullable=True),
    Column("requested_by", Text, nullable=False),
    _ms("created_at_ms"),
    _ms("finished_at_ms", nullable=True),
    Index(None, "organisation_id", "id"),
    Index(None, "finished_at_ms"),
    Index(
        "uq_jobs_key",
        "key",
        unique=True,
        sqlite_where=text("state IN ('queued', 'running')"),
        postgresql_where=text("state IN ('queued', 'running')"),
    ),
    Index(
        "ix_jobs_active",
        "run_after_ms",
        sqlite_where=text("state IN ('queued', 'running')"),
        postgresql_where=text("state IN ('queued', 'running')"),
    ),
    comment="Work that outlives the request that asked for it",
)

# What happened

audit_events = Table(
    "audit_events",
    metadata,
    _id(),
    _belongs_to("organisations"),
    _ms("at_ms"),
    Column("type", String(64), nullable=False),
    Column("subject_kind", String(16), nullable=False),
    Column("subject_id", _Text, nullable=False),
    Column("subject_name", _Text, nullable=False),
    Column("catalog_id", String(36), nullable=True, comment="no reference: events outlive it"),
    Column("outcome", String(16), nullable=False),
    Column("member_id", String(36), nullable=False),
    Column("member_name", _Text, nullable=False),
    Column("credential_id", String(64), nullable=False),
    Column("allowed_by", Text, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("occurrences", Integer, nullable=False),
    Column("details", Text, nullable=False, comment="JSON"),
    Column("is_announced", Boolean, nullable=False, comment="webhooks have it, or there are none"),
    Index(None, "organisation_id", "id"),
    Index(None, "organisation_id", "subject_id", "id"),
    Index(None, "organisation_id", "member_id", "id"),
    Index(None, "at_ms"),
    Index(
        "ix_audit_events_unannounced",
        "id",
        sqlite_where=text("NOT is_announced"),
        postgresql_where=text("NOT is_announced"),
    ),
)

webhooks = Table(
    "webhooks",
    metadata,
    _id(),
    _belongs_to("organisations"),
    Column("name", _Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("types", Text, nullable=False, comment="JSON list of event types, `*` at their end"),
    Column("catalog_id", String(36), nullable=True, comment="only events of this catalog"),
    Column("object_id", Text, nullable=True, comment="only events about this object"),
    Column("sealed_secret", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    _ms("created_at_ms"),
    UniqueConstraint("organisation_id", "name"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    _id(),
    Column("webhook_id", String(36), ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", String(36), nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("payload", Text, nullable=False, comment="the CloudEvent as it is sent, JSON"),
    Column("state", String(16), nullable=False, comment="pending, delivered or failed"),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer, nullable=True, comment="of the last answer"),
    Column("error", Text, nullable=True, comment="why the last attempt failed"),
    _ms("created_at_ms"),
    _ms("finished_at_ms", nullable=True),
    _ms("not_before_ms"),
    Index(None, "webhook_id", "id"),
    Index(
        "ix_webhook_deliveries_pending",
        "not_before_ms",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)
