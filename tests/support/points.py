"""A table of points without geometries: an id, a longitude and the equator."""

from typing import Any

import pyarrow as pa

COLUMNS = pa.schema([("id", pa.int64()), ("longitude", pa.float64()), ("latitude", pa.float64())])


def rows(*ids: int) -> pa.Table:
    """Each at the longitude of its id."""
    return pa.table([list(ids), [float(i) for i in ids], [0.0] * len(ids)], schema=COLUMNS)


def window(least: float, most: float) -> dict[str, Any]:
    """What asks for a plan of the longitudes between."""

    def limit(op: str, value: float) -> dict[str, Any]:
        return {"type": op, "term": "longitude", "value": value}

    return {"filter": {"type": "and", "left": limit("gt-eq", least), "right": limit("lt-eq", most)}}
