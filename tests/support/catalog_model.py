"""What a catalog should hold: the model that random histories are compared with.

Only dictionaries and rules; each method says what the specification makes of an operation, as the
status to expect, and changes the model if the operation succeeds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Levels = tuple[str, ...]
Name = tuple[Levels, str]

TABLE = "table"
VIEW = "view"


@dataclass
class Entry:
    """A table or view: what must not be lost."""

    kind: str
    uuid: str
    metadata_location: str
    properties: dict[str, str] = field(default_factory=dict)


@dataclass
class CatalogModel:
    namespaces: dict[Levels, dict[str, str]] = field(default_factory=dict)
    entries: dict[Name, Entry] = field(default_factory=dict)
    left: list[Entry] = field(default_factory=list)
    """What was dropped and can be registered again: its metadata file is still there."""

    # What is there

    def children(self, parent: Levels) -> list[Levels]:
        depth = len(parent) + 1
        return sorted(
            levels for levels in self.namespaces if len(levels) == depth and levels[:-1] == parent
        )

    def names(self, namespace: Levels, kind: str) -> list[str]:
        return sorted(
            name
            for (levels, name), entry in self.entries.items()
            if levels == namespace and entry.kind == kind
        )

    def entry(self, name: Name, kind: str) -> Entry | None:
        found = self.entries.get(name)
        return found if found is not None and found.kind == kind else None

    def is_live(self, entry: Entry) -> bool:
        return any(other.uuid == entry.uuid for other in self.entries.values())

    # What can be done

    def create_namespace(self, levels: Levels, properties: Mapping[str, str]) -> int:
        if levels in self.namespaces:
            return 409
        if len(levels) > 1 and levels[:-1] not in self.namespaces:
            return 404
        self.namespaces[levels] = dict(properties)
        return 200

    def drop_namespace(self, levels: Levels) -> int:
        if levels not in self.namespaces:
            return 404
        holds_entries = any(namespace == levels for namespace, _ in self.entries)
        if holds_entries or self.children(levels):
            return 409
        del self.namespaces[levels]
        return 204

    def update_properties(
        self, levels: Levels, removals: Iterable[str], updates: Mapping[str, str]
    ) -> int:
        if levels not in self.namespaces:
            return 404
        if set(removals) & set(updates):
            return 422
        properties = self.namespaces[levels]
        for name in removals:
            properties.pop(name, None)
        properties.update(updates)
        return 200

    def can_create(self, name: Name) -> int:
        """The status for a new table or view; the caller adds it, knowing its uuid."""
        if name[0] not in self.namespaces:
            return 404
        return 409 if name in self.entries else 200

    def can_register(self, name: Name, entry: Entry, *, overwrite: bool) -> set[int]:
        """`entry` is what the metadata file describes."""
        if name[0] not in self.namespaces:
            return {404}
        existing = self.entries.get(name)
        may_replace = overwrite and existing is not None and existing.kind == entry.kind == TABLE
        if existing is not None and not may_replace:
            return {409}
        replaces_itself = existing is not None and existing.uuid == entry.uuid
        if self.is_live(entry) and not replaces_itself:
            return {400, 409}  # its location, and its uuid, are taken
        return {200}

    def register(self, name: Name, entry: Entry) -> None:
        replaced = self.entries.pop(name, None)
        if replaced is not None:
            self.left.append(replaced)
        self.entries[name] = entry

    def rename(self, source: Name, destination: Name, kind: str) -> int:
        entry = self.entry(source, kind)
        if entry is None or destination[0] not in self.namespaces:
            return 404
        if source == destination:
            return 204
        if destination in self.entries:
            return 409
        self.entries[destination] = self.entries.pop(source)
        return 204

    def drop(self, name: Name, kind: str, *, keeps_files: bool = True) -> bool:
        """Whether there was something to drop."""
        entry = self.entry(name, kind)
        if entry is None:
            return False
        del self.entries[name]
        if keeps_files:
            self.left.append(entry)
        return True
