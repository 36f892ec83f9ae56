"""Functions, metrics reports, idempotency keys, and purges still to be done."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _sorted_text() -> sa.Text:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "functions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("namespace_id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column("function_uuid", sa.String(36), nullable=False),
        sa.Column("document", sa.Text(), nullable=False, comment="function metadata, JSON"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalog_id"], ["catalogs.id"], name="fk_functions_catalog_id_catalogs"
        ),
        sa.ForeignKeyConstraint(
            ["namespace_id"], ["namespaces.id"], name="fk_functions_namespace_id_namespaces"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_functions"),
        sa.UniqueConstraint("namespace_id", "name", name="uq_functions_namespace_id_name"),
    )
    op.create_index("ix_functions_catalog_id", "functions", ["catalog_id"])
    op.create_table(
        "metrics_reports",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("table_id", sa.String(36), nullable=False),
        sa.Column("report_type", sa.String(32), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger()),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False, comment="as the client sent it, JSON"),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["tables.id"],
            name="fk_metrics_reports_table_id_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_metrics_reports"),
    )
    op.create_index("ix_metrics_reports_table_id_id", "metrics_reports", ["table_id", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("member_id", sa.String(36), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column(
            "request_hash",
            sa.String(64),
            nullable=False,
            comment="SHA-256 of method, path and body",
        ),
        sa.Column("status", sa.Integer(), comment="of a refusal; empty if it landed"),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=False,
            comment="the refusal, or the result; zlib",
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "key", name="pk_idempotency_keys"),
        comment="What was done under a key a client chose, kept in the transaction that did it",
    )
    op.create_index("ix_idempotency_keys_expires_at_ms", "idempotency_keys", ["expires_at_ms"])
    op.create_table(
        "purges",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column(
            "location",
            sa.Text(),
            nullable=False,
            comment="of the dropped table, with a trailing slash",
        ),
        sa.Column("metadata_location", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), comment="why the last attempt failed"),
        sa.Column("requested_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalog_id"], ["catalogs.id"], name="fk_purges_catalog_id_catalogs"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_purges"),
        comment="Dropped tables whose files are still to be deleted",
    )
    op.create_index("ix_purges_not_before_ms", "purges", ["not_before_ms"])


def downgrade() -> None:
    op.drop_table("purges")
    op.drop_table("idempotency_keys")
    op.drop_table("metrics_reports")
    op.drop_table("functions")
