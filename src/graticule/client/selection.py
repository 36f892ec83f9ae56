"""The rows of a table in an area: found by the server, read from storage, told apart here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graticule.client import handover
from graticule.client.listing import FileListing
from graticule.client.server import Server
from graticule.domain.errors import InvalidRequest
from graticule.spatial.row_matches import RowFilter, require_comparable
from graticule.spatial.search_area import NATIVE, SearchArea

if TYPE_CHECKING:
    import pyarrow as pa

    from graticule.client.reading import RowReader

Json = dict[str, Any]


@dataclass(slots=True)
class Selection:
    """Made by `Table.within`.  The first question fixes the snapshot: all reads are of one."""

    server: Server
    catalog: str
    namespace: tuple[str, ...]
    name: str
    area: SearchArea
    column: str | None
    snapshot_id: int | None
    ref: str | None
    _listing: FileListing | None = field(default=None, repr=False)

    def files(self) -> FileListing:
        """The files and row groups that may hold a row in the area.  Asked for once.

        Raises:
            ClientError: there is no such table for this caller, or no such snapshot or column.
        """
        if self._listing is None:
            self._listing = FileListing.of(
                self.server.find_files(
                    self.catalog,
                    self.namespace,
                    self.name,
                    {**self._question(), "level": "row_group", "scan": True},
                )
            )
        return self._listing

    def reader(self, columns: Sequence[str] | None = None) -> "pa.RecordBatchReader":
        """The rows in the area, a few files at a time.

        Raises:
            ClientError: as `files`; or the rows cannot be read.
            InvalidRequest: rows cannot be compared with the area: the reference system of one of
                the two is not known.
        """
        import pyarrow as pa  # noqa: PLC0415 - not needed to look for files

        rows = self._rows(columns)
        return pa.RecordBatchReader.from_batches(rows.schema, self._batches(rows))

    def to_arrow(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """The rows in the area; geometries are WKB.

        Raises:
            ClientError: as `reader`.
            InvalidRequest: as `reader`.
        """
        return self.reader(columns).read_all()

    def to_duckdb(self, connection: Any = None, columns: Sequence[str] | None = None) -> Any:
        """The rows in the area as a relation of DuckDB's; geometries are WKB.

        Raises:
            ClientError: as `reader`; or DuckDB is not installed.
            InvalidRequest: as `reader`.
        """
        return handover.to_duckdb(self.to_arrow(columns), connection)

    def to_geopandas(self, columns: Sequence[str] | None = None) -> Any:
        """The rows in the area as a GeoDataFrame in the table's reference system.

        Raises:
            ClientError: as `reader`; or GeoPandas is not installed.
            InvalidRequest: as `reader`.
        """
        listing = self.files()
        wanted = columns
        if columns is not None:
            place = [listing.column] if listing.column else list(listing.positions or ())
            wanted = list(dict.fromkeys([*columns, *place]))
        return handover.to_geopandas(self.to_arrow(wanted), listing)

    def to_sedonadb(self, context: Any, columns: Sequence[str] | None = None) -> Any:
        """The rows in the area as a data frame of SedonaDB's, geometries typed.

        Raises:
            ClientError: as `reader`.
            InvalidRequest: as `reader`.
        """
        return context.create_data_frame(
            handover.with_geoarrow_type(self.to_arrow(columns), self.files())
        )

    def to_spark(self, spark: Any, table: str) -> Any:
        """The Iceberg table `table`, as Spark names it, with the conditions that leave out files.

        Spark reads it with its own catalog and credentials.  A row that the conditions keep *may*
        lie in the area: add an exact condition on the geometry.

        Raises:
            ClientError: as `files`.
        """
        question = {**self._question(), "dialect": "spark"}
        condition = self.server.predicate(self.catalog, self.namespace, self.name, question)
        return spark.table(table).where(condition)

    def to_sedona(self, spark: Any) -> Any:
        """The files that may hold a row in the area, read by Sedona's own GeoParquet source, which
        leaves out row groups.

        Spark reads them with its own credentials, and from any files with their own columns.  Add
        an exact condition, such as ST_Intersects.

        Raises:
            ClientError: as `files`; or rows of the files are deleted, which the source cannot know.
        """
        return handover.to_sedona(self.files(), spark)

    def _question(self) -> Json:
        """The area and the snapshot, as the server wants them asked for."""
        listing = self._listing
        question: Json = {"column": self.column, "crs": NATIVE}
        if self.area.crs is not None:
            question["crs"] = self.area.crs.identifier
        question |= handover.described(self.area)
        if listing is not None and listing.snapshot_id is not None:
            return question | {"snapshot": listing.snapshot_id}
        return question | {"snapshot": self.snapshot_id, "ref": self.ref}

    def _rows(self, columns: Sequence[str] | None) -> "RowReader":
        from graticule.client.reading import RowReader  # noqa: PLC0415 - brings PyIceberg

        listing = self.files()
        if listing.column is None and listing.positions is None:
            raise InvalidRequest(listing.reason or "the table is empty")
        return RowReader(
            self.server.load_table(
                self.catalog,
                self.namespace,
                self.name,
                all_snapshots=self.snapshot_id is not None,
            ),
            listing,
            columns=columns,
            is_time_travel=self.snapshot_id is not None or self.ref is not None,
            catalog_uri=f"{self.server.url}/catalog",
            token=self.server.bearer,
        )

    def _batches(self, rows: "RowReader") -> Iterator["pa.RecordBatch"]:
        listing = self.files()
        if not listing.files:
            return iter(())
        require_comparable(self.area, listing.crs)
        return rows.batches(RowFilter(self.area, listing.crs))
