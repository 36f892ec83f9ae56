"""What listings of buckets held, what the footers of files said, and from what scans came."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _of_integration(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["integration_id"],
        ["storage_integrations.id"],
        name=f"fk_{table}_integration_id_storage_integrations",
        ondelete="CASCADE",
    )


def upgrade() -> None:
    op.create_table(
        "bucket_objects",
        sa.Column("integration_id", sa.String(36), nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("last_modified_ms", sa.BigInteger(), nullable=False),
        sa.Column("missing_since_ms", sa.BigInteger()),
        _of_integration("bucket_objects"),
        sa.PrimaryKeyConstraint("integration_id", "key", name="pk_bucket_objects"),
        comment="What the last listings of a bucket held",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "file_inspections",
        sa.Column("integration_id", sa.String(36), nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("inspection", sa.LargeBinary(), comment="by discovery.inspection_codec"),
        sa.Column("error", sa.Text(), comment="why there is none"),
        sa.Column(
            "is_final", sa.Boolean(), nullable=False, comment="true of this version for ever"
        ),
        _of_integration("file_inspections"),
        sa.PrimaryKeyConstraint("integration_id", "key", name="pk_file_inspections"),
        comment="What the footers of files said; of another version of a file it says nothing",
    )
    op.add_column(
        "scans",
        sa.Column("digest", sa.String(64), comment="of all that its proposals come from"),
    )


def downgrade() -> None:
    op.drop_column("scans", "digest")
    op.drop_table("file_inspections")
    op.drop_table("bucket_objects")
