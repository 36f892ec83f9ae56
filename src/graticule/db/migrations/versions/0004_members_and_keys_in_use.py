"""Members that can be disabled, and when API keys were last used."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("members", sa.Column("disabled_at_ms", sa.BigInteger()))
    op.add_column("api_keys", sa.Column("last_used_at_ms", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("api_keys", "last_used_at_ms")
    op.drop_column("members", "disabled_at_ms")
