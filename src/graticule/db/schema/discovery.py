"""What discovery knows of buckets, and how it keeps tables in step with them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from graticule.db.schema.columns import TEXT, belongs_to, id_, metadata, ms

scans = Table(
    "scans",
    metadata,
    id_(),
    belongs_to("catalogs"),
    Column("prefix", Text, nullable=False, comment="the location that was scanned"),
    Column("state", String(16), nullable=False, comment="running, proposed, registered or failed"),
    Column("digest", String(64), nullable=True, comment="of all that its proposals come from"),
    Column("progress", Text, nullable=False, comment="JSON counters"),
    Column("report", Text, nullable=True, comment="JSON: proposals, skipped objects, error"),
    Column("requested_by", Text, nullable=False),
    ms("created_at_ms"),
    ms("updated_at_ms"),  # a running scan's heartbeat: one that stops beating was interrupted
    ms("finished_at_ms", nullable=True),
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

pending_snapshots = Table(
    "pending_snapshots",
    metadata,
    Column("token", String(36), primary_key=True, comment="in the names of its files"),
    Column(
        "integration_id",
        String(36),
        ForeignKey("storage_integrations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("folder", Text, nullable=False, comment="of its files"),
    Column("owns_folder", Boolean, nullable=False, comment="a new table's: all in it is its own"),
    Column("is_withdrawn", Boolean, nullable=False, comment="it cannot be committed any more"),
    ms("begun_at_ms"),
    Index(None, "integration_id"),
    comment="Snapshots whose files are being stored; a commit takes its row away",
)

inventories = Table(
    "inventories",
    metadata,
    Column("id", String(36), primary_key=True),
    Column(
        "table_id",
        String(36),
        ForeignKey("tables.id", ondelete="SET NULL"),
        nullable=True,
        comment="empty until its table is there, and once it is gone",
    ),
    Column("revision", BigInteger, nullable=False, comment="of what is known of its files"),
    UniqueConstraint("table_id"),
    comment="Of tables over files where they lie, which are kept in step with the bucket",
)

inventory_files = Table(
    "inventory_files",
    metadata,
    Column(
        "inventory_id",
        String(36),
        ForeignKey("inventories.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", TEXT, primary_key=True, comment="relative to the bucket"),
    Column("etag", Text, nullable=False, comment="empty if only the size is known"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False, comment="taken, left-out, foreign or undone"),
    Column("reason", Text, nullable=False, comment="why it is not taken"),
    Column("manifest", Text, nullable=False, comment="name of the manifest with its entry: a hint"),
    comment="What a table's files were when discovery last looked",
    sqlite_with_rowid=False,
)

syncs = Table(
    "syncs",
    metadata,
    id_(),
    Column("catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), nullable=False),
    Column("state", String(24), nullable=False),
    Column("trigger", String(16), nullable=False, comment="request, schedule or event"),
    Column("parameters", Text, nullable=False, comment="JSON"),
    Column("report", Text, nullable=True, comment="JSON: what became of each table"),
    Column("requested_by", Text, nullable=False),
    ms("created_at_ms"),
    ms("updated_at_ms"),
    ms("finished_at_ms", nullable=True),
    Index(None, "catalog_id", "id"),
)

sync_settings = Table(
    "sync_settings",
    metadata,
    Column(
        "catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("interval_minutes", Integer, nullable=True),
    ms("next_run_ms", nullable=True),
    Column("deleted_percent_max", Integer, nullable=False),
    Column("deleted_files_max", Integer, nullable=False),
    Column("finds_tables", Boolean, nullable=False, comment="scan for new tables after each sync"),
    Column("token_hash", String(64), nullable=True, comment="SHA-256 of 256 random bits, hex"),
    Column("cron", Text, nullable=True, comment="in UTC"),
    Column("files_max", Integer, nullable=True, comment="that a sync takes in"),
    Index(None, "next_run_ms"),
)

table_sync_settings = Table(
    "table_sync_settings",
    metadata,
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE"), primary_key=True),
    Column("schedule", String(8), nullable=False, comment="catalog, own or off"),
    Column("interval_minutes", Integer, nullable=True),
    Column("cron", Text, nullable=True, comment="in UTC"),
    ms("next_run_ms", nullable=True),
    Column("deleted_percent_max", Integer, nullable=True),
    Column("deleted_files_max", Integer, nullable=True),
    Column("files_max", Integer, nullable=True, comment="that a sync takes in"),
    Index(None, "next_run_ms"),
    comment="Where a table is kept in step otherwise than its catalog",
)

event_queues = Table(
    "event_queues",
    metadata,
    Column(
        "catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), primary_key=True
    ),
    Column(
        "integration_id",
        String(36),
        ForeignKey("storage_integrations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("url", Text, nullable=False),
    Column("kms_key_arn", Text, nullable=True, comment="what the queue is encrypted with"),
    ms("next_poll_ms"),
    Column("failures", Integer, nullable=False, comment="in a row"),
    Column("error", Text, nullable=True, comment="why the last attempt failed"),
    ms("polled_at_ms", nullable=True),
    ms("received_at_ms", nullable=True),
    Column("messages", Integer, nullable=True, comment="about so many wait"),
    Column("has_dead_letters", Boolean, nullable=True),
    Column("unreadable", Integer, nullable=False, comment="messages that were left in the queue"),
    Column("unreadable_error", Text, nullable=True, comment="why the last of them was"),
    Column("lease_owner", Text, nullable=True),
    ms("lease_until_ms", nullable=True),
    Index(None, "integration_id"),
    comment="SQS queues that stores announce changed objects in",
)

dirty_objects = Table(
    "dirty_objects",
    metadata,
    Column(
        "catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("key", TEXT, primary_key=True, comment="relative to the bucket"),
    Column("sequencer", Text, nullable=False, comment="of the newest event, empty if it had none"),
    ms("received_at_ms"),
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
    Column("key", TEXT, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    ms("last_modified_ms"),
    ms("missing_since_ms", nullable=True),  # a listing that is not at its end did not have it
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
    Column("after_key", TEXT, primary_key=True, comment="the page begins behind it"),
    Column("until_key", TEXT, nullable=False, comment="what it says it says up to here"),
    Column("last_key", TEXT, nullable=False),
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
    Column("key", TEXT, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("inspection", LargeBinary, nullable=True, comment="by discovery.inspection_codec"),
    Column("error", Text, nullable=True, comment="why there is none"),
    Column("is_final", Boolean, nullable=False, comment="true of this version for ever"),
    comment="What the footers of files said; of another version of a file it says nothing",
)

scan_parts = Table(
    "scan_parts",
    metadata,
    Column("scan_id", String(36), ForeignKey("scans.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(40), primary_key=True, comment="of its files, whose digest is in it"),
    Column("files", Integer, nullable=False, comment="how many"),
    Column("places", Text, nullable=False, comment="JSON: folders that may be read for it"),
    Column("state", String(16), nullable=False, comment="out, taken, refused or removed"),
    Column("reason", Text, nullable=True, comment="why its answers were refused"),
    comment="Files that a scan has handed to other machines; what they need lies in the bucket",
)
