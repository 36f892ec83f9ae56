"""What discovery knows of tables' files, syncs with the bucket, and when and how they are made."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "discovered_tables",
        sa.Column("table_id", sa.String(36), nullable=False),
        sa.Column(
            "revision", sa.BigInteger(), nullable=False, comment="of what is known of its files"
        ),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["tables.id"],
            name="fk_discovered_tables_table_id_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", name="pk_discovered_tables"),
        comment="Tables over files where they lie, which are kept in step with the bucket",
    )
    op.create_table(
        "discovered_files",
        sa.Column("table_id", sa.String(36), nullable=False),
        sa.Column("key", text, nullable=False, comment="relative to the bucket"),
        sa.Column("etag", sa.Text(), nullable=False, comment="empty if only the size is known"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "state", sa.String(16), nullable=False, comment="taken, left-out, foreign or undone"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it is not taken"),
        sa.Column(
            "manifest",
            sa.Text(),
            nullable=False,
            comment="name of the manifest with its entry: a hint",
        ),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["discovered_tables.table_id"],
            name="fk_discovered_files_table_id_discovered_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", "key", name="pk_discovered_files"),
        comment="What a table's files were when discovery last looked",
    )
    op.create_table(
        "syncs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False, comment="request, schedule or event"),
        sa.Column("parameters", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("report", sa.Text(), comment="JSON: what became of each table"),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["catalog_id"],
            ["catalogs.id"],
            name="fk_syncs_catalog_id_catalogs",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_syncs"),
    )
    op.create_index("ix_syncs_catalog_id_id", "syncs", ["catalog_id", "id"])
    op.create_table(
        "sync_settings",
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("interval_minutes", sa.Integer()),
        sa.Column("next_run_ms", sa.BigInteger()),
        sa.Column("deleted_percent_max", sa.Integer(), nullable=False),
        sa.Column("deleted_files_max", sa.Integer(), nullable=False),
        sa.Column(
            "finds_tables",
            sa.Boolean(),
            nullable=False,
            comment="scan for new tables after each sync",
        ),
        sa.Column("token_hash", sa.String(64), comment="SHA-256 of 256 random bits, hex"),
        sa.Column("queue_url", sa.Text(), comment="SQS queue with the bucket's events"),
        sa.ForeignKeyConstraint(
            ["catalog_id"],
            ["catalogs.id"],
            name="fk_sync_settings_catalog_id_catalogs",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("catalog_id", name="pk_sync_settings"),
    )
    op.create_index("ix_sync_settings_next_run_ms", "sync_settings", ["next_run_ms"])
    op.create_table(
        "dirty_objects",
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("key", text, nullable=False, comment="relative to the bucket"),
        sa.Column(
            "sequencer",
            sa.Text(),
            nullable=False,
            comment="of the newest event, empty if it had none",
        ),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalog_id"],
            ["catalogs.id"],
            name="fk_dirty_objects_catalog_id_catalogs",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("catalog_id", "key", name="pk_dirty_objects"),
        comment="Objects that events said have changed: hints of what to look at",
    )


def downgrade() -> None:
    op.drop_table("dirty_objects")
    op.drop_index("ix_sync_settings_next_run_ms", "sync_settings")
    op.drop_table("sync_settings")
    op.drop_index("ix_syncs_catalog_id_id", "syncs")
    op.drop_table("syncs")
    op.drop_table("discovered_files")
    op.drop_table("discovered_tables")
