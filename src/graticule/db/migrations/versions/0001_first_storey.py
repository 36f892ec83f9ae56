"""The first storey: who, where, what, and the scans of what lies there."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _sorted_text() -> sa.Text:
    """Text that sorts by code point on both databases, so that pages of a list do not differ."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "organisations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column("edition", sa.String(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisations"),
        sa.UniqueConstraint("name", name="uq_organisations_name"),
    )
    op.create_table(
        "members",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_members_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_members"),
        sa.UniqueConstraint("organisation_id", "name", name="uq_members_organisation_id_name"),
    )
    op.create_table(
        "storage_integrations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="folder inside the bucket, empty for all of it",
        ),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False, comment="empty for AWS"),
        sa.Column("path_style", sa.Boolean(), nullable=False),
        sa.Column("role_arn", sa.Text()),
        sa.Column("access_key_id", sa.Text()),
        sa.Column("sealed_secret_access_key", sa.Text()),
        sa.Column("bucket_type", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("verified_at_ms", sa.BigInteger()),
        sa.Column("verification", sa.Text(), comment="the last verification report, JSON"),
        sa.CheckConstraint(
            "(role_arn IS NULL) <> (access_key_id IS NULL)",
            name=op.f("ck_storage_integrations_one_identity"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_storage_integrations_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_storage_integrations"),
        sa.UniqueConstraint(
            "organisation_id",
            "endpoint",
            "bucket",
            name="uq_storage_integrations_organisation_id_endpoint_bucket",
        ),
        sa.UniqueConstraint(
            "organisation_id", "name", name="uq_storage_integrations_organisation_id_name"
        ),
    )
    op.create_index("ix_storage_integrations_role_arn", "storage_integrations", ["role_arn"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(64), nullable=False, comment="the client id"),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("member_id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column(
            "secret_hash", sa.String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"
        ),
        sa.Column("scopes", sa.Text(), nullable=False, comment="space-separated"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger()),
        sa.Column("revoked_at_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["member_id"], ["members.id"], name="fk_api_keys_member_id_members"
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_api_keys_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_member_id", "api_keys", ["member_id"])
    op.create_index("ix_api_keys_organisation_id_id", "api_keys", ["organisation_id", "id"])
    op.create_table(
        "catalogs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("integration_id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column(
            "location", _sorted_text(), nullable=False, comment="root of generated table locations"
        ),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["integration_id"],
            ["storage_integrations.id"],
            name="fk_catalogs_integration_id_storage_integrations",
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_catalogs_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_catalogs"),
        sa.UniqueConstraint("organisation_id", "name", name="uq_catalogs_organisation_id_name"),
    )
    op.create_index("ix_catalogs_integration_id", "catalogs", ["integration_id"])
    op.create_table(
        "namespaces",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("path", _sorted_text(), nullable=False, comment="levels joined by 0x1F"),
        sa.Column(
            "parent", _sorted_text(), nullable=False, comment="path of the parent, empty at the top"
        ),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalog_id"], ["catalogs.id"], name="fk_namespaces_catalog_id_catalogs"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_namespaces"),
        sa.UniqueConstraint("catalog_id", "path", name="uq_namespaces_catalog_id_path"),
    )
    op.create_index(
        "ix_namespaces_catalog_id_parent_path", "namespaces", ["catalog_id", "parent", "path"]
    )
    op.create_table(
        "scans",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False, comment="the location that was scanned"),
        sa.Column(
            "state",
            sa.String(16),
            nullable=False,
            comment="running, proposed, registered or failed",
        ),
        sa.Column("progress", sa.Text(), nullable=False, comment="JSON counters"),
        sa.Column("report", sa.Text(), comment="JSON: proposals, skipped objects, error"),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["catalog_id"], ["catalogs.id"], name="fk_scans_catalog_id_catalogs"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_scans"),
    )
    op.create_index("ix_scans_catalog_id_id", "scans", ["catalog_id", "id"])
    op.create_table(
        "tables",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("namespace_id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column(
            "kind", sa.String(8), nullable=False, comment="table or view: they share one name space"
        ),
        sa.Column("table_uuid", sa.String(36), nullable=False),
        sa.Column("location", _sorted_text(), nullable=False, comment="with a trailing slash"),
        sa.Column("sources", sa.Text(), comment="JSON list of places read beside the location"),
        sa.Column("metadata_location", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('table', 'view')", name=op.f("ck_tables_kind")),
        sa.ForeignKeyConstraint(
            ["catalog_id"], ["catalogs.id"], name="fk_tables_catalog_id_catalogs"
        ),
        sa.ForeignKeyConstraint(
            ["namespace_id"], ["namespaces.id"], name="fk_tables_namespace_id_namespaces"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tables"),
        sa.UniqueConstraint("catalog_id", "table_uuid", name="uq_tables_catalog_id_table_uuid"),
        sa.UniqueConstraint("namespace_id", "name", name="uq_tables_namespace_id_name"),
    )
    op.create_index("ix_tables_catalog_id", "tables", ["catalog_id"])
    op.create_index("ix_tables_location", "tables", ["location"], unique=True)
    op.create_table(
        "spatial_indexes",
        sa.Column("table_id", sa.String(36), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "place",
            sa.Text(),
            nullable=False,
            comment="field ids of what bounds rows",
        ),
        sa.Column("index_location", sa.Text(), nullable=False),
        sa.Column("file_count", sa.BigInteger(), nullable=False),
        sa.Column("unknown_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["tables.id"],
            name="fk_spatial_indexes_table_id_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", "snapshot_id", "place", name="pk_spatial_indexes"),
    )
    op.create_table(
        "table_documents",
        sa.Column("table_id", sa.String(36), nullable=False),
        sa.Column("metadata_location", sa.Text(), nullable=False),
        sa.Column(
            "document", sa.LargeBinary(), nullable=False, comment="the metadata file's bytes, zlib"
        ),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["tables.id"],
            name="fk_table_documents_table_id_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", name="pk_table_documents"),
        comment="A copy of each table's current metadata file, so that a load need not go to S3",
    )


def downgrade() -> None:
    op.drop_table("table_documents")
    op.drop_table("spatial_indexes")
    op.drop_table("tables")
    op.drop_table("scans")
    op.drop_table("namespaces")
    op.drop_table("catalogs")
    op.drop_table("api_keys")
    op.drop_table("storage_integrations")
    op.drop_table("members")
    op.drop_table("organisations")
