"""Syncs hear of events by messages that stores send, not from queues."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("sync_settings", "queue_url")


def downgrade() -> None:
    op.add_column(
        "sync_settings",
        sa.Column("queue_url", sa.Text(), comment="SQS queue with the bucket's events"),
    )
