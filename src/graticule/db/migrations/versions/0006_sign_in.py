"""Passwords and the links to choose one, sessions, failed attempts, devices that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _member(
    table: str, *, nullable: bool = False
) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("member_id", sa.String(36), nullable=nullable),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["members.id"],
            name=f"fk_{table}_member_id_members",
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    op.create_table(
        "member_passwords",
        *_member("member_passwords"),
        sa.Column(
            "password_hash", sa.Text(), nullable=False, comment="Argon2id, with its parameters"
        ),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", name="pk_member_passwords"),
    )
    op.create_table(
        "password_links",
        sa.Column(
            "token_hash", sa.String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"
        ),
        *_member("password_links"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_password_links"),
        comment="One-time links with which a user chooses a password",
    )
    op.create_index("ix_password_links_member_id", "password_links", ["member_id"])
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column(
            "token_hash", sa.String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"
        ),
        *_member("sessions"),
        sa.Column(
            "method", sa.Text(), nullable=False, comment="password, link, or an identity provider"
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        comment="Browsers that are signed in",
    )
    op.create_index("ix_sessions_token_hash", "sessions", ["token_hash"], unique=True)
    op.create_index("ix_sessions_member_id", "sessions", ["member_id"])
    op.create_index("ix_sessions_expires_at_ms", "sessions", ["expires_at_ms"])
    op.create_table(
        "sign_in_attempts",
        sa.Column(
            "subject", sa.String(64), nullable=False, comment="SHA-256 of an account or address"
        ),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_sign_in_attempts"),
        comment="Failed attempts to sign in; subjects may be names that nobody has",
    )
    op.create_index(
        "ix_sign_in_attempts_blocked_until_ms", "sign_in_attempts", ["blocked_until_ms"]
    )
    op.create_table(
        "devices",
        sa.Column(
            "code_hash", sa.String(64), nullable=False, comment="SHA-256 of 256 random bits, hex"
        ),
        sa.Column("user_code", sa.String(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="as the device calls itself"),
        sa.Column("state", sa.String(16), nullable=False, comment="pending, approved or denied"),
        *_member("devices", nullable=True),
        sa.Column("scopes", sa.Text(), nullable=False, comment="space-separated; of who approved"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("polled_at_ms", sa.BigInteger()),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name="pk_devices"),
        comment="Command lines that wait for somebody to sign them in (RFC 8628)",
    )
    op.create_index("ix_devices_user_code", "devices", ["user_code"], unique=True)
    op.create_index("ix_devices_expires_at_ms", "devices", ["expires_at_ms"])


def downgrade() -> None:
    for table in ("devices", "sign_in_attempts", "sessions", "password_links", "member_passwords"):
        op.drop_table(table)
