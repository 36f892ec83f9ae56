"""Inventories that are written before their table is there, and notes of snapshots on their way."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _file_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("key", _KEY, nullable=False, comment="relative to the bucket"),
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
    ]


def upgrade() -> None:
    op.create_table(
        "pending_snapshots",
        sa.Column("token", sa.String(36), nullable=False, comment="in the names of its files"),
        sa.Column("integration_id", sa.String(36), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False, comment="of its files"),
        sa.Column(
            "owns_folder",
            sa.Boolean(),
            nullable=False,
            comment="a new table's: all in it is its own",
        ),
        sa.Column(
            "is_withdrawn", sa.Boolean(), nullable=False, comment="it cannot be committed any more"
        ),
        sa.Column("begun_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["integration_id"],
            ["storage_integrations.id"],
            name="fk_pending_snapshots_integration_id_storage_integrations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token", name="pk_pending_snapshots"),
        comment="Snapshots whose files are being stored; a commit takes its row away",
    )
    op.create_index("ix_pending_snapshots_integration_id", "pending_snapshots", ["integration_id"])
    op.create_table(
        "inventories",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column(
            "table_id", sa.String(36), comment="empty until its table is there, and once it is gone"
        ),
        sa.Column(
            "revision", sa.BigInteger(), nullable=False, comment="of what is known of its files"
        ),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["tables.id"],
            name="fk_inventories_table_id_tables",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_inventories"),
        sa.UniqueConstraint("table_id", name="uq_inventories_table_id"),
        comment="Of tables over files where they lie, which are kept in step with the bucket",
    )
    op.create_table(
        "inventory_files",
        sa.Column("inventory_id", sa.String(36), nullable=False),
        *_file_columns(),
        sa.ForeignKeyConstraint(
            ["inventory_id"],
            ["inventories.id"],
            name="fk_inventory_files_inventory_id_inventories",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("inventory_id", "key", name="pk_inventory_files"),
        comment="What a table's files were when discovery last looked",
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO inventories (id, table_id, revision) "
        "SELECT table_id, table_id, revision FROM discovered_tables"
    )
    op.execute(
        "INSERT INTO inventory_files "
        "(inventory_id, key, etag, size_bytes, state, reason, manifest) "
        "SELECT table_id, key, etag, size_bytes, state, reason, manifest FROM discovered_files"
    )
    op.drop_table("discovered_files")
    op.drop_table("discovered_tables")


def downgrade() -> None:
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
        *_file_columns(),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["discovered_tables.table_id"],
            name="fk_discovered_files_table_id_discovered_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", "key", name="pk_discovered_files"),
        comment="What a table's files were when discovery last looked",
    )
    op.execute(
        "INSERT INTO discovered_tables (table_id, revision) "
        "SELECT table_id, revision FROM inventories WHERE table_id IS NOT NULL"
    )
    op.execute(
        "INSERT INTO discovered_files (table_id, key, etag, size_bytes, state, reason, manifest) "
        "SELECT i.table_id, f.key, f.etag, f.size_bytes, f.state, f.reason, f.manifest "
        "FROM inventory_files f JOIN inventories i ON i.id = f.inventory_id "
        "WHERE i.table_id IS NOT NULL"
    )
    op.drop_table("inventory_files")
    op.drop_table("inventories")
    op.drop_index("ix_pending_snapshots_integration_id", "pending_snapshots")
    op.drop_table("pending_snapshots")
