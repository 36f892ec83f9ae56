"""A table of a catalog, as the place to look for what lies in an area."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graticule.client.areas import Area, area_of
from graticule.client.errors import ClientError
from graticule.client.selection import Selection
from graticule.client.server import Server

_DOT: Final = re.compile(r"(?<!\\)\.")


@dataclass(frozen=True, slots=True)
class Table:
    """Made by `open`; knows where the table is and as whom to ask, nothing of what is in it."""

    server: Server
    catalog: str
    namespace: tuple[str, ...]
    name: str

    def within(
        self,
        area: Area,
        *,
        crs: str | Any = None,
        column: str | None = None,
        snapshot_id: int | None = None,
        ref: str | None = None,
    ) -> Selection:
        """The rows whose geometry shares a point with an area.  Nothing is asked for yet.

        A box is xmin, ymin, xmax, ymax; with xmin > xmax it crosses the antimeridian.  `crs` is
        the area's: longitude and latitude unless said, or that of a GeoDataFrame, `native` for the
        table's.  `column`
        is the geometry column, the primary one unless said.

        Raises:
            InvalidRequest: no area, or a reference system that nobody knows.
        """
        return Selection(
            server=self.server,
            catalog=self.catalog,
            namespace=self.namespace,
            name=self.name,
            area=area_of(area, crs),
            column=column,
            snapshot_id=snapshot_id,
            ref=ref,
        )


def open(  # noqa: A001 - read as `graticule.client.open`
    table: str | Any,
    *,
    uri: str | None = None,
    token: str | None = None,
    credential: str | None = None,
) -> Table:
    r"""A table by its name, `catalog.namespace.table` (a dot in a name is written `\.`), or one of
    PyIceberg's.

    `uri` is the server's, `token` an access token or an API key as `<client id>.<client secret>`,
    `credential` one as `<client id>:<client secret>`.  What is not said is taken from
    `GRATICULE_URL`, `GRATICULE_TOKEN` and `GRATICULE_CREDENTIAL`, or for a table of PyIceberg's
    from its catalog.

    Raises:
        ClientError: no table is named so.
    """
    if not isinstance(table, str):
        return _of_pyiceberg(table, uri, token, credential)
    parts = [part.replace("\\.", ".") for part in _DOT.split(table)]
    if len(parts) < 3 or not all(parts):
        raise ClientError(f"`{table}` does not name a table; write catalog.namespace.table")
    server = Server.named(uri, token, credential)
    return Table(server, parts[0], tuple(parts[1:-1]), parts[-1])


def _of_pyiceberg(table: Any, uri: str | None, token: str | None, credential: str | None) -> Table:
    properties: Mapping[str, str] = getattr(table.catalog, "properties", {})
    warehouse = properties.get("warehouse")
    if warehouse is None:
        raise ClientError(
            "the table's catalog names no warehouse; open it by name: catalog.namespace.table"
        )
    if token is None and credential is None:
        token, credential = properties.get("token"), properties.get("credential")
    server = Server.named(uri or properties.get("uri"), token, credential)
    *namespace, name = table.name()
    return Table(server, warehouse, tuple(namespace), name)
