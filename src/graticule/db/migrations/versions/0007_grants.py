"""Grants, and the roles they may be given to.  Catalogs there already stay open to all members."""

import time

import sqlalchemy as sa
from alembic import op
from uuid6 import uuid7

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WRITE = 3


def _sorted_text() -> sa.Text:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "roles",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("name", _sorted_text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_roles_organisation_id_organisations",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("organisation_id", "name", name="uq_roles_organisation_id_name"),
    )
    op.create_table(
        "role_members",
        sa.Column("member_id", sa.String(36), nullable=False),
        sa.Column("role_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["members.id"],
            name="fk_role_members_member_id_members",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name="fk_role_members_role_id_roles", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("member_id", "role_id", name="pk_role_members"),
    )
    op.create_index("ix_role_members_role_id_member_id", "role_members", ["role_id", "member_id"])
    grants = op.create_table(
        "grants",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("organisation_id", sa.String(36), nullable=False),
        sa.Column("catalog_id", sa.String(36), nullable=False),
        sa.Column("namespace_id", sa.String(36)),
        sa.Column("table_id", sa.String(36)),
        sa.Column("object_id", sa.String(36), nullable=False, comment="the innermost of the three"),
        sa.Column(
            "kind",
            sa.String(16),
            nullable=False,
            comment="catalog, namespace, table or view",
        ),
        sa.Column(
            "path",
            _sorted_text(),
            nullable=False,
            comment="of the namespace, empty for a catalog",
        ),
        sa.Column(
            "name",
            _sorted_text(),
            nullable=False,
            comment="of the table or view, else empty",
        ),
        sa.Column(
            "grantee_id",
            sa.String(36),
            nullable=False,
            comment="everyone: the organisation's id",
        ),
        sa.Column("grantee_kind", sa.String(8), nullable=False),
        sa.Column(
            "privilege",
            sa.SmallInteger(),
            nullable=False,
            comment="1 browse, 2 read, 3 write, 4 manage",
        ),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name="fk_grants_organisation_id_organisations",
        ),
        sa.ForeignKeyConstraint(
            ["catalog_id"],
            ["catalogs.id"],
            name="fk_grants_catalog_id_catalogs",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["namespace_id"],
            ["namespaces.id"],
            name="fk_grants_namespace_id_namespaces",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["table_id"], ["tables.id"], name="fk_grants_table_id_tables", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sa.UniqueConstraint("object_id", "grantee_id", name="uq_grants_object_id_grantee_id"),
        sa.CheckConstraint("privilege BETWEEN 1 AND 4", name=op.f("ck_grants_privilege")),
        sa.CheckConstraint(
            "grantee_kind IN ('member', 'role')", name=op.f("ck_grants_grantee_kind")
        ),
        sa.CheckConstraint(
            "kind IN ('catalog', 'namespace', 'table', 'view')", name=op.f("ck_grants_kind")
        ),
    )
    op.create_index(
        "ix_grants_grantee_id_catalog_id_path_name_kind",
        "grants",
        ["grantee_id", "catalog_id", "path", "name", "kind"],
    )
    op.create_index("ix_grants_namespace_id", "grants", ["namespace_id"])
    op.create_index("ix_grants_table_id", "grants", ["table_id"])
    _open_catalogs(grants)


def _open_catalogs(grants: sa.Table) -> None:
    """Every member could write to every catalog; now that is a grant, which can be revoked."""
    catalogs = sa.table("catalogs", sa.column("id"), sa.column("organisation_id"))
    now_ms = time.time_ns() // 1_000_000
    rows = [
        {
            "id": str(uuid7()),
            "organisation_id": catalog.organisation_id,
            "catalog_id": catalog.id,
            "object_id": catalog.id,
            "kind": "catalog",
            "path": "",
            "name": "",
            "grantee_id": catalog.organisation_id,
            "grantee_kind": "role",
            "privilege": WRITE,
            "granted_by": "upgrade",
            "created_at_ms": now_ms,
        }
        for catalog in op.get_bind().execute(sa.select(catalogs))
    ]
    if rows:
        op.bulk_insert(grants, rows)


def downgrade() -> None:
    op.drop_table("grants")
    op.drop_table("role_members")
    op.drop_table("roles")
