"""Parts of scans that other machines inspect."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scan_parts",
        sa.Column("scan_id", sa.String(36), nullable=False),
        sa.Column(
            "name", sa.String(40), nullable=False, comment="of its files, whose digest is in it"
        ),
        sa.Column("files", sa.Integer(), nullable=False, comment="how many"),
        sa.Column(
            "places", sa.Text(), nullable=False, comment="JSON: folders that may be read for it"
        ),
        sa.Column("state", sa.String(16), nullable=False, comment="out, taken, refused or removed"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why its answers were refused"),
        sa.ForeignKeyConstraint(
            ["scan_id"], ["scans.id"], name="fk_scan_parts_scan_id_scans", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scan_id", "name", name="pk_scan_parts"),
        comment="Files that a scan has handed to other machines; what they need lies in the bucket",
    )


def downgrade() -> None:
    op.drop_table("scan_parts")
