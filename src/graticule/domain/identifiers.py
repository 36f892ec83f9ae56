"""Names: of integrations and catalogs, of namespaces, tables and views.

Parsing, formatting and limits.  Percent-encoding is HTTP's business and lives in `api`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from graticule.domain.errors import InvalidName

NAMESPACE_SEPARATOR: Final = "\x1f"
"""Joins namespace levels on the wire (specification: unit separator, 0x1F)."""

NAMESPACE_LEVELS_MAX: Final = 16
_DOT_SEGMENTS: Final = (".", "..")
NAME_CHARACTERS_MAX: Final = 255
RESOURCE_NAME_CHARACTERS_MAX: Final = 128

_HAS_LETTER: Final = re.compile(r"[^\W\d_]")


def check_resource_name(name: str, *, of: str) -> str:
    """Check the name of a storage integration, catalog, key or the like; `of` says which.

    Letters, digits, spaces, special characters and underscores; at least one letter; no control
    characters, no leading or trailing space, no `/`, which splits `organisation/catalog`.

    Raises:
        InvalidName: the name breaks a rule; the message says which.
    """
    if not name or name != name.strip():
        raise InvalidName(f"{of} name `{name}` must not be empty, nor begin or end with a space")
    if len(name) > RESOURCE_NAME_CHARACTERS_MAX:
        raise InvalidName(
            f"{of} name is {len(name)} characters long; "
            f"at most {RESOURCE_NAME_CHARACTERS_MAX} are allowed"
        )
    _refuse_control_characters(name, of=f"{of} name")
    if "/" in name:
        raise InvalidName(f"{of} name `{name}` must not contain `/`")
    if not _HAS_LETTER.search(name):
        raise InvalidName(f"{of} name `{name}` must contain at least one letter")
    return name


def check_object_name(name: str, *, of: str) -> str:
    """Check one namespace level, table or view name: any text but control characters.

    Raises:
        InvalidName: empty, `.` or `..`, too long, or with a control or unpaired surrogate
            character.
    """
    if not isinstance(name, str) or not name:
        raise InvalidName(f"{of} must be a text that is not empty")
    if len(name) > NAME_CHARACTERS_MAX:
        raise InvalidName(
            f"{of} is {len(name)} characters long; at most {NAME_CHARACTERS_MAX} are allowed"
        )
    if name in _DOT_SEGMENTS:
        raise InvalidName(f"{of} must not be `{name}`, which clients take for a step in a path")
    _refuse_control_characters(name, of=of)
    return name


def _refuse_control_characters(name: str, *, of: str) -> None:
    if name.isprintable():  # as nearly all are
        return
    for character in name:
        if unicodedata.category(character) in {"Cc", "Cs"}:
            raise InvalidName(
                f"{of} {name.encode('unicode_escape').decode()!r} contains the control character "
                f"U+{ord(character):04X}"
            )


@dataclass(frozen=True, slots=True, order=True)
class Namespace:
    """One or more levels, outermost first."""

    levels: tuple[str, ...]

    @classmethod
    def of(cls, levels: Sequence[str]) -> Self:
        """Check and build.

        Raises:
            InvalidName: no level, too many levels, or an illegal level.
        """
        if not levels:
            raise InvalidName("a namespace needs at least one level")
        if len(levels) > NAMESPACE_LEVELS_MAX:
            raise InvalidName(
                f"the namespace has {len(levels)} levels; "
                f"at most {NAMESPACE_LEVELS_MAX} are allowed"
            )
        return cls(tuple(check_object_name(level, of="namespace level") for level in levels))

    @classmethod
    def from_path(cls, path: str) -> Self:
        """The inverse of `path`; trusts its input, which this server stored."""
        return cls(tuple(path.split(NAMESPACE_SEPARATOR)))

    @property
    def path(self) -> str:
        """The levels joined by 0x1F: the form in the database and in URLs."""
        return NAMESPACE_SEPARATOR.join(self.levels)

    @property
    def parent(self) -> "Namespace | None":
        return Namespace(self.levels[:-1]) if len(self.levels) > 1 else None

    def __str__(self) -> str:
        return ".".join(self.levels)


@dataclass(frozen=True, slots=True, order=True)
class TableIdentifier:
    """A table or view: its namespace and its name."""

    namespace: Namespace
    name: str

    @classmethod
    def of(cls, namespace: Sequence[str], name: str) -> Self:
        return cls(Namespace.of(namespace), check_object_name(name, of="table name"))

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"
