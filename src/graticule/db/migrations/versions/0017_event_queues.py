"""Queues in which stores announce what changed."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_queues",
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("integration_id", sa.String(36), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("next_poll_ms", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row"),
        sa.Column("error", sa.Text(), comment="why the last attempt failed"),
        sa.Column("polled_at_ms", sa.BigInteger()),
        sa.Column("received_at_ms", sa.BigInteger()),
        sa.Column("messages", sa.Integer(), comment="about so many wait"),
        sa.Column("has_dead_letters", sa.Boolean()),
        sa.Column(
            "unreadable",
            sa.Integer(),
            nullable=False,
            comment="messages that were left in the queue",
        ),
        sa.Column("unreadable_error", sa.Text(), comment="why the last of them was"),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_until_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["catalog_id"],
            ["catalogs.id"],
            name="fk_event_queues_catalog_id_catalogs",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["integration_id"],
            ["storage_integrations.id"],
            name="fk_event_queues_integration_id_storage_integrations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("catalog_id", name="pk_event_queues"),
        comment="SQS queues that stores announce changed objects in",
    )
    op.create_index("ix_event_queues_integration_id", "event_queues", ["integration_id"])


def downgrade() -> None:
    op.drop_index("ix_event_queues_integration_id", "event_queues")
    op.drop_table("event_queues")
