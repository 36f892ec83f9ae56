"""What the tables are made of: their metadata, and the columns that many of them have."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, MetaData, String, Text, false

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


# Byte order everywhere: prefix ranges on locations and keyset pages must not depend on a locale.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def id_() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def belongs_to(table: str, *, name: str | None = None) -> Column[str]:
    column = name or f"{table.removesuffix('s')}_id"
    return Column(column, String(36), ForeignKey(f"{table}.id"), nullable=False)


def flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=false())


def of_member(*, primary_key: bool = False) -> Column[str]:
    """What lets somebody act as a member ends with it."""
    return Column(
        "member_id",
        String(36),
        ForeignKey("members.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )


def ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)
