"""The audit log, webhooks and their deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _sorted_text() -> sa.Text:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("subject_kind", sa.String(16), nullable=False),
        sa.Column("subject_id", _sorted_text(), nullable=False),
        sa.Column("subject_name", _sorted_text(), nullable=False),
        sa.Column("catalog_id", sa.String(36), comment="no reference: events outlive it"),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("member_id", sa.String(36), nullable=False),
        sa.Column("member_name", _sorted_text(), nullable=False),
        sa.Column("credential_id", sa.String(64), nullable=False),
        sa.Column("allowed_by", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON"),
        sa.Column(
            "is_announced",
            sa.Boolean(),
            nullable=False,
            comment="webhooks have it, or there are none",
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_audit_events_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    for columns in (
        ("organisation_id", "id"),
        ("organisation_id", "subject_id", "id"),
        ("organisation_id", "member_id", "id"),
        ("at_ms",),
    ):
        op.create_index(f"ix_audit_events_{'_'.join(columns)}", "audit_events", [*columns])
    unannounced = sa.text("NOT is_announced")
    op.create_index(
        "ix_audit_events_unannounced",
        "audit_events",
        ["id"],
        sqlite_where=unannounced,
        postgresql_where=unannounced,
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "types",
            sa.Text(),
            nullable=False,
            comment="JSON list of event types, `*` at their end",
        ),
        sa.Column("catalog_id", sa.String(36), comment="only events of this catalog"),
        sa.Column("sealed_secret", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_webhooks_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sa.UniqueConstraint("organisation_id", "name", name="uq_webhooks_organisation_id_name"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("webhook_id", sa.String(36), nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column(
            "payload", sa.Text(), nullable=False, comment="the CloudEvent as it is sent, JSON"
        ),
        sa.Column("state", sa.String(16), nullable=False, comment="pending, delivered or failed"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), comment="of the last answer"),
        sa.Column("error", sa.Text(), comment="why the last attempt failed"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name="fk_webhook_deliveries_webhook_id_webhooks",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_id", "webhook_deliveries", ["webhook_id", "id"]
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["not_before_ms"],
        sqlite_where=pending,
        postgresql_where=pending,
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
    op.drop_table("audit_events")
