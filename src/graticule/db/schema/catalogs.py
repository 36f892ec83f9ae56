"""What is catalogued: integrations, catalogs, namespaces, tables, functions."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)

from graticule.db.schema.columns import TEXT, belongs_to, flag, id_, metadata, ms

storage_integrations = Table(
    "storage_integrations",
    metadata,
    id_(),
    belongs_to("organisations"),
    Column("name", TEXT, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("key", Text, nullable=False, comment="folder inside the bucket, empty for all of it"),
    Column("region", Text, nullable=False),
    Column("endpoint", Text, nullable=False, comment="empty for AWS"),
    Column("path_style", Boolean, nullable=False),
    Column("role_arn", Text, nullable=True),
    Column("access_key_id", Text, nullable=True),
    Column("sealed_secret_access_key", Text, nullable=True),
    Column("kms_key_arn", Text, nullable=True, comment="the key that encrypts what is written"),
    flag("read_only"),
    flag("requester_pays"),  # declared, or learnt by a verification
    flag("allow_static_credentials"),  # consent to hand out the access keys themselves
    Column("bucket_type", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    ms("created_at_ms"),
    ms("verified_at_ms", nullable=True),
    Column("verification_status", String(16), nullable=False, server_default="unverified"),
    ms("verify_at_ms", nullable=True),  # when to look again; a lease while somebody does
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
    id_(),
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
    ms("started_at_ms"),
    ms("ends_by_ms"),
    ms("finished_at_ms", nullable=True),
    Index(None, "integration_id", "id"),
)

catalogs = Table(
    "catalogs",
    metadata,
    id_(),
    belongs_to("organisations"),
    belongs_to("storage_integrations", name="integration_id"),
    Column("name", TEXT, nullable=False),
    Column("location", TEXT, nullable=False, comment="root of generated table locations"),
    Column("properties", Text, nullable=False),
    Column("forced_on", String(16), nullable=True, comment="bucket type that was overruled"),
    ms("created_at_ms"),
    UniqueConstraint("organisation_id", "name"),
    Index(None, "integration_id"),
)

namespaces = Table(
    "namespaces",
    metadata,
    id_(),
    belongs_to("catalogs"),
    Column("path", TEXT, nullable=False, comment="levels joined by 0x1F"),
    Column("parent", TEXT, nullable=False, comment="path of the parent, empty at the top"),
    Column("properties", Text, nullable=False),
    ms("created_at_ms"),
    UniqueConstraint("catalog_id", "path"),
    Index(None, "catalog_id", "parent", "path"),
)

tables = Table(
    "tables",
    metadata,
    id_(),
    belongs_to("catalogs"),
    belongs_to("namespaces"),
    Column("name", TEXT, nullable=False),
    Column("kind", String(8), nullable=False, comment="table or view: they share one name space"),
    Column("table_uuid", String(36), nullable=False),
    Column("location", TEXT, nullable=False, comment="with a trailing slash"),
    Column("sources", Text, nullable=True, comment="JSON list of places read beside the location"),
    Column("metadata_location", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    ms("created_at_ms"),
    ms("updated_at_ms"),
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
    Column("lacks_boxes", Boolean, nullable=False, server_default=true()),  # a job may find some
    ms("created_at_ms"),
    Column("damage", Text, nullable=True, comment="what is wrong with the file: not to be used"),
    ms("damaged_at_ms", nullable=True),
)

computed_boxes = Table(
    "computed_boxes",
    metadata,
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE"), primary_key=True),
    Column("field_id", Integer, primary_key=True, comment="of the geometry column"),
    Column("path", TEXT, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("inspection", LargeBinary, nullable=True, comment="by discovery.inspection_codec"),
    Column("error", Text, nullable=True, comment="why there is none"),
    Column("next_group", Integer, nullable=True, comment="where to go on; null at the end"),
    Column("generation", BigInteger, nullable=False, comment="rises with every change of a table"),
    Index(None, "table_id", "generation"),
    comment="What was read in data files because no statistics tell where their rows are",
)

functions = Table(
    "functions",
    metadata,
    id_(),
    belongs_to("catalogs"),
    belongs_to("namespaces"),
    Column("name", TEXT, nullable=False),
    Column("function_uuid", String(36), nullable=False),
    Column("document", Text, nullable=False, comment="function metadata, JSON"),
    Column("version", BigInteger, nullable=False),
    ms("created_at_ms"),
    ms("updated_at_ms"),
    UniqueConstraint("namespace_id", "name"),
    Index(None, "catalog_id"),
)
