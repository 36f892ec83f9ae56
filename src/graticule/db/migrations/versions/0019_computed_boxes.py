"""Boxes that were read from data files without statistics, and which indexes lack some."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "computed_boxes",
        sa.Column("table_id", sa.String(36), nullable=False),
        sa.Column("field_id", sa.Integer(), nullable=False, comment="of the geometry column"),
        sa.Column(
            "path", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "inspection",
            sa.LargeBinary(),
            nullable=True,
            comment="by discovery.inspection_codec",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="why there is none"),
        sa.Column(
            "next_group", sa.Integer(), nullable=True, comment="where to go on; null at the end"
        ),
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=False,
            comment="rises with every change of a table",
        ),
        sa.ForeignKeyConstraint(
            ["table_id"],
            ["tables.id"],
            name="fk_computed_boxes_table_id_tables",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", "field_id", "path", name="pk_computed_boxes"),
        comment="What was read in data files because no statistics tell where their rows are",
    )
    op.create_index(
        "ix_computed_boxes_table_id_generation", "computed_boxes", ["table_id", "generation"]
    )
    op.add_column(
        "spatial_indexes",
        sa.Column("lacks_boxes", sa.Boolean(), nullable=False, server_default=sa.true()),
    )


def downgrade() -> None:
    op.drop_column("spatial_indexes", "lacks_boxes")
    op.drop_table("computed_boxes")
