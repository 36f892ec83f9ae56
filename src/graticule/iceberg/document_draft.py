"""The metadata document that a commit works on, a table's or a view's: copied where it is changed.

A document may hold ten thousand entries, and a commit touches a few: members are copied one level
deep, once, when they are first written to; what they hold is replaced, never changed.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from graticule.domain.errors import InvalidUpdate
from graticule.iceberg.members import Json

DEFINITIONS_MAX: Final = 200
"""Schemas, specs, orders, keys and view versions that one commit may add: each is compared with
all others.
"""


@dataclass(slots=True)
class DocumentDraft:
    """One commit in the making.  `base` is None while the table or view is being created."""

    document: Json
    base: Json | None
    now_ms: int
    is_changed: bool = False
    last_added_ids: dict[str, int] = field(default_factory=dict)
    """By the member that holds what was added: `schemas`, `partition-specs`, `versions`, …"""
    definitions_count: int = 0
    _owned: set[str] = field(default_factory=set)

    def own_list(self, key: str) -> list[Any]:
        if key not in self._owned:
            self.document[key] = list(self.document.get(key) or [])
            self._owned.add(key)
        return self.document[key]  # type: ignore[no-any-return]

    def own_map(self, key: str) -> dict[str, Any]:
        if key not in self._owned:
            self.document[key] = dict(self.document.get(key) or {})
            self._owned.add(key)
        return self.document[key]  # type: ignore[no-any-return]

    def set(self, key: str, value: object) -> None:
        """Set a member; a value that is already there changes nothing."""
        if self.document.get(key) != value:
            self.document[key] = value
            self.is_changed = True

    def replace(self, key: str, items: list[Any]) -> None:
        """Put a list in place of a member's; it belongs to the draft from now on."""
        self.document[key] = items
        self._owned.add(key)
        self.is_changed = True

    def count_definition(self) -> None:
        """Count one more request to add a schema, spec, sort order, key or view version.

        Raises:
            InvalidUpdate: more of them than one commit may make.
        """
        self.definitions_count += 1
        if self.definitions_count > DEFINITIONS_MAX:
            raise InvalidUpdate(
                f"a commit must not add more than {DEFINITIONS_MAX} schemas, specs, orders, keys "
                "and versions"
            )

    def add_definition(self, key: str, id_key: str, definition: Json) -> None:
        """Append a schema, spec, sort order or view version under its new id."""
        self.own_list(key).append(definition)
        self.last_added_ids[key] = definition[id_key]
        self.is_changed = True
