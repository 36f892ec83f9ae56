"""Read what lies in an area of a table, and nothing else: `graticule.client.open(…).within(…)`.

Imports of PyIceberg, DuckDB and the like wait until they are needed.
"""

from graticule.client.errors import ClientError
from graticule.client.listing import FileListing, ListedFile
from graticule.client.selection import Selection
from graticule.client.table import Table, open  # noqa: A004
from graticule.domain.errors import InvalidRequest

__all__ = [
    "ClientError",
    "FileListing",
    "InvalidRequest",
    "ListedFile",
    "Selection",
    "Table",
    "open",
]
