"""Syncs by cron expressions, limits of files, and tables that differ from their catalog."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_settings", sa.Column("cron", sa.Text(), comment="in UTC"))
    op.add_column(
        "sync_settings", sa.Column("files_max", sa.Integer(), comment="that a sync takes in")
    )
    op.create_table(
        "table_sync_settings",
        sa.Column("table_id", sa.String(36), nullable=False),
        sa.Column("schedule", sa.String(8), nullable=False, comment="catalog, own or off"),
        sa.Column("interval_minutes", sa.Integer()),
        sa.Column("cron", sa.Text(), comment="in UTC"),
        sa.Column("next_run_ms", sa.BigInteger()),
        sa.Column("deleted_percent_max", sa.Integer()),
        sa.Column("deleted_files_max", sa.Integer()),
        sa.Column("files_max", sa.Integer(), comment="that a sync takes in"),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["tables.id"],
            name="fk_table_sync_settings_table_id_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", name="pk_table_sync_settings"),
        comment="Where a table is kept in step otherwise than its catalog",
    )
    op.create_index("ix_table_sync_settings_next_run_ms", "table_sync_settings", ["next_run_ms"])


def downgrade() -> None:
    op.drop_index("ix_table_sync_settings_next_run_ms", "table_sync_settings")
    op.drop_table("table_sync_settings")
    op.drop_column("sync_settings", "files_max")
    op.drop_column("sync_settings", "cron")
