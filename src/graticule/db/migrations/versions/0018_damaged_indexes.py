"""Stored indexes that were found damaged are known as such until they are repaired."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    comment = "what is wrong with the file: not to be used"
    op.add_column("spatial_indexes", sa.Column("damage", sa.Text(), comment=comment))
    op.add_column("spatial_indexes", sa.Column("damaged_at_ms", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("spatial_indexes", "damaged_at_ms")
    op.drop_column("spatial_indexes", "damage")
