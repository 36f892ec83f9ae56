"""Who may do what: roles and grants."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from graticule.db.schema.columns import TEXT, belongs_to, id_, metadata, ms

roles = Table(
    "roles",
    metadata,
    id_(),
    belongs_to("organisations"),
    Column("name", TEXT, nullable=False),
    ms("created_at_ms"),
    UniqueConstraint("organisation_id", "name"),
)

role_members = Table(
    "role_members",
    metadata,
    Column("member_id", String(36), ForeignKey("members.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", String(36), ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "role_id", "member_id"),
)

grants = Table(
    "grants",
    metadata,
    id_(),
    belongs_to("organisations"),
    Column("catalog_id", String(36), ForeignKey("catalogs.id", ondelete="CASCADE"), nullable=False),
    Column("namespace_id", String(36), ForeignKey("namespaces.id", ondelete="CASCADE")),
    Column("table_id", String(36), ForeignKey("tables.id", ondelete="CASCADE")),
    Column("object_id", String(36), nullable=False, comment="the innermost of the three"),
    Column("kind", String(16), nullable=False, comment="catalog, namespace, table or view"),
    Column("path", TEXT, nullable=False, comment="of the namespace, empty for a catalog"),
    Column("name", TEXT, nullable=False, comment="of the table or view, else empty"),
    Column("grantee_id", String(36), nullable=False, comment="everyone: the organisation's id"),
    Column("grantee_kind", String(8), nullable=False),
    Column(
        "privilege", SmallInteger, nullable=False, comment="1 browse, 2 read, 3 write, 4 manage"
    ),
    Column("granted_by", Text, nullable=False),
    ms("created_at_ms"),
    UniqueConstraint("object_id", "grantee_id"),
    # What a grantee sees in, or anywhere below, a namespace: one range, in the order of lists.
    Index(None, "grantee_id", "catalog_id", "path", "name", "kind"),
    Index(None, "namespace_id"),
    Index(None, "table_id"),
    CheckConstraint("privilege BETWEEN 1 AND 4", name="privilege"),
    CheckConstraint("grantee_kind IN ('member', 'role')", name="grantee_kind"),
    CheckConstraint("kind IN ('catalog', 'namespace', 'table', 'view')", name="kind"),
)
