"""Formats that files and folders can be known by from their keys alone.  Text only.

Three kinds matter: files that become tables where they lie, files that would after a conversion,
and folders that belong to another table format, whose data files are nobody else's.
"""

import re
from collections.abc import Iterator
from typing import Final

PARQUET_SUFFIXES: Final = (".parquet", ".geoparquet", ".parq", ".pq")

CONVERTIBLE: Final = {
    ".csv": "CSV",
    ".csv.gz": "CSV",
    ".tsv": "CSV",
    ".tsv.gz": "CSV",
    ".geojson": "GeoJSON",
    ".geojson.gz": "GeoJSON",
    ".geojsonl": "GeoJSON",
    ".geojsonseq": "GeoJSON",
    ".fgb": "FlatGeobuf",
    ".gpkg": "GeoPackage",
    ".shp": "Shapefile",
    ".shp.zip": "Shapefile",
    ".kml": "KML",
    ".kmz": "KML",
    ".gml": "GML",
    ".topojson": "TopoJSON",
}
"""By suffix: what GDAL reads and this catalog offers to convert."""

SHAPEFILE_COMPANIONS: Final = (
    ".dbf",
    ".shx",
    ".prj",
    ".cpg",
    ".qix",
    ".sbn",
    ".sbx",
    ".qmd",
    ".shp.xml",
)
SHAPEFILE_NEEDS: Final = (".shx", ".dbf")

_NO_TABLES: Final = {
    ".orc": "an ORC file: only Parquet is registered in place",
    ".avro": "an Avro file: only Parquet is registered in place",
    ".arrow": "an Arrow file: only Parquet is registered in place",
    ".feather": "an Arrow file: only Parquet is registered in place",
    ".parquet.gz": "a Parquet file in a gzip file: unpack it, since readers cannot seek in it",
    ".parquet.zst": "a Parquet file in a zstd file: unpack it, since readers cannot seek in it",
    ".tif": "an image, no table",
    ".tiff": "an image, no table",
    ".jp2": "an image, no table",
    ".png": "an image, no table",
    ".jpg": "an image, no table",
    ".jpeg": "an image, no table",
    ".nc": "a NetCDF file, no table",
    ".hdf5": "an HDF file, no table",
    ".h5": "an HDF file, no table",
    ".grib2": "a GRIB file, no table",
    ".las": "a point cloud, no table",
    ".laz": "a point cloud, no table",
    ".pmtiles": "an archive of map tiles, no table",
    ".mbtiles": "an archive of map tiles, no table",
}

_FOLDERS: Final = {
    "_delta_log": "a Delta Lake table",
    ".hoodie": "a Hudi table",
    "_versions": "a Lance dataset",
}
_LANCE: Final = re.compile(r"((?:.*/)?[^/]+\.lance/).+")
_GEODATABASE: Final = re.compile(r"((?:.*/)?[^/]+\.gdb/).+", re.IGNORECASE)
_ZARR: Final = re.compile(r"((?:.*/)?)(?:\.zgroup|\.zarray|\.zmetadata|zarr\.json)")
_PAIMON: Final = re.compile(r"((?:.*/)?)schema/schema-\d+")


def suffix_of(file_name: str, suffixes: tuple[str, ...]) -> str:
    """The longest of the suffixes that the name ends with; empty if none."""
    lowered = file_name.lower()
    return max((suffix for suffix in suffixes if lowered.endswith(suffix)), key=len, default="")


def convertible_format(file_name: str) -> str | None:
    """The format of a file that could be converted; None if it is not known for one."""
    suffix = suffix_of(file_name, _CONVERTIBLE_SUFFIXES)
    return CONVERTIBLE[suffix] if suffix else None


_CONVERTIBLE_SUFFIXES: Final = tuple(CONVERTIBLE)
_NO_TABLE_SUFFIXES: Final = tuple(_NO_TABLES)


def why_no_table(file_name: str) -> str | None:
    """What a file is that can never be a table; None if its suffix is not known."""
    suffix = suffix_of(file_name, _NO_TABLE_SUFFIXES)
    return _NO_TABLES[suffix] if suffix else None


def foreign_roots(key: str) -> Iterator[tuple[str, str]]:
    """Roots of tables in other formats that this object betrays, and what they are.

    Iceberg's are not among them: see `existing_tables`.
    """
    if "/" in key:
        folders = key.split("/")[:-1]
        for position, folder in enumerate(folders):
            if folder in _FOLDERS:
                yield "".join(f"{above}/" for above in folders[:position]), _FOLDERS[folder]
                return
    for pattern, what in (
        (_LANCE, "a Lance dataset"),
        (_GEODATABASE, "a File Geodatabase: export it, for instance to GeoPackage"),
        (_ZARR, "a Zarr array"),
        (_PAIMON, "a Paimon table"),
    ):
        match = pattern.fullmatch(key)
        if match is not None:
            yield match[1], what
            return
