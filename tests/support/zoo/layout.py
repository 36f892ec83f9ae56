"""A layout of the zoo: what lies in a bucket, and what an admin should be told of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from support.parquet_files import native, parquet, point

Objects = dict[str, bytes]


@dataclass(frozen=True)
class Table:
    """A table that must be proposed; `name` has the namespace in front, if there is one.

    `by` are partition columns and their types, `place` is column, encoding and CRS.  `because` must
    be among the reasons, as parts of them.
    """

    name: str
    files: tuple[str, ...]
    rows: int
    by: str = ""
    place: str = ""
    confidence: str = "high"
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """`build` is given the location, `s3://bucket/folder`, and answers keys below it."""

    name: str
    build: Callable[[str], Objects] = field(repr=False)
    tables: tuple[Table, ...] = ()
    existing: Mapping[str, int] = field(default_factory=dict)
    """Names and rows of Iceberg tables that must be proposed for registration."""
    convertible: Mapping[str, str] = field(default_factory=dict)
    """Names and formats."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Keys, and how the reason begins."""
    ignore: tuple[str, ...] = ()
    duckdb_refuses: str = ""
    """What DuckDB says instead of reading it."""
    pyiceberg_refuses: str = ""

    @property
    def id(self) -> str:
        return self.name.replace(" ", "-")


def fixed(objects: Objects) -> Callable[[str], Objects]:
    return lambda _: dict(objects)


_numbers = iter(range(1, 1_000_000))


def ids(rows: int = 1) -> pa.Array:
    """Numbers that no other file of the zoo holds: no two files are copies by accident."""
    return pa.array([next(_numbers) for _ in range(rows)], pa.int64())


def plain(rows: int = 2, **more: pa.Array) -> bytes:
    return parquet({"id": ids(rows), "name": pa.array(["a"] * rows), **more})


def roads(rows: int = 1) -> bytes:
    return parquet({"road": ids(rows), "surface": ["gravel"] * rows, "lanes": [2] * rows})


def stock(rows: int = 1) -> bytes:
    return parquet({"article": ids(rows), "price": [1.5] * rows, "currency": ["EUR"] * rows})


def cities(*positions: tuple[float, float]) -> bytes:
    """Points with the Parquet type GEOMETRY."""
    positions = positions or ((7.4, 46.9),)
    return parquet(
        {"id": ids(len(positions)), "geometry": native([point(*each) for each in positions])}
    )
