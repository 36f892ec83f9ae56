"""Pages of listings that are known, so that one that has not changed need not be compared."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "listing_pages",
        sa.Column("integration_id", sa.String(36), nullable=False),
        sa.Column("after_key", _KEY, nullable=False, comment="the page begins behind it"),
        sa.Column("until_key", _KEY, nullable=False, comment="what it says it says up to here"),
        sa.Column("last_key", _KEY, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("object_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["integration_id"],
            ["storage_integrations.id"],
            name="fk_listing_pages_integration_id_storage_integrations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("integration_id", "after_key", name="pk_listing_pages"),
        comment="Pages of listings whose objects are in bucket_objects, all of them, as they are",
    )


def downgrade() -> None:
    op.drop_table("listing_pages")
