"""Jobs: work that outlives the request that asked for it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ACTIVE = "state IN ('queued', 'running')"


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject_id", sa.String(36), nullable=False, comment="of the catalog, table, …"),
        sa.Column(
            "key",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
            comment="one job of a key is active at a time",
        ),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("progress", sa.Text(), comment="JSON, for people"),
        sa.Column("checkpoint", sa.Text(), comment="JSON: where the next attempt goes on"),
        sa.Column("result", sa.Text(), comment="JSON"),
        sa.Column("error", sa.Text(), comment="why it, or its last attempt, failed"),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="since it last got any further"
        ),
        sa.Column("requests", sa.Integer(), nullable=False, comment="while it was active"),
        sa.Column("is_cancelling", sa.Boolean(), nullable=False),
        sa.Column("run_after_ms", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(128), comment="the attempt that runs"),
        sa.Column("lease_until_ms", sa.BigInteger()),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_jobs_organisation_id_organisations"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        comment="Work that outlives the request that asked for it",
    )
    op.create_index("ix_jobs_organisation_id_id", "jobs", ["organisation_id", "id"])
    op.create_index("ix_jobs_finished_at_ms", "jobs", ["finished_at_ms"])
    for name, column, is_unique in (
        ("uq_jobs_key", "key", True),
        ("ix_jobs_active", "run_after_ms", False),
    ):
        op.create_index(
            name,
            "jobs",
            [column],
            unique=is_unique,
            sqlite_where=sa.text(_ACTIVE),
            postgresql_where=sa.text(_ACTIVE),
        )


def downgrade() -> None:
    op.drop_table("jobs")
