"""Inspections without what no proposal is made from, so that very many fit into memory.  Pure."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from graticule.discovery.inspection import FileInspection


class Slimming:
    """Leaves the bounds of columns and row groups out, and keeps equal schemas once.

    The bounds of the columns `keep` stay: those that the names of folders speak of.
    """

    def __init__(self, *, keep: Collection[str] = ()) -> None:
        self._keep = frozenset(keep)
        self._fields: dict[str, tuple[Mapping[str, Any], ...]] = {}

    def __call__(self, found: FileInspection) -> FileInspection:
        geometry = {
            name: replace(column, row_group_boxes=()) for name, column in found.geometry.items()
        }
        positions = found.positions
        return replace(
            found,
            fields=self._fields.setdefault(repr(found.fields), found.fields),
            row_groups=(),
            split_offsets=(),
            metrics={name: found.metrics[name] for name in self._keep if name in found.metrics},
            geometry=geometry,
            positions=None if positions is None else replace(positions, row_group_boxes=()),
        )
