"""Which index is meant: of which table and snapshot, of boxes of what, and by which rules found."""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, Self

from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.iceberg import metadata
from graticule.planning.entry_boxes import leaf_types
from graticule.planning.table_places import TablePlace, crs_of, edges_of, place_of

Json = dict[str, Any]

BOX_RULES_VERSION: Final = 5
"""To be raised when boxes or entries are read in another way: then every index is built anew."""

_RULES_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Table:
    """A table as one request or job found it.  The document is shared: never to be changed."""

    catalog: OpenCatalog
    record: TableRecord
    document: Json

    def place(self, schema: Json | None = None, column: str | None = None) -> TablePlace:
        """Where its rows are, in a schema (the current one) and by a geometry column (the usual).

        Raises:
            InvalidRequest: `column` is none of the table, or holds no geometries.
        """
        return place_of(self.document, schema or metadata.current_schema(self.document), column)


@dataclass(frozen=True, slots=True)
class IndexKey:
    """What an index is about; `place` is what its boxes are of, and how they were found."""

    table_id: str
    snapshot_id: int
    place: str


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """An index that somebody asks for; `schema_id` None is the current schema."""

    table: Table
    snapshot: Json
    schema_id: int | None
    column: str | None
    place: TablePlace
    key: IndexKey

    @classmethod
    def of(
        cls,
        table: Table,
        snapshot: Json,
        *,
        schema: Json | None = None,
        column: str | None = None,
    ) -> Self:
        """`schema` is the one that names the place of rows, the current one unless given; `column`
        a geometry column to go by, when it is not the usual one.

        Raises:
            InvalidRequest: `column` is none of the table, or holds no geometries.
        """
        place = table.place(schema, column)
        schema_id = None if schema is None else int(schema["schema-id"])
        rules = blake2b(box_rules(place, table.document).encode(), digest_size=_RULES_BYTES)
        what = f"{place.key}-{rules.hexdigest()}" if place.key else rules.hexdigest()
        key = IndexKey(table.record.id, int(snapshot["snapshot-id"]), what)
        return cls(table, snapshot, schema_id, column, place, key)

    @classmethod
    def from_parameters(cls, table: Table, parameters: Json) -> Self | None:
        """The inverse of `parameters`; None if the snapshot or the schema is there no more.

        Raises:
            InvalidRequest: the column is there no more.
        """
        snapshot = metadata.snapshot_by_id(table.document, parameters["snapshot_id"])
        schema, schema_id = None, parameters.get("schema_id")
        if schema_id is not None:
            schema = metadata.schema_by_id(table.document, schema_id)
        if snapshot is None or (schema_id is not None and schema is None):
            return None
        return cls.of(table, snapshot, schema=schema, column=parameters.get("column"))

    @property
    def parameters(self) -> Json:
        """As a job has it."""
        return {
            "snapshot_id": self.key.snapshot_id,
            "schema_id": self.schema_id,
            "column": self.column,
        }

    @property
    def is_kept(self) -> bool:
        """Whether such an index is stored: one without a place only names files."""
        return bool(self.place.key)

    def at(self, snapshot_id: int) -> IndexKey:
        """The key of the same of another snapshot."""
        return replace(self.key, snapshot_id=snapshot_id)


def box_rules(place: TablePlace, document: Json) -> str:
    """What decides on the boxes of entries, beside the entries: other rules, other boxes."""
    types = leaf_types(document)
    names = dict.fromkeys([place.geometry, *(n for each in place.columns for n in each.names)])
    ids = [place.field_ids.get(name) for name in names if name is not None]
    typed = [(i, types.get(i or 0)) for i in ids]
    schema = metadata.current_schema(document)
    of_numbers = (str(crs_of(document, schema, place)), edges_of(document, schema, place))
    what = (BOX_RULES_VERSION, place.geometry, place.columns, place.is_lonlat, of_numbers, typed)
    return repr(what)
