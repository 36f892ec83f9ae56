"""Who: organisations, members, what they sign in with, and their sessions."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from graticule.db.schema.columns import TEXT, belongs_to, id_, metadata, ms, of_member

organisations = Table(
    "organisations",
    metadata,
    id_(),
    Column("name", TEXT, nullable=False, unique=True),
    Column("edition", String(16), nullable=False),
    ms("created_at_ms"),
)

members = Table(
    "members",
    metadata,
    id_(),
    belongs_to("organisations"),
    Column("kind", String(16), nullable=False),
    Column("name", TEXT, nullable=False),
    Column("role", String(16), nullable=False),
    ms("created_at_ms"),
    ms("disabled_at_ms", nullable=True),
    UniqueConstraint("organisation_id", "name"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True, comment="the client id"),
    belongs_to("organisations"),
    belongs_to("members"),
    Column("name", TEXT, nullable=False),
    Column("secret_hash", String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"),
    Column("scopes", Text, nullable=False, comment="space-separated"),
    ms("created_at_ms"),
    ms("expires_at_ms", nullable=True),
    ms("revoked_at_ms", nullable=True),
    ms("last_used_at_ms", nullable=True),
    Index(None, "organisation_id", "id"),
    Index(None, "member_id"),
)

member_passwords = Table(
    "member_passwords",
    metadata,
    of_member(primary_key=True),
    Column("password_hash", Text, nullable=False, comment="Argon2id, with its parameters"),
    ms("changed_at_ms"),
)

password_links = Table(
    "password_links",
    metadata,
    Column("token_hash", String(64), primary_key=True, comment="SHA-256 of 256 random bits, hex"),
    of_member(),
    ms("created_at_ms"),
    ms("expires_at_ms"),
    Index(None, "member_id"),
    comment="One-time links with which a user chooses a password",
)

issuers = Table(
    "issuers",
    metadata,
    id_(),
    Column("name", TEXT, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("audiences", Text, nullable=False, comment="JSON list"),
    Column("client_id", Text, nullable=True),
    Column("sealed_client_secret", Text, nullable=True),
    belongs_to("organisations"),
    Column("organisation_claim", Text, nullable=True),
    Column("role_claim", Text, nullable=True),
    Column("admin_values", Text, nullable=False, comment="JSON list"),
    Column("user_values", Text, nullable=False, comment="JSON list"),
    Column("name_claim", Text, nullable=False),
    Column("auto_provision", Boolean, nullable=False),
    ms("created_at_ms"),
    Index(None, "url", unique=True),
    comment="Identity providers that the operator trusts",
)

member_identities = Table(
    "member_identities",
    metadata,
    Column("issuer_id", String(36), ForeignKey("issuers.id", ondelete="CASCADE"), primary_key=True),
    Column("subject", TEXT, primary_key=True),
    Column("organisation_id", String(36), ForeignKey("organisations.id"), primary_key=True),
    of_member(),
    ms("synchronised_at_ms"),  # the newest claims that counted for the role
    ms("created_at_ms"),
    Index(None, "member_id"),
    comment="Who is which member, by issuer and subject",
)

sessions = Table(
    "sessions",
    metadata,
    id_(),
    Column("token_hash", String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"),
    of_member(),
    Column("method", Text, nullable=False, comment="password, link, or an identity provider"),
    ms("created_at_ms"),
    ms("last_seen_at_ms"),
    ms("expires_at_ms"),
    Index(None, "token_hash", unique=True),
    Index(None, "member_id"),
    Index(None, "expires_at_ms"),
    comment="Browsers that are signed in",
)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("subject", String(64), primary_key=True, comment="SHA-256 of an account or address"),
    Column("failures", Integer, nullable=False),
    ms("blocked_until_ms"),
    Index(None, "blocked_until_ms"),
    comment="Failed attempts to sign in; subjects may be names that nobody has",
)

devices = Table(
    "devices",
    metadata,
    Column("code_hash", String(64), primary_key=True, comment="SHA-256 of 256 random bits, hex"),
    Column("user_code", String(16), nullable=False),
    Column("name", Text, nullable=False, comment="as the device calls itself"),
    Column("state", String(16), nullable=False, comment="pending, approved or denied"),
    Column("member_id", String(36), ForeignKey("members.id", ondelete="CASCADE"), nullable=True),
    Column("scopes", Text, nullable=False, comment="space-separated; of who approved"),
    ms("created_at_ms"),
    ms("polled_at_ms", nullable=True),
    ms("expires_at_ms"),
    Index(None, "user_code", unique=True),
    Index(None, "expires_at_ms"),
    comment="Command lines that wait for somebody to sign them in (RFC 8628)",
)
