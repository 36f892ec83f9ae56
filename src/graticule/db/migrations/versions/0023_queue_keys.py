"""Queues that are encrypted with a KMS key of somebody's own."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "event_queues",
        sa.Column("kms_key_arn", sa.Text(), comment="what the queue is encrypted with"),
    )


def downgrade() -> None:
    op.drop_column("event_queues", "kms_key_arn")
