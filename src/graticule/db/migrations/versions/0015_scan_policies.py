"""What the scans of a catalog pass over, and what they register by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scan_policies",
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("ignored", sa.Text(), nullable=False, comment="JSON: patterns of keys"),
        sa.Column(
            "auto_approve", sa.String(8), nullable=True, comment="confidence that needs no asking"
        ),
        sa.ForeignKeyConstraint(
            ["catalog_id"],
            ["catalogs.id"],
            name="fk_scan_policies_catalog_id_catalogs",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("catalog_id", name="pk_scan_policies"),
        comment="What the scans of a catalog pass over, and register by themselves",
    )


def downgrade() -> None:
    op.drop_table("scan_policies")
