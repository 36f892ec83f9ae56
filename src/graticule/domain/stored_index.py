"""An index file of a table, as it is known without opening it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """`place` says what its boxes are of; `damage` what is wrong with it, as somebody found."""

    snapshot_id: int
    place: str
    location: str
    file_count: int
    unknown_count: int
    created_at_ms: int
    damage: str | None = None
    damaged_at_ms: int | None = None
