"""The history of verifications, when to verify again, and what an integration's last one said."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from uuid6 import uuid7

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "storage_integrations",
        sa.Column(
            "verification_status", sa.String(16), nullable=False, server_default="unverified"
        ),
    )
    op.add_column("storage_integrations", sa.Column("verify_at_ms", sa.BigInteger()))
    op.add_column("storage_integrations", sa.Column("verify_because", sa.String(16)))
    op.create_index(
        "ix_storage_integrations_verify_at_ms", "storage_integrations", ["verify_at_ms"]
    )
    op.create_table(
        "verifications",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("integration_id", sa.String(36), nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.Text(), comment="name of the member who asked"),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("checks", sa.Text(), nullable=False, comment="findings so far, JSON"),
        sa.Column("waiting", sa.Text(), nullable=False),
        sa.Column("bucket_type", sa.String(16), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_by_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["integration_id"],
            ["storage_integrations.id"],
            name="fk_verifications_integration_id_storage_integrations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_verifications"),
    )
    op.create_index("ix_verifications_integration_id_id", "verifications", ["integration_id", "id"])
    _move_last_reports()
    op.drop_column("storage_integrations", "verification")


def downgrade() -> None:
    op.add_column(
        "storage_integrations",
        sa.Column("verification", sa.Text(), comment="the last verification report, JSON"),
    )
    op.drop_table("verifications")
    op.drop_index("ix_storage_integrations_verify_at_ms", "storage_integrations")
    for name in ("verify_because", "verify_at_ms", "verification_status"):
        op.drop_column("storage_integrations", name)


def _kept(check: dict[str, Any]) -> dict[str, Any]:
    fields = ("id", "title", "status", "ms", "detail", "remedy")
    return {name: check[name] if check[name] is not None else "" for name in fields}


def _move_last_reports() -> None:
    """What was found before becomes the first entry of the history; it is due to be looked at."""
    conn = op.get_bind()
    integrations = sa.table(
        "storage_integrations",
        *(
            sa.column(name)
            for name in (
                "id",
                "verification",
                "verified_at_ms",
                "verification_status",
                "verify_at_ms",
                "verify_because",
            )
        ),
    )
    verifications = sa.table(
        "verifications",
        *(
            sa.column(name)
            for name in (
                "id",
                "integration_id",
                "trigger",
                "state",
                "checks",
                "waiting",
                "bucket_type",
                "started_at_ms",
                "ends_by_ms",
                "finished_at_ms",
            )
        ),
    )
    reported = sa.select(integrations.c.id, integrations.c.verification).where(
        integrations.c.verification.is_not(None), integrations.c.verified_at_ms.is_not(None)
    )
    for row in conn.execute(reported).all():
        report = json.loads(row.verification)
        at_ms, state = report["verified_at_ms"], "passed" if report["passed"] else "failed"
        conn.execute(
            verifications.insert().values(
                id=str(uuid7()),
                integration_id=row.id,
                trigger="manual",
                state=state,
                checks=json.dumps([_kept(check) for check in report["checks"]]),
                waiting="",
                bucket_type=report["bucket_type"],
                started_at_ms=at_ms,
                ends_by_ms=at_ms,
                finished_at_ms=at_ms,
            )
        )
        conn.execute(
            integrations.update()
            .where(integrations.c.id == row.id)
            .values(verification_status=state, verify_at_ms=at_ms, verify_because="scheduled")
        )
