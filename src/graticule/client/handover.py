"""Rows and files in the forms that other libraries want."""

import json
from typing import TYPE_CHECKING, Any, Final

import shapely

from graticule.client.errors import ClientError, needed
from graticule.client.listing import FileListing
from graticule.spatial.search_area import GEOMETRY_CHARACTERS_MAX, SearchArea

if TYPE_CHECKING:
    import pyarrow as pa

Json = dict[str, Any]

GEOARROW_WKB: Final = "geoarrow.wkb"


def described(area: SearchArea) -> Json:
    """The area in the fields of a question.  Two windows are the halves of one that crosses.

    Of a geometry longer than servers read it is the box, which leaves more files; the rows are
    compared with the geometry itself all the same.
    """
    if area.geometry is not None:
        text = shapely.to_wkt(area.geometry, rounding_precision=-1)
        if len(text) <= GEOMETRY_CHARACTERS_MAX:
            return {"geometry": text}
    first, last = area.windows[0], area.windows[-1]
    return {"bbox": [first.xmin, first.ymin, last.xmax, first.ymax]}


def to_duckdb(rows: "pa.Table", connection: Any) -> Any:
    """A relation.

    Raises:
        ClientError: DuckDB is not installed.
    """
    if connection is None:
        connection = needed("duckdb", "DuckDB")
    return connection.from_arrow(rows)


def to_geopandas(rows: "pa.Table", listing: FileListing) -> Any:
    """A GeoDataFrame.

    Raises:
        ClientError: GeoPandas is not installed.
    """
    geopandas = needed("geopandas", "GeoPandas")
    crs = listing.crs.identifier
    if listing.column is None:
        x, y = listing.positions or ("", "")
        frame = rows.to_pandas()
        points = shapely.points(frame[x].to_numpy(), frame[y].to_numpy())
        return geopandas.GeoDataFrame(frame, geometry=points, crs=crs)
    shapes = shapely.from_wkb(rows[listing.column].to_numpy(), on_invalid="ignore")
    frame = rows.drop_columns([listing.column]).to_pandas()
    frame = geopandas.GeoDataFrame(frame, geometry=shapes, crs=crs)
    return frame if listing.column == "geometry" else frame.rename_geometry(listing.column)


def with_geoarrow_type(rows: "pa.Table", listing: FileListing) -> "pa.Table":
    """The rows with the geometry column marked as GeoArrow's WKB, in its reference system."""
    if listing.column is None or listing.column not in rows.column_names:
        return rows
    about = {} if not listing.crs.is_known else {"crs": listing.crs.identifier}
    at = rows.schema.get_field_index(listing.column)
    marked = rows.schema.field(at).with_metadata(
        {"ARROW:extension:name": GEOARROW_WKB, "ARROW:extension:metadata": json.dumps(about)}
    )
    return rows.cast(rows.schema.set(at, marked))


def to_sedona(listing: FileListing, spark: Any) -> Any:
    """A data frame over the files.

    Raises:
        ClientError: rows of the files are deleted, or no file is left to read a schema from.
    """
    if listing.has_deletes:
        raise ClientError(
            "rows of these files are deleted, which a reader of files cannot know; "
            "use to_spark, which reads the table"
        )
    if not listing.files:
        raise ClientError("no file may hold a row in the area, so there is none to read")
    return spark.read.format("geoparquet").load(listing.paths)
