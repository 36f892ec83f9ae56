"""What an integration may do: read-only, requester pays, KMS key, consent to static credentials."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INTEGRATION_FLAGS = ("read_only", "requester_pays", "allow_static_credentials")


def upgrade() -> None:
    key = sa.Column(
        "kms_key_arn", sa.Text(), nullable=True, comment="the key that encrypts what is written"
    )
    op.add_column("storage_integrations", key)
    for name in _INTEGRATION_FLAGS:
        flag: sa.Column[bool] = sa.Column(
            name, sa.Boolean(), nullable=False, server_default=sa.false()
        )
        op.add_column("storage_integrations", flag)
    op.execute(
        "UPDATE storage_integrations SET requester_pays = true WHERE bucket_type = 'requester_pays'"
    )
    op.add_column(
        "catalogs",
        sa.Column(
            "forced_on", sa.String(16), nullable=True, comment="bucket type that was overruled"
        ),
    )


def downgrade() -> None:
    op.drop_column("catalogs", "forced_on")
    for name in (*_INTEGRATION_FLAGS, "kms_key_arn"):
        op.drop_column("storage_integrations", name)
