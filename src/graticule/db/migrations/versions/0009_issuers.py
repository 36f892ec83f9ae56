"""Identity providers, and which of their subjects are which members."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _sorted_text() -> sa.Text:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "issuers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("audiences", sa.Text(), nullable=False, comment="JSON list"),
        sa.Column("client_id", sa.Text()),
        sa.Column("sealed_client_secret", sa.Text()),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("organisation_claim", sa.Text()),
        sa.Column("role_claim", sa.Text()),
        sa.Column("admin_values", sa.Text(), nullable=False, comment="JSON list"),
        sa.Column("user_values", sa.Text(), nullable=False, comment="JSON list"),
        sa.Column("name_claim", sa.Text(), nullable=False),
        sa.Column("auto_provision", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_issuers_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_issuers"),
        sa.UniqueConstraint("name", name="uq_issuers_name"),
        comment="Identity providers that the operator trusts",
    )
    op.create_index("ix_issuers_url", "issuers", ["url"], unique=True)
    op.create_table(
        "member_identities",
        sa.Column("issuer_id", sa.String(36), nullable=False),
        sa.Column("subject", _sorted_text(), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("member_id", sa.String(36), nullable=False),
        sa.Column("synchronised_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issuer_id"],
            ["issuers.id"],
            name="fk_member_identities_issuer_id_issuers",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_member_identities_organisation_id_organisations",
        ),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["members.id"],
            name="fk_member_identities_member_id_members",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "issuer_id", "subject", "organisation_id", name="pk_member_identities"
        ),
        comment="Who is which member, by issuer and subject",
    )
    op.create_index("ix_member_identities_member_id", "member_identities", ["member_id"])


def downgrade() -> None:
    op.drop_table("member_identities")
    op.drop_table("issuers")
