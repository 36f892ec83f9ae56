"""What an analyst does: read a map window of a table with an unmodified PyIceberg client.

Knows nothing of the server but its address; whatever it reads, it reads with vended credentials.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import boto3
import pyarrow as pa
import pyarrow.compute as pc
from botocore.config import Config
from botocore.exceptions import ClientError
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.table import Table

from graticule.spatial.bounding_box import BoundingBox

BOX_PREFIXES: Final = ("bbox_", "file_")
"""Columns that bound rows, then columns that bound files: `…xmin`, `…ymin`, `…xmax`, `…ymax`."""

_FORBIDDEN: Final = 403
_WKB_POINT: Final = struct.Struct("<BIdd")


@dataclass(frozen=True, slots=True)
class WindowRead:
    """One table read twice: its window by a pruned plan, and all of it."""

    table: str
    files_total: int
    files_planned: int
    bytes_total: int
    bytes_planned: int
    rows_total: int
    rows_window: int
    rows_equal: bool


def connect(url: str, warehouse: str, credential: str) -> RestCatalog:
    """PyIceberg's own client.  The server plans scans, since that is what it is good at."""
    catalog = load_catalog(
        "graticule",
        type="rest",
        uri=f"{url}/catalog",
        warehouse=warehouse,
        credential=credential,
        **{"scan-planning-mode": "server"},
    )
    if not isinstance(catalog, RestCatalog):
        raise TypeError(f"PyIceberg made a {type(catalog).__name__} of a REST catalog")
    return catalog


def read_window(table: Table, window: BoundingBox) -> WindowRead:
    """Read the rows in the window by a pruned plan, and compare them with those of a full scan."""
    everything = table.scan()
    pruned = table.scan(row_filter=window_filter(table, window))
    all_files = [task.file for task in everything.plan_files()]
    files = [task.file for task in pruned.plan_files()]
    full = everything.to_arrow()
    expected = _rows_in(full, window)
    found = _rows_in(pruned.to_arrow(), window)
    return WindowRead(
        table=table.name()[-1],
        files_total=len(all_files),
        files_planned=len(files),
        bytes_total=sum(file.file_size_in_bytes for file in all_files),
        bytes_planned=sum(file.file_size_in_bytes for file in files),
        rows_total=full.num_rows,
        rows_window=found.num_rows,
        rows_equal=_same_rows(found, expected),
    )


def window_filter(table: Table, window: BoundingBox) -> str:
    """The window as a condition on whatever columns of the table bound its rows or files."""
    names = set(table.schema().column_names)
    for prefix in BOX_PREFIXES:
        if f"{prefix}xmin" in names:
            return (
                f"{prefix}xmin <= {window.xmax} and {prefix}xmax >= {window.xmin} and "
                f"{prefix}ymin <= {window.ymax} and {prefix}ymax >= {window.ymin}"
            )
    return (
        f"longitude >= {window.xmin} and longitude <= {window.xmax} and "
        f"latitude >= {window.ymin} and latitude <= {window.ymax}"
    )


def is_refused(table: Table, neighbour: Table) -> bool:
    """True if the credential vended for `table` opens it, and neither reads nor lists another."""
    own, others = _some_file(table), _some_file(neighbour)
    s3 = _s3_with(table.io.properties)
    s3.head_object(Bucket=own[0], Key=own[1])
    folder = others[1].rpartition("/")[0] + "/"
    return all(
        _is_forbidden(attempt, **arguments)
        for attempt, arguments in (
            (s3.get_object, {"Bucket": others[0], "Key": others[1]}),
            (s3.list_objects_v2, {"Bucket": others[0], "Prefix": folder}),
            (s3.put_object, {"Bucket": others[0], "Key": f"{others[1]}.new", "Body": b""}),
        )
    )


def _some_file(table: Table) -> tuple[str, str]:
    path = next(iter(table.scan().plan_files())).file.file_path
    bucket, _, key = path.removeprefix("s3://").partition("/")
    return bucket, key


def _s3_with(properties: Mapping[str, Any]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=properties.get("s3.endpoint"),
        region_name=properties["client.region"],
        aws_access_key_id=properties["s3.access-key-id"],
        aws_secret_access_key=properties["s3.secret-access-key"],
        aws_session_token=properties["s3.session-token"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def _is_forbidden(attempt: Any, **arguments: Any) -> bool:
    try:
        attempt(**arguments)
    except ClientError as error:
        return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] == _FORBIDDEN)
    return False


def _rows_in(rows: pa.Table, window: BoundingBox) -> pa.Table:
    """The rows that lie in the window, by their exact positions."""
    x, y = _positions(rows)
    inside = pc.and_(
        pc.and_(pc.greater_equal(x, window.xmin), pc.less_equal(x, window.xmax)),
        pc.and_(pc.greater_equal(y, window.ymin), pc.less_equal(y, window.ymax)),
    )
    return rows.filter(inside)


def _positions(rows: pa.Table) -> tuple[pa.Array, pa.Array]:
    if "longitude" in rows.column_names:
        return rows["longitude"], rows["latitude"]
    points = [_WKB_POINT.unpack(point) for point in rows["geometry"].to_pylist()]
    return pa.array([p[2] for p in points]), pa.array([p[3] for p in points])


def _same_rows(one: pa.Table, other: pa.Table) -> bool:
    """Equal as multisets of rows, whatever the order."""
    if one.num_rows != other.num_rows:
        return False
    names = [name for name in one.column_names if not name.startswith("file_")]
    sort = sorted(map(repr, one.select(names).to_pylist()))
    return sort == sorted(map(repr, other.select(names).to_pylist()))
