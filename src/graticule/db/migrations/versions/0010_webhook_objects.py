"""Webhooks that want the events of one object only."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "webhooks",
        sa.Column("object_id", sa.Text(), nullable=True, comment="only events about this object"),
    )


def downgrade() -> None:
    op.drop_column("webhooks", "object_id")
