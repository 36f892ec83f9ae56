"""The table metadata that a commit is working on: schemas, specs, orders, snapshots and logs."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from graticule.domain.errors import InvalidUpdate
from graticule.iceberg import metadata as table
from graticule.iceberg import partitioning, properties, sorting
from graticule.iceberg.document_draft import DocumentDraft
from graticule.iceberg.entries import followed_by, snapshot_ids
from graticule.iceberg.format_versions import SEQUENCE_NUMBERS
from graticule.iceberg.members import Json
from graticule.iceberg.schema import Schema, parse_schema
from graticule.iceberg.snapshot_log import repaired_log
from graticule.iceberg.snapshots import MAIN

_LOGS: Final = ("snapshot-log", "metadata-log")


@dataclass(slots=True)
class Draft(DocumentDraft):
    """One commit in the making.  `base` is None while the table is being created."""

    is_current_changed: bool = False
    """The current schema, default spec or default order is another one than before."""
    added_snapshot_ids: set[int] = field(default_factory=set)
    """Of those that this commit removed again, too."""
    has_removed_snapshots: bool = False
    log_additions: list[Json] = field(default_factory=list)
    _parsed_schemas: dict[int, Schema] = field(default_factory=dict)
    _snapshot_ids_before: AbstractSet[int] | None = None
    _added_snapshots: dict[int, Json] = field(default_factory=dict)
    _removed_before: set[int] = field(default_factory=set)
    """Of the snapshots that were there before the commit."""
    _statistics: dict[str, dict[int, list[Json]]] = field(default_factory=dict)

    @classmethod
    def of(cls, base: Json, *, now_ms: int) -> "Draft":
        """A draft of an existing table, older spellings brought up to date."""
        document = base | {
            "schemas": table.schemas(base),
            "current-schema-id": table.current_schema_id(base),
            "partition-specs": table.partition_specs(base),
            "default-spec-id": table.default_spec_id(base),
            "last-partition-id": table.last_partition_id(base),
            "sort-orders": table.sort_orders(base),
            "default-sort-order-id": table.default_sort_order_id(base),
            "properties": table.properties(base),
            "snapshots": table.snapshots(base),
            "current-snapshot-id": table.current_snapshot_id(base),
            "refs": table.refs(base),
            "last-sequence-number": base.get("last-sequence-number") or 0,
            "statistics": base.get("statistics") or [],
            "partition-statistics": base.get("partition-statistics") or [],
            "snapshot-log": base.get("snapshot-log") or [],
            "metadata-log": base.get("metadata-log") or [],
        }
        return cls(document, base, now_ms)

    @classmethod
    def empty(cls, *, format_version: int, now_ms: int) -> "Draft":
        document = table.empty_table(format_version=format_version, now_ms=now_ms)
        return cls(document, None, now_ms, is_changed=True, is_current_changed=True)

    @property
    def format_version(self) -> int:
        return int(self.document["format-version"])

    def statistics(self, key: str) -> dict[int, list[Json]]:
        """`statistics` or `partition-statistics` by snapshot; writing to it writes through."""
        if key not in self._statistics:
            grouped: dict[int, list[Json]] = {}
            for item in self.document[key]:
                grouped.setdefault(item["snapshot-id"], []).append(item)
            self._statistics[key] = grouped
        return self._statistics[key]

    # Schemas, specs, orders.

    def schema(self, document: Json) -> Schema:
        """The checked schema of this document, which the table holds."""
        schema_id = document["schema-id"]
        if schema_id not in self._parsed_schemas:
            self._parsed_schemas[schema_id] = parse_schema(document)
        return self._parsed_schemas[schema_id]

    def current_schema(self) -> Schema:
        """The schema that specs and sort orders are checked against.

        Raises:
            InvalidUpdate: there is none yet.
        """
        document = table.schema_by_id(self.document, self.document["current-schema-id"])
        if document is None:
            raise InvalidUpdate("the table has no current schema")
        return self.schema(document)

    def remove_definitions(self, key: str, id_key: str, ids: Iterable[int]) -> None:
        """Remove those that exist."""
        unwanted = set(ids)
        kept = [item for item in self.document[key] if item[id_key] not in unwanted]
        if len(kept) < len(self.document[key]):
            self.replace(key, kept)
        if self.last_added_ids.get(key) in unwanted:
            del self.last_added_ids[key]

    # Snapshots and refs.

    def has_snapshot(self, snapshot_id: int) -> bool:
        if snapshot_id in self._added_snapshots:
            return True
        return snapshot_id in self._before() and snapshot_id not in self._removed_before

    def add_snapshot(self, snapshot: Json) -> None:
        """Add one that is not there."""
        self._added_snapshots[snapshot["snapshot-id"]] = snapshot
        self.added_snapshot_ids.add(snapshot["snapshot-id"])
        self.is_changed = True

    def remove_snapshot(self, snapshot_id: int) -> None:
        """Remove one that is there, with its statistics."""
        if self._added_snapshots.pop(snapshot_id, None) is None:
            self._removed_before.add(snapshot_id)
        self.statistics("statistics").pop(snapshot_id, None)
        self.statistics("partition-statistics").pop(snapshot_id, None)
        self.is_changed = self.has_removed_snapshots = True

    def set_current_snapshot(self, snapshot_id: int | None) -> None:
        if self.document["current-snapshot-id"] == snapshot_id:
            return
        self.document["current-snapshot-id"] = snapshot_id
        self.is_changed = True
        if snapshot_id is not None:
            added = self._added_snapshots.get(snapshot_id)
            since_ms = self.now_ms if added is None else added["timestamp-ms"]
            self.log_additions.append({"timestamp-ms": since_ms, "snapshot-id": snapshot_id})

    def remove_ref(self, name: str) -> None:
        if name in self.document["refs"]:
            del self.own_map("refs")[name]
            self.is_changed = True
        if name == MAIN:
            self.set_current_snapshot(None)

    # The end.

    def finish(self, *, metadata_location: str | None) -> tuple[Json, tuple[str, ...]]:
        """The finished document, and the metadata files that it no longer lists.

        Raises:
            InvalidUpdate: something that every table has is missing.
            InvalidRequest: the default spec or order does not fit the current schema.
        """
        self._check_complete()
        document = self.document
        document["snapshots"] = self._snapshots()
        for key, grouped in self._statistics.items():
            document[key] = [item for items in grouped.values() for item in items]
        document["snapshot-log"] = self._snapshot_log()
        expired = self._extend_metadata_log(metadata_location)
        document["last-updated-ms"] = max(
            self.now_ms,
            self.base["last-updated-ms"] if self.base else 0,
            *(log[-1]["timestamp-ms"] for key in _LOGS if (log := document[key])),
        )
        return table.with_derived_members(document), expired

    def _before(self) -> AbstractSet[int]:
        """The ids of the snapshots that were there before the commit."""
        if self._snapshot_ids_before is None:
            self._snapshot_ids_before = snapshot_ids(self.document["snapshots"])
        return self._snapshot_ids_before

    def _snapshots(self) -> Sequence[Json]:
        before: Sequence[Json] = self.document["snapshots"]
        if self._removed_before:
            before = [it for it in before if it["snapshot-id"] not in self._removed_before]
        return followed_by(before, [*self._added_snapshots.values()])

    def _snapshot_log(self) -> Sequence[Json]:
        if not self.log_additions and not self.has_removed_snapshots:
            return self.document["snapshot-log"]  # type: ignore[no-any-return]
        return repaired_log(
            self.document["snapshot-log"],
            self.log_additions,
            has_snapshot=self.has_snapshot,
            added_snapshot_ids=self.added_snapshot_ids,
            current_snapshot_id=self.document["current-snapshot-id"],
            has_removed_snapshots=self.has_removed_snapshots,
            now_ms=self.now_ms,
        )

    def _extend_metadata_log(self, metadata_location: str | None) -> tuple[str, ...]:
        if self.base is None or metadata_location is None:
            return ()
        entry = {
            "timestamp-ms": self.base["last-updated-ms"],
            "metadata-file": metadata_location,
        }
        kept_properties = self.document["properties"]
        log = [*self.document["metadata-log"], entry]
        surplus = max(0, len(log) - properties.previous_versions_max(kept_properties))
        self.document["metadata-log"] = log[surplus:]
        if not properties.deletes_after_commit(kept_properties):
            return ()
        return tuple(item["metadata-file"] for item in log[:surplus])

    def _check_complete(self) -> None:
        document = self.document
        if self.format_version >= SEQUENCE_NUMBERS and document.get("table-uuid") is None:
            raise InvalidUpdate(f"UUID is required in format v{self.format_version}")
        if document.get("location") is None:
            raise InvalidUpdate("a table needs a location: send `set-location`")
        if not self.is_current_changed:
            return
        if not document["partition-specs"] or not document["sort-orders"]:
            raise InvalidUpdate("a table needs a partition spec and a sort order")
        schema = self.current_schema()
        partitioning.check_spec(table.default_partition_spec(document), schema)
        sorting.check_order(table.default_sort_order(document), schema)
